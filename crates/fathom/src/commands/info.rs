//! `fathom info`: what this kernel and this user can do.

use fathom_machine::Machine;
use fathom_runtime::{Feature, features};

/// Flags of `fathom info`.
#[derive(clap::Args)]
#[command(after_help = "Example:
  fathom info")]
pub struct Args {}

/// Probes each feature of the kernel.
pub fn run(_args: &Args) -> anyhow::Result<u8> {
    let machine = Machine::at("/");
    if let Some(release) = machine.kernel_release() {
        println!("kernel      {release}");
    }
    println!(
        "BTF         {}",
        if machine.btf().is_ok() { "yes" } else { "no" }
    );
    println!(
        "tracefs     {}",
        if machine.tracefs().is_ok() {
            "yes"
        } else {
            "no"
        }
    );
    println!();
    println!("{:<8} {:<9} feature", "here", "since");
    for feature in Feature::ALL {
        let found = features::probe(*feature, &machine);
        println!(
            "{:<8} {:<9} {}",
            if found { "yes" } else { "no" },
            feature.since(),
            feature.description()
        );
    }
    Ok(0)
}
