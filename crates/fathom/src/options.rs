//! Flags that `fathom run` and the name `bpftrace` share, and what they mean for a session.

use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::builder::PossibleValuesParser;
use fathom_compiler::features::Features;
use fathom_output::printer::OutputFormat;
use fathom_runtime::{Buffering, HelperErrorLevel};

use crate::failure::Mistake;

/// Flags of whatever runs a script.
#[derive(clap::Args, Default)]
pub struct Tracing {
    /// The script itself
    #[arg(
        short = 'e',
        long,
        value_name = "SCRIPT",
        allow_hyphen_values = true,
        help_heading = "Script"
    )]
    pub execute: Option<String>,
    /// Trace only this process; the session ends with it
    #[arg(short, long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Target")]
    pub pid: Option<u32>,
    /// Walk the stacks of this process for dw_ustack too; may be repeated
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Target")]
    pub dwarf_pid: Vec<u32>,
    /// Look for debug files in these folders first
    #[arg(long, value_name = "DIR[:DIR]", help_heading = "Target")]
    pub debuginfo: Vec<String>,
    /// Output format: text or json
    #[arg(short = 'f', long, value_name = "FORMAT", default_value = "text", value_parser = PossibleValuesParser::new(["text", "json"]), hide_possible_values = true, hide_default_value = true, help_heading = "Output")]
    pub format: String,
    /// Write results to this file
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub output: Option<String>,
    /// When results are written: line (what came together at once), full (much at once) or none (each by itself)
    #[arg(short = 'B', long = "buffering", value_name = "MODE", default_value = "line", value_parser = PossibleValuesParser::new(["line", "full", "none"]), hide_possible_values = true, hide_default_value = true, help_heading = "Output")]
    pub buffering: String,
    /// Only results: not how many probes are attached
    #[arg(short, long, help_heading = "Output")]
    pub quiet: bool,
    /// Say what is being attached
    #[arg(short, long, help_heading = "Output")]
    pub verbose: bool,
    /// Also tell failures of kernel helpers that lose nothing, such as reads of bad addresses
    #[arg(short = 'k', long, help_heading = "Output")]
    pub warnings: bool,
    /// No warnings at all
    #[arg(long, conflicts_with = "warnings", help_heading = "Output")]
    pub no_warnings: bool,
    /// Allow functions that act on the system, and probes that may crash it
    #[arg(long = "unsafe", help_heading = "Limits")]
    pub allow_unsafe: bool,
    /// Attach everything, then leave; nothing of the script runs
    #[arg(long, help_heading = "Limits")]
    pub dry_run: bool,
    /// Only kernel functions in this file may be probed: a name or an `available_filter_functions` line each
    #[arg(long, value_name = "FILE", help_heading = "Limits")]
    pub traceable_functions: Option<String>,
    /// Do without these abilities of the kernel: kprobe_multi, kprobe_session, uprobe_multi, ring_buffer
    #[arg(long, value_name = "FEATURE", value_delimiter = ',', value_parser = PossibleValuesParser::new(["kprobe_multi", "kprobe_session", "uprobe_multi", "ring_buffer"]), hide_possible_values = true, help_heading = "Limits")]
    pub no_feature: Vec<String>,
}

impl Tracing {
    /// `-f`
    pub fn output_format(&self) -> OutputFormat {
        match self.format.as_str() {
            "json" => OutputFormat::Json,
            _ => OutputFormat::Text,
        }
    }

    /// `-B`
    pub fn output_buffering(&self) -> Buffering {
        match self.buffering.as_str() {
            "full" => Buffering::Full,
            "none" => Buffering::None,
            _ => Buffering::Line,
        }
    }

    /// `-k`, `--no-warnings`
    pub fn helper_errors(&self) -> HelperErrorLevel {
        match (self.warnings, self.no_warnings) {
            (true, _) => HelperErrorLevel::All,
            (_, true) => HelperErrorLevel::Silent,
            _ => HelperErrorLevel::Losses,
        }
    }

    /// `--no-feature`
    pub fn switch_off(&self, features: &mut Features) {
        for name in &self.no_feature {
            match name.as_str() {
                "kprobe_multi" => {
                    features.kprobe_multi = false;
                    features.kprobe_session = false;
                }
                "kprobe_session" => features.kprobe_session = false,
                "ring_buffer" => features.ring_buffer = false,
                _ => {
                    features.uprobe_multi = false;
                    features.uprobe_session = false;
                }
            }
        }
    }

    /// `--debuginfo`; bpftrace's `+` asks for what is always done here: a debug file's checksum is looked at
    pub fn debug_folders(&self) -> Vec<PathBuf> {
        let folders = self.debuginfo.iter().flat_map(|list| list.split(':'));
        folders
            .map(|folder| folder.strip_prefix('+').unwrap_or(folder))
            .filter(|folder| !folder.is_empty())
            .map(PathBuf::from)
            .collect()
    }

