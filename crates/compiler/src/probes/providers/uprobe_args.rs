//! Debug information of traced binaries, and places of source lines.

use std::sync::Arc;

use fathom_machine::dwarf::DebugInfo;
use fathom_machine::elf::Elf;
use fathom_machine::{Address, Error, Result};

use crate::probes::expand::Expander;

/// Where the code of a source line starts.
pub(super) fn line_addresses(
    expander: &Expander<'_>,
    elf: &Arc<Elf>,
    line: (&str, u64, Option<u64>),
) -> Result<Vec<Address>> {
    let (file, line, column) = line;
    let found = debug_info(expander, elf)?.find_line(file, line, column)?;
    let in_code = found
        .iter()
        .map(|found| found.address)
        .filter(|address| elf.is_code(*address));
    let addresses: Vec<Address> = in_code.collect();
    if addresses.is_empty() {
        return Err(Error::NoDebugInfo {
            path: elf.path().to_path_buf(),
        });
    }
    Ok(addresses)
}

/// Debug information of a binary, found once.
pub(super) fn debug_info(expander: &Expander<'_>, elf: &Arc<Elf>) -> Result<Arc<DebugInfo>> {
    if let Some(known) = expander.debug_infos.borrow().get(elf.path()) {
        return Ok(known.clone());
    }
    let found = Arc::new(expander.machine.debug_info(elf)?);
    expander
        .debug_infos
        .borrow_mut()
        .insert(elf.path().to_path_buf(), found.clone());
    Ok(found)
}
