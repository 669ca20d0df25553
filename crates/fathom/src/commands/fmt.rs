//! `fathom fmt`: scripts in one style.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use fathom::Source;

use crate::failure::{Mistake, WRONG_INPUT};

/// Flags of `fathom fmt`.
#[derive(clap::Args)]
#[command(
    after_help = "Exit codes: 0 all are formatted now · 1 a script is wrong, or --check found one that is not formatted

Examples:
  fathom fmt tool.bt                     # in place
  fathom fmt --check *.bt
  fathom fmt - < tool.bt
  fathom fmt tool.bt -o tidy.bt"
)]
pub struct Args {
    /// Script files; standard input to standard output if there are none, or for `-`
    files: Vec<String>,
    /// Change nothing; fail if a file is not formatted
    #[arg(long)]
    check: bool,
    /// Write there instead of in place
    #[arg(short, long, value_name = "FILE", conflicts_with = "check")]
    output: Option<String>,
}

/// Formats files in place, or standard input to standard output.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    if args.output.is_some() && args.files.len() > 1 {
        anyhow::bail!(Mistake("-o takes one script".into()));
    }
    let standard_input = ["-".to_owned()];
    let files = match args.files.as_slice() {
        [] => &standard_input[..],
        files => files,
    };
    let mut code = 0;
    for file in files {
        let source = super::read_source(None, Some(file))?;
        let place = match (&args.output, file.as_str()) {
            (Some(path), _) => Some(path.as_str()),
            (None, "-") => None,
            (None, path) => Some(path),
        };
        code = code.max(match args.check {
            true => check(&source, file),
            false => one(&source, place)?,
        });
    }
    Ok(code)
}

fn check(source: &Source, file: &str) -> u8 {
    match fathom_syntax::format(&source.text) {
        Ok(text) if text == source.text => 0,
        Ok(_) => {
            eprintln!("{file} is not formatted");
            WRONG_INPUT
        }
        Err(problems) => {
            super::show(std::slice::from_ref(source), &problems, true);
            WRONG_INPUT
        }
    }
}

/// Formats one script to a file, or to standard output.
pub fn one(source: &Source, place: Option<&str>) -> anyhow::Result<u8> {
    let text = match fathom_syntax::format(&source.text) {
        Ok(text) => text,
        Err(problems) => {
            super::show(std::slice::from_ref(source), &problems, true);
            return Ok(WRONG_INPUT);
        }
    };
    match place {
        None => super::print(text.as_bytes()),
        Some(path) => {
            let is_as_it_was = std::fs::read(path).is_ok_and(|old| old == text.as_bytes());
            if !is_as_it_was {
                replace(Path::new(path), text.as_bytes())
                    .with_context(|| Mistake(format!("cannot write {path}")))?;
            }
            Ok(0)
        }
    }
}

/// All of it or nothing: readers see the old file or the new one. Links are followed, permissions stay.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = folder
        .unwrap_or(Path::new("."))
        .join(format!(".{name}.{}.new", std::process::id()));
    let written = write_new(&new, bytes).and_then(|()| {
        if let Ok(old) = std::fs::metadata(&path) {
            std::fs::set_permissions(&new, old.permissions())?;
        }
        std::fs::rename(&new, &path)
    });
    if written.is_err() {
        // It may not even be there.
        let _ = std::fs::remove_file(&new);
    }
    written
}

fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = std::fs::File::create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn files_are_replaced_as_a_whole_and_keep_what_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("a.bt"), folder.path().join("b.bt"));
        std::fs::write(&file, "begin{exit();}").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o750)).unwrap();
        symlink(&file, &link).unwrap();
        replace(&link, b"new").unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"new");
        assert!(link.is_symlink());
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o750);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
        assert!(replace(&folder.path().join("none/x"), b"").is_err());
    }
}
