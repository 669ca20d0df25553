//! What can go wrong between an object and its events.

use crate::attach::AttachFailure;
use crate::load::LoadError;
use std::io;

/// Result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// One variant per step.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A map could not be made.
    #[error("cannot create map `{name}`: {reason}")]
    CreateMap {
        /// As the object calls it.
        name: String,
        /// In words.
        reason: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// A program was refused.
    #[error(transparent)]
    Load(#[from] Box<LoadError>),
    /// Places where programs could not be attached although `missing_probes` asks for all.
    #[error("{}", list(.0))]
    Attach(Vec<AttachFailure>),
    /// A `begin`, `end`, `self` program did not run.
    #[error("cannot run `{name}`")]
    Run {
        /// The probe.
        name: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// A map could not be read or changed.
    #[error("cannot access map `{name}`")]
    Map {
        /// As the object calls it.
        name: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The channel for events could not be set up or read.
    #[error("cannot receive events")]
    Events(#[source] io::Error),
    /// The command of `-c` could not be started.
    #[error("cannot run `{command}`")]
    Command {
        /// Its name.
        command: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The process of `-p` is not there.
    #[error("cannot watch process {pid}")]
    Process {
        /// Its number.
        pid: u32,
        /// What the kernel said.
        source: io::Error,
    },
    /// Output could not be written, and not because the reader went away.
    #[error("cannot write output")]
    Output(#[source] io::Error),
    /// The object contradicts itself.
    #[error("the compiled object is not valid: {0}")]
    Object(String),
}

fn list(failures: &[AttachFailure]) -> String {
    let lines: Vec<String> = failures.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
