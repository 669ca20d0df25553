//! Network devices.

use crate::Machine;

/// Devices listed at most.
const MAX_DEVICES: usize = 65_536;

impl Machine {
    /// Names of the network devices, in order; none where `/sys` is not there.
    pub fn network_devices(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.path("/sys/class/net")) else {
            return Vec::new();
        };
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .take(MAX_DEVICES)
            .collect();
        // A file among the devices, which the bonding module makes.
        names.retain(|name| name != "bonding_masters");
        names.sort_unstable();
        names
    }
}
