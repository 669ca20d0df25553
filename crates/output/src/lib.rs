//! Bytes from the kernel → [`Value`] → text and JSON.
//!
//! Nothing here does I/O: whatever only the running machine knows (symbols, stacks, user names, the clock) is asked
//! of a [`Resolver`]. Start reading at [`value`], then [`printf`] and [`printer`].
#![forbid(unsafe_code)]

pub mod call;
pub mod cells;
pub mod decode;
pub mod event;
mod gfp;
mod hist;
mod intervals;
pub mod json;
pub mod map;
mod map_json;
mod map_text;
pub mod names;
mod number;
mod order;
pub mod printer;
pub mod printf;
pub mod resolve;
mod series;
pub mod stack;
pub mod table;
pub mod time;
pub mod value;
pub mod value_json;
pub mod value_text;
pub mod whole;

pub use call::{CallRecord, decode_call};
pub use decode::{DecodeContext, DecodeError, decode, decode_field};
pub use event::{Event, EventDecoder, EventError};
pub use map::{MapEntry, MapOptions, MapSnapshot, MapView, Unset};
pub use printer::{Message, OutputFormat, Position, Present, Printer, Stream, TestResult};
pub use printf::{FormatError, FormatPlan};
pub use resolve::{Frame, LocalZone, NullResolver, Resolver};
pub use table::{Align, Table, TableStyle};
pub use value::Value;
pub use whole::Whole;
