//! The command of `-c`: made before the script is compiled (the script may ask for its pid), held until probes are on.

use crate::error::{Error, Result};
use crate::sys::fork::HeldChild;
use std::ffi::CString;

/// A process that has not become its program yet. It ends unborn when this is dropped before a session took it.
#[derive(Debug)]
pub struct Child {
    command: String,
    held: Option<HeldChild>,
}

impl Child {
    /// Makes the process for a command and its arguments; the command is looked up in `PATH`.
    pub fn hold(argv: &[String]) -> Result<Child> {
        let command = argv.first().cloned().unwrap_or_default();
        let failed = |source| Error::Command {
            command: command.clone(),
            source,
        };
        let c_strings = argv.iter().map(|arg| CString::new(arg.as_str()));
        let c_strings: Vec<CString> = c_strings
            .collect::<std::result::Result<_, _>>()
            .map_err(|_| failed(std::io::Error::from(std::io::ErrorKind::InvalidInput)))?;
        let held = HeldChild::new(&c_strings).map_err(failed)?;
        Ok(Child {
            command: command.clone(),
            held: Some(held),
        })
    }

    /// Its pid, now and later.
    pub fn pid(&self) -> u32 {
        self.held.as_ref().map_or(0, HeldChild::pid)
    }

    /// Lets it become its program.
    pub(crate) fn release(&mut self) -> Result<()> {
        let Some(held) = &mut self.held else {
            return Ok(());
        };
        held.release().map_err(|source| Error::Command {
            command: self.command.clone(),
            source,
        })
    }
}

impl Drop for Child {
    /// SIGTERM, then its status is taken.
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            held.end();
        }
    }
}