    /// `--traceable-functions`
    pub fn traceable(&self) -> anyhow::Result<Option<HashSet<String>>> {
        let Some(path) = &self.traceable_functions else {
            return Ok(None);
        };
        let text = std::fs::read_to_string(path)
            .with_context(|| Mistake(format!("cannot read the traceable functions in {path}")))?;
        Ok(Some(function_names(&text)))
    }
}

/// The first word of each line; behind it the kernel puts the module in brackets.
fn function_names(text: &str) -> HashSet<String> {
    let names = text
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    names.map(str::to_owned).collect()
}

/// Where a command's program is: as it is written, else in the folders of `PATH`.
pub fn program(word: &str) -> anyhow::Result<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places: Vec<PathBuf> = match word.contains('/') {
        true => vec![word.into()],
        false => std::env::split_paths(&path)
            .map(|folder| folder.join(word))
            .collect(),
    };
    let found = places.iter().find(|place| is_executable(place));
    match found {
        Some(place) => Ok(place.display().to_string()),
        None if word.contains('/') => anyhow::bail!(Mistake(format!(
            "cannot run `{word}`: it is not there or not executable"
        ))),
        None => anyhow::bail!(Mistake(format!(
            "cannot run `{word}`: no such program in PATH"
        ))),
    }
}

fn is_executable(path: &Path) -> bool {
    std::fs::metadata(path)
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// A command and its arguments as a shell would take them apart: blanks separate, quotes and backslashes keep together.
pub fn shell_words(command: &str) -> anyhow::Result<Vec<String>> {
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = command.chars();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            ('\'', Some('\'')) | ('"', Some('"')) => quote = None,
            ('\'' | '"', None) => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            ('\\', None | Some('"')) => {
                let Some(next) = letters.next() else {
                    anyhow::bail!(Mistake(format!("`{command}` ends in a backslash")));
                };
                let stays = quote.is_some() && !matches!(next, '"' | '\\' | '$' | '`');
                let word = word.get_or_insert_default();
                word.extend(stays.then_some('\\'));
                word.push(next);
            }
            (blank, None) if blank.is_whitespace() => words.extend(word.take()),
            (letter, _) => word.get_or_insert_default().push(letter),
        }
    }
    if let Some(quote) = quote {
        anyhow::bail!(Mistake(format!(
            "`{command}` has a {quote} that is not closed"
        )));
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_taken_apart_as_by_a_shell() {
        let cases: [(&str, &[&str]); 8] = [
            ("ls -l  /tmp", &["ls", "-l", "/tmp"]),
            ("sh -c 'a; b \"c\"'", &["sh", "-c", "a; b \"c\""]),
            (r#"echo "a \"b\" \n""#, &["echo", r#"a "b" \n"#]),
            (r"a\ b c", &["a b", "c"]),
            ("a '' \"\"", &["a", "", ""]),
            ("x'y'z", &["xyz"]),
            ("  ", &[]),
            ("'a\\b'", &["a\\b"]),
        ];
        for (command, expected) in cases {
            assert_eq!(shell_words(command).unwrap(), expected, "{command}");
        }
        for wrong in ["a 'b", "a \"b", "a\\"] {
            assert!(shell_words(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn programs_are_found_before_anything_is_done() {
        assert!(program("sh").unwrap().ends_with("/sh"));
        assert_eq!(program("/bin/sh").unwrap(), "/bin/sh");
        for wrong in ["fathom-no-such-program", "/etc/passwd", "/none", "./"] {
            assert!(program(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn traceable_functions_are_first_words() {
        let names = function_names("vfs_read\nnf_hook [nf_tables]\n\n");
        let expected = ["vfs_read", "nf_hook"].map(str::to_owned);
        assert_eq!(names, HashSet::from(expected));
    }

    #[test]
    fn folders_of_debug_files_are_a_list_each() {
        let tracing = Tracing {
            debuginfo: vec!["/a:+/b".into(), ":/c".into()],
            ..Tracing::default()
        };
        assert_eq!(
            tracing.debug_folders(),
            ["/a", "/b", "/c"].map(PathBuf::from)
        );
    }

    #[test]
    fn features_are_switched_off_with_what_builds_on_them() {
        let tracing = Tracing {
            no_feature: vec!["kprobe_multi".into(), "uprobe_multi".into()],
            ..Tracing::default()
        };
        let mut features = Features::default();
        tracing.switch_off(&mut features);
        let left = [
            features.kprobe_multi,
            features.kprobe_session,
            features.uprobe_multi,
            features.uprobe_session,
        ];
        assert_eq!(left, [false; 4]);
        assert!(features.ring_buffer);
    }
}
