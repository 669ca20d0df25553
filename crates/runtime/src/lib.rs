//! [`fathom_bpf::Object`] → kernel → events: loads, attaches, reads what programs send, does what the script asks of user
//! space, and leaves nothing behind. The only crate that talks to the kernel. Start reading at [`session`].

mod actions;
pub mod attach;
mod child;
mod error;
pub mod features;
pub mod load;
mod maps;
mod output;
mod permission;
mod progress;
mod ring;
mod script_table;
pub mod session;
mod slots;
mod symbols;
mod sys;
mod unwind;
mod wall_clock;

pub use attach::AttachFailure;
pub use child::Child;
pub use error::{Error, Result};
pub use features::{Feature, FeatureSet};
pub use load::LoadError;
pub use output::{Buffering, Output};
pub use permission::missing_right;
pub use progress::{Progress, Step};
pub use session::{HelperErrorLevel, Options, Outcome, ProgramCost, Session, Stop, Target, Trials};
pub use sys::inquiry::vmlinux_btf;
pub use wall_clock::WallClock;
