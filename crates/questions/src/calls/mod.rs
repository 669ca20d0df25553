//! `fathom calls`: has that function been called, with what, and what did it return?
//!
//! | File | Does |
//! |---|---|
//! | `target` | reads `BINARY:FUNCTION` and its kin |
//! | `script` | the script that asks |
//! | `pairing` | joins a call with its return |
//! | `template` | `--print '{who} took {duration}'` |
//! | `present` | one line a call, or a table |

mod pairing;
mod present;
mod script;
mod target;
mod template;

pub use pairing::{Call, Pairing};
pub use present::{Format, Presenter, Totals, function_of};
pub use script::{Question, View, script};
pub use target::{Place, Target, TargetError, parse_target};
pub use template::{Template, TemplateError};
