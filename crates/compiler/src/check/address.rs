//! Addresses known while compiling: `kaddr`, `uaddr`, `cgroupid`.

use std::path::{Path, PathBuf};

use fathom_bpf::object::Place;

use fathom_machine::FileOffset;

use super::Checker;
use crate::ty::Type;

/// Where a data symbol lies.
pub(crate) struct UserAddress {
    /// In a program that is loaded where its file says.
    pub(crate) address: u64,
    /// In one that is loaded anywhere: from the probed instruction.
    pub(crate) from_probe: Option<i64>,
    /// What its size suggests.
    pub(crate) ty: Type,
}

fn moved(path: &Path) -> String {
    format!(
        "{} is loaded at any address, which only a single uprobe or usdt place tells: give this probe a block of its own",
        path.display()
    )
}

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
    pub(crate) fn user_address(&self, name: &str) -> Result<UserAddress, String> {
        let path = self
            .traced_file()
            .ok_or("only uprobe, uretprobe and usdt probes have a program to look in")?;
        let elf = self.machine.elf(&path).map_err(|error| error.to_string())?;
        let symbol = elf.data_symbol(name).map_err(|error| error.to_string())?;
        let ty = match symbol.size {
            1 => Type::U8,
            2 => Type::U16,
            4 => Type::U32,
            _ => Type::U64,
        };
        let from_probe = match elf.is_position_independent() {
            false => None,
            true => {
                let site = self.only_site().ok_or_else(|| moved(&path))?;
                let site = elf
                    .address_of(FileOffset(site))
                    .ok_or_else(|| moved(&path))?;
                Some(symbol.address.0.wrapping_sub(site.0) as i64)
            }
        };
        Ok(UserAddress {
            address: symbol.address.0,
            from_probe,
            ty,
        })
    }

    /// File offset of the probed place, when it is the only one and the instruction pointer points to it.
    fn only_site(&self) -> Option<u64> {
        let [point] = self.group.points.as_slice() else {
            return None;
        };
        match &point.place {
            Place::Uprobe {
                site,
                on_return: false,
                ..
            } => Some(site.offset),
            Place::UprobeMulti {
                sites,
                on_return: false,
                ..
            } => match sites.as_slice() {
                [site] => Some(site.offset),
                _ => None,
            },
            _ => None,
        }
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
