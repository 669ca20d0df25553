//! Performance monitoring units from `/sys/bus/event_source/devices`: their type numbers and config bits.

use crate::{Error, Result, bytes};
use std::path::Path;

/// A PMU by its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pmu {
    /// Its folder's name: `uprobe`, `software`, `cpu` …
    pub name: String,
    /// What goes into `perf_event_attr.type`.
    pub kind: u32,
}

/// The `uprobe` or `kprobe` PMU with the places of its config bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbePmu {
    /// What goes into `perf_event_attr.type`.
    pub kind: u32,
    /// Bit of `config` that asks for the return.
    pub retprobe_bit: u8,
    /// First bit of `config` that takes the offset of a USDT semaphore (32 bits); only uprobes have it, since Linux 4.20.
    pub ref_ctr_shift: Option<u8>,
}

impl Pmu {
    /// A PMU by name; `devices` is `/sys/bus/event_source/devices` of the machine.
    pub fn find(devices: &Path, name: &str) -> Result<Pmu> {
        let path = devices.join(name).join("type");
        let text = bytes::read_text(&path).map_err(|error| {
            if error.is_missing() {
                Error::not_found("PMU", name)
            } else {
                error
            }
        })?;
        let kind = text
            .trim()
            .parse()
            .map_err(|_| Error::malformed(path.display().to_string(), "not a number"))?;
        Ok(Pmu {
            name: name.to_string(),
            kind,
        })
    }

    /// All PMUs in order of name.
    pub fn all(devices: &Path) -> Result<Vec<Pmu>> {
        let entries = std::fs::read_dir(devices).map_err(Error::read(devices))?;
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        names.sort_unstable();
        Ok(names
            .iter()
            .filter_map(|name| Pmu::find(devices, name).ok())
            .collect())
    }
}

impl ProbePmu {
    /// The `uprobe` or `kprobe` PMU.
    pub fn find(devices: &Path, name: &str) -> Result<ProbePmu> {
        let kind = Pmu::find(devices, name)?.kind;
        let format = devices.join(name).join("format");
        let first_bit = |file: &str| -> Option<u8> {
            let text = bytes::read_text(&format.join(file)).ok()?;
            let bits = text.trim().strip_prefix("config:")?;
            bits.split('-').next()?.parse().ok().filter(|bit| *bit < 64)
        };
        Ok(ProbePmu {
            kind,
            retprobe_bit: first_bit("retprobe").unwrap_or(0),
            ref_ctr_shift: first_bit("ref_ctr_offset"),
        })
    }
}
