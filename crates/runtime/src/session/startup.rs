//! The child of `-c` becomes its program. Where stacks are walked, all that its loader maps is told before anything of it runs.

use super::Run;
use crate::child::Child;
use crate::error::Result;
use crate::sys::capability;
use crate::sys::startup::Startup;
use fathom_machine::process::Process;
use fathom_machine::{Address, Pid};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;

const CAP_SYS_PTRACE: u32 = 19;

impl Run<'_, '_> {
    /// Lets the child go. It runs at its own pace once it does something that is not its loader's.
    pub(super) fn release(&mut self, child: &mut Child) -> Result<()> {
        let pid = child.pid();
        let follow = |_: &_| Startup::follow(pid).ok();
        let walker = self.unwinder.as_ref().filter(|_| may_follow());
        let startup = walker.and_then(follow);
        child.release()?;
        let Some(startup) = startup else {
            return Ok(());
        };
        let process = self.machine.process(Pid(pid));
        let mut loader = None;
        let is_loader = |address: u64| {
            let loader = loader.get_or_insert_with(|| loader_of(&process, address));
            loader.contains(&address)
        };
        startup.run(|| self.look_at(pid), is_loader)
    }
}

/// Without this right of ours, the kernel would not give a set-user-id program its own rights while it is followed.
fn may_follow() -> bool {
    capability::effective().is_ok_and(|rights| rights & (1 << CAP_SYS_PTRACE) != 0)
}

/// Where the loader's code is: around the place of the first system call; nowhere when that is the program itself.
fn loader_of(process: &Process, address: u64) -> Range<u64> {
    let program = std::fs::metadata(process.exe_link()).map(|meta| meta.ino());
    let mapping = process.mapping_at(Address(address)).ok().flatten();
    match (mapping, program) {
        (Some(mapping), Ok(program)) if mapping.inode != program => mapping.range,
        _ => 0..0,
    }
}
