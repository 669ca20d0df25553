//! CPU lists such as `0-3,8`.

use crate::{Error, Machine, Result, bytes};

/// CPUs taken at most; the kernel's own limit is 8192.
const MAX_CPUS: u32 = 65_536;

/// The CPUs a list names, in order.
pub fn parse_cpu_list(text: &str) -> std::result::Result<Vec<u32>, &'static str> {
    let mut cpus = Vec::new();
    for part in text.trim().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (Ok(first), Ok(last)) = (first.parse::<u32>(), last.parse::<u32>()) else {
            return Err("not a list of numbers");
        };
        if first > last || last >= MAX_CPUS {
            return Err("a range that cannot be");
        }
        cpus.extend(first..=last);
        if cpus.len() > MAX_CPUS as usize {
            return Err("more CPUs than there can be");
        }
    }
    cpus.sort_unstable();
    cpus.dedup();
    Ok(cpus)
}

impl Machine {
    /// The CPUs that run now.
    pub fn online_cpus(&self) -> Result<Vec<u32>> {
        self.cpu_list("online")
    }

    /// The CPUs that could be there: per-CPU maps have a value for each.
    pub fn possible_cpus(&self) -> Result<Vec<u32>> {
        self.cpu_list("possible")
    }

    fn cpu_list(&self, name: &str) -> Result<Vec<u32>> {
        let path = self.path("/sys/devices/system/cpu").join(name);
        let cpus = parse_cpu_list(&bytes::read_text(&path)?)
            .map_err(|why| Error::malformed(path.display().to_string(), why))?;
        if cpus.is_empty() {
            Err(Error::malformed(path.display().to_string(), "no CPUs"))
        } else {
            Ok(cpus)
        }
    }
}
