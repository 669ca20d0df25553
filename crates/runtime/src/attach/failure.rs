//! Why a place cannot be probed, in words.

use crate::permission::missing_right;
use fathom_bpf::object::SourceSpan;
use std::fmt;
use std::io;

/// The kernel's own "operation is not supported"; libc has no name for it.
pub(super) const ENOTSUPP: i32 = 524;

/// An attach point without its program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachFailure {
    /// Full name of the attach point; of the site, when it is one of many in a link.
    pub name: String,
    /// The pattern in the script.
    pub span: SourceSpan,
    /// Why.
    pub reason: String,
    /// A way out, if there is one.
    pub hint: Option<String>,
}

impl fmt::Display for AttachFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot attach `{}`: {}", self.name, self.reason)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// A failure before it is known which attach point it belongs to.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    reason: String,
    hint: Option<String>,
}

impl Refusal {
    pub(super) fn new(reason: impl Into<String>) -> Refusal {
        Refusal {
            reason: reason.into(),
            hint: None,
        }
    }

    pub(super) fn with_hint(reason: impl Into<String>, hint: impl Into<String>) -> Refusal {
        Refusal {
            reason: reason.into(),
            hint: Some(hint.into()),
        }
    }

    pub(super) fn at(self, name: String, span: SourceSpan) -> AttachFailure {
        AttachFailure {
            name,
            span,
            reason: self.reason,
            hint: self.hint,
        }
    }
}

/// What errors mean at any place; families put their own cases before.
impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Refusal {
        match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => match missing_right() {
                Some(missing) => Refusal::new(missing),
                None => {
                    Refusal::new("this kernel's configuration or security policy does not allow it")
                }
            },
            Some(libc::ESRCH) => Refusal::new("the process does not exist"),
            Some(libc::EMFILE | libc::ENFILE) => Refusal::with_hint(
                "too many open files",
                "raise the limit with `ulimit -n`, or probe fewer places",
            ),
            Some(libc::ENOMEM) => Refusal::new("the kernel has not enough memory for it"),
            Some(ENOTSUPP | libc::EOPNOTSUPP) => Refusal::new("this kernel does not support it"),
            Some(libc::E2BIG) => Refusal::new("too many programs are attached there already"),
            _ => Refusal::new(error.to_string()),
        }
    }
}
