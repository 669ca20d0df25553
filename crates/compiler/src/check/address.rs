//! Addresses known while compiling: `kaddr`, `uaddr`, `cgroupid`.

use std::path::{Path, PathBuf};

use fathom_bpf::object::Place;

use super::Checker;
use crate::ty::Type;

impl Checker<'_, '_> {
    /// Address of a kernel symbol.
    pub(crate) fn kernel_address(&self, name: &str) -> Result<u64, String> {
        let symbols = self.machine.kallsyms().map_err(|error| error.to_string())?;
        symbols
            .address_of(name)
            .map(|address| address.0)
            .map_err(|error| error.to_string())
    }

    /// Address of a data symbol in the program that the probe is attached to, and the type its size suggests.
    pub(crate) fn user_address(&self, name: &str) -> Result<(u64, Type), String> {
        let path = self
            .traced_file()
            .ok_or("only uprobe, uretprobe and usdt probes have a program to look in")?;
        let elf = self.machine.elf(&path).map_err(|error| error.to_string())?;
        let symbol = elf.data_symbol(name).map_err(|error| error.to_string())?;
        if elf.is_position_independent() {
            return Err(format!(
                "{} is position independent: its symbols have no fixed address; build it with -no-pie",
                path.display()
            ));
        }
        let ty = match symbol.size {
            1 => Type::U8,
            2 => Type::U16,
            4 => Type::U32,
            _ => Type::U64,
        };
        Ok((symbol.address.0, ty))
    }

    fn traced_file(&self) -> Option<PathBuf> {
        self.group
            .points
            .iter()
            .find_map(|point| match &point.place {
                Place::Uprobe { path, .. } | Place::UprobeMulti { path, .. } => {
                    Some(PathBuf::from(path))
                }
                _ => None,
            })
    }

    /// Id of the cgroup whose folder that is.
    pub(crate) fn cgroup_id(&self, path: &str) -> Result<u64, String> {
        self.machine
            .cgroup_id(Path::new(path))
            .map_err(|error| error.to_string())
    }
}
