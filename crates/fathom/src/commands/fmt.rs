//! `fathom fmt`: scripts in one style.

use anyhow::Context;

/// Flags of `fathom fmt`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  fathom fmt tool.bt
  fathom fmt --check *.bt")]
pub struct Args {
    /// Script files; standard input if there are none
    files: Vec<String>,
    /// Change nothing; fail if a file is not formatted
    #[arg(long)]
    check: bool,
}

/// Formats files in place, or standard input to standard output.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let mut code = 0;
    if args.files.is_empty() {
        let source = super::read_source(None, None)?;
        return Ok(match fathom_syntax::format(&source.text) {
            Ok(text) => {
                print!("{text}");
                0
            }
            Err(problems) => {
                super::show(&source, &problems, true);
                super::WRONG_INPUT
            }
        });
    }
    for file in &args.files {
        let source = super::read_source(None, Some(file))?;
        match fathom_syntax::format(&source.text) {
            Ok(text) if text == source.text => {}
            Ok(_) if args.check => {
                eprintln!("{file} is not formatted");
                code = super::WRONG_INPUT;
            }
            Ok(text) => {
                std::fs::write(file, text).with_context(|| format!("cannot write {file}"))?
            }
            Err(problems) => {
                super::show(&source, &problems, true);
                code = super::WRONG_INPUT;
            }
        }
    }
    Ok(code)
}
