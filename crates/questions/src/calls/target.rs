//! `BINARY:FUNCTION`, `BINARY@FILE:LINE`, `PID:FUNCTION`.

/// What is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Path or name of a program or library; `None` for that of `-p` or `-c`.
    pub binary: Option<String>,
    /// The process, when the target names one.
    pub pid: Option<u32>,
    /// Where in it.
    pub place: Place,
}

/// Where in a binary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Functions of this name, mangled or not, or that match it.
    Function(String),
    /// A line of the source.
    Line {
        /// Its file.
        file: String,
        /// From 1.
        line: u32,
    },
}

/// A target that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Nothing behind the colon.
    #[error("`{0}` names no function: write BINARY:FUNCTION, BINARY@FILE:LINE or PID:FUNCTION")]
    NoFunction(String),
    /// What stands for the line is no number.
    #[error("`{0}` names no line: write BINARY@FILE:LINE")]
    NoLine(String),
}

/// Reads a target. Names of functions may have colons (`ns::Class::method`), paths before them may not.
pub fn parse_target(text: &str) -> Result<Target, TargetError> {
    if let Some((binary, place)) = text.split_once('@')
        && !binary.contains(':')
    {
        return line(text, binary, place);
    }
    let no_function = || TargetError::NoFunction(text.to_owned());
    let (binary, function) = match split_at_colon(text) {
        Some((binary, function)) => (Some(binary), function),
        None => (None, text),
    };
    if function.is_empty() {
        return Err(no_function());
    }
    let place = Place::Function(function.to_owned());
    let binary = binary.filter(|binary| !binary.is_empty());
    let pid = binary.and_then(|binary| binary.parse().ok());
    Ok(Target {
        binary: binary.filter(|_| pid.is_none()).map(str::to_owned),
        pid,
        place,
    })
}

/// At the first colon that is not one of `::`; a path may not have any.
fn split_at_colon(text: &str) -> Option<(&str, &str)> {
    let (binary, function) = text.split_once(':')?;
    match function.starts_with(':') {
        true => None,
        false => Some((binary, function)),
    }
}

fn line(text: &str, binary: &str, place: &str) -> Result<Target, TargetError> {
    let no_line = || TargetError::NoLine(text.to_owned());
    let (file, line) = place.rsplit_once(':').ok_or_else(no_line)?;
    let line = line.parse().ok().filter(|line| *line > 0);
    let pid = binary.parse().ok();
    let binary = Some(binary).filter(|binary| !binary.is_empty() && pid.is_none());
    Ok(Target {
        binary: binary.map(str::to_owned),
        pid,
        place: Place::Line {
            file: file.to_owned(),
            line: line.ok_or_else(no_line)?,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        let function = |binary: Option<&str>, pid, function: &str| Target {
            binary: binary.map(str::to_owned),
            pid,
            place: Place::Function(function.to_owned()),
        };
        let cases = [
            (
                "./app:main.(*Server).Handle",
                function(Some("./app"), None, "main.(*Server).Handle"),
            ),
            (
                "libfoo.so:ns::Class::method",
                function(Some("libfoo.so"), None, "ns::Class::method"),
            ),
            ("1234:malloc", function(None, Some(1234), "malloc")),
            ("malloc", function(None, None, "malloc")),
            ("ns::f", function(None, None, "ns::f")),
            (":f", function(None, None, "f")),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_target(text), Ok(expected), "{text}");
        }
        let at_line = Target {
            binary: Some("./app".to_owned()),
            pid: None,
            place: Place::Line {
                file: "src/main.c".to_owned(),
                line: 12,
            },
        };
        assert_eq!(parse_target("./app@src/main.c:12"), Ok(at_line));
        for wrong in ["app:", "app@main.c", "app@main.c:x", "app@main.c:0", ""] {
            assert!(parse_target(wrong).is_err(), "{wrong:?}");
        }
    }
}
