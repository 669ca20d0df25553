//! How the command ends when it does not end well.

use std::fmt;

use fathom_runtime::Error;

/// What was asked for is wrong: the script, an option, a file, a process.
pub const WRONG_INPUT: u8 = 1;
/// The machine refused: no permission, or a kernel that cannot do it.
pub const REFUSED: u8 = 2;

/// Something that the user asked for and that cannot be as it was written.
#[derive(Debug)]
pub struct Mistake(pub String);

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Mistake {}

/// Exit code for a problem that ended the command.
pub fn exit_code(problem: &anyhow::Error) -> u8 {
    let is_mistake = problem.is::<Mistake>()
        || matches!(
            problem.downcast_ref::<Error>(),
            Some(Error::Command { .. } | Error::Process { .. })
        );
    if is_mistake { WRONG_INPUT } else { REFUSED }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn mistakes_are_told_from_refusals() {
        let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
        let mistake = Err::<(), _>(missing()).context(Mistake("no such file".into()));
        let process = Error::Process {
            pid: 1,
            source: missing(),
        };
        assert_eq!(exit_code(&mistake.unwrap_err()), WRONG_INPUT);
        assert_eq!(exit_code(&process.into()), WRONG_INPUT);
        assert_eq!(exit_code(&Error::Events(missing()).into()), REFUSED);
        assert_eq!(exit_code(&missing().into()), REFUSED);
    }
}
