//! The one error type of this crate: what could not be learned, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// Result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Why something about the machine is not known.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that should be readable is not.
    #[error("cannot read {}: {}", path.display(), words(cause))]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the kernel said; part of the message, so not a source.
        cause: io::Error,
    },
    /// A file is larger than this crate is willing to take in.
    #[error("{} is larger than {limit} bytes, which is the most that is read of such a file", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit that was passed.
        limit: u64,
    },
    /// A file's content contradicts its format.
    #[error("{what} is malformed: {why}")]
    Malformed {
        /// What was read, such as `BTF` or `/bin/ls`.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// The kernel offers no type information.
    #[error("this kernel has no BTF: {} does not exist; run a kernel built with CONFIG_DEBUG_INFO_BTF=y, or give the types as C definitions in the script", path.display())]
    NoBtf {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The tracing file system cannot be reached.
    #[error(
        "tracefs is not reachable; mount it with `mount -t tracefs nodev /sys/kernel/tracing`, or run as root so that it can be mounted privately ({})",
        words(cause)
    )]
    NoTracefs {
        /// What the attempt to mount it said.
        cause: io::Error,
    },
    /// There is nothing of that name.
    #[error("no {kind} `{name}`{}", did_you_mean(nearest))]
    NotFound {
        /// What was looked for: `struct`, `tracepoint`, `function in /bin/ls` …
        kind: String,
        /// The name that was asked for.
        name: String,
        /// Existing names that look alike, best first.
        nearest: Vec<String>,
    },
    /// A type has no member of that name.
    #[error("`{owner}` has no field `{field}`{}", did_you_mean(nearest))]
    NoField {
        /// The struct or union, as C writes it.
        owner: String,
        /// The field that was asked for.
        field: String,
        /// Existing fields that look alike, best first.
        nearest: Vec<String>,
    },
    /// The binary carries no debug information and none was found beside it.
    #[error("{} has no debug information: install its debug package or build it with -g", path.display())]
    NoDebugInfo {
        /// The binary.
        path: PathBuf,
    },
    /// A server of debug files did not give one.
    #[error("cannot fetch {url}: {why}")]
    Download {
        /// What was asked.
        url: String,
        /// What came instead.
        why: String,
    },
    /// A file lies where the binary's debug information should be, and belongs to another binary.
    #[error("{} is not the debug file of {}: {why}; install the debug package of the version that runs", path.display(), binary.display())]
    WrongDebugFile {
        /// The binary.
        binary: PathBuf,
        /// The file.
        path: PathBuf,
        /// How it shows.
        why: String,
    },
}

impl Error {
    /// Wraps an I/O error with the path it concerns.
    pub(crate) fn read(path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Error {
        let path = path.as_ref().to_path_buf();
        move |cause| Error::Read { path, cause }
    }

    /// A format violation.
    pub(crate) fn malformed(what: impl Into<String>, why: impl Into<String>) -> Error {
        Error::Malformed {
            what: what.into(),
            why: why.into(),
        }
    }

    /// A missing name without suggestions.
    pub(crate) fn not_found(kind: impl Into<String>, name: impl Into<String>) -> Error {
        Error::NotFound {
            kind: kind.into(),
            name: name.into(),
            nearest: Vec::new(),
        }
    }

    /// The existing names that look like the one that was not found.
    pub fn nearest(&self) -> &[String] {
        match self {
            Error::NotFound { nearest, .. } | Error::NoField { nearest, .. } => nearest,
            _ => &[],
        }
    }

    /// Whether the thing simply is not there (as opposed to unreadable or broken).
    pub fn is_missing(&self) -> bool {
        match self {
            Error::NotFound { .. } | Error::NoField { .. } | Error::NoBtf { .. } => true,
            Error::Read { cause, .. } => cause.kind() == io::ErrorKind::NotFound,
            _ => false,
        }
    }
}

/// Without the number, which says nothing more.
fn words(cause: &io::Error) -> String {
    let text = cause.to_string();
    match text.split_once(" (os error ") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}

fn did_you_mean(nearest: &[String]) -> String {
    match nearest.first() {
        Some(best) => format!("; did you mean `{best}`?"),
        None => String::new(),
    }
}
