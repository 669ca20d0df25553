//! Network devices.

use crate::Machine;

/// Devices listed at most.
const MAX_DEVICES: usize = 65_536;

impl Machine {
    /// Names of the network devices, in order; none where neither `/proc` nor `/sys` tells.
    ///
    /// `/proc/net` shows the network namespace of whoever reads it; `/sys` that in which it was mounted, often another one.
    pub fn network_devices(&self) -> Vec<String> {
        let mut names = match std::fs::read_to_string(self.path("/proc/net/dev")) {
            Ok(table) => devices_of(&table),
            Err(_) => self.devices_in_sys(),
        };
        names.truncate(MAX_DEVICES);
        names.sort_unstable();
        names
    }

    fn devices_in_sys(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.path("/sys/class/net")) else {
            return Vec::new();
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        // A file among the devices, which the bonding module makes.
        let devices = names.filter(|name| name != "bonding_masters");
        devices.take(MAX_DEVICES).collect()
    }
}

/// Two lines of titles, then a device in each: `  eth0: 1296 8 …`.
fn devices_of(table: &str) -> Vec<String> {
    let rows = table.lines().skip(2);
    let names = rows.filter_map(|row| row.rsplit_once(": ").or_else(|| row.rsplit_once(':')));
    names.map(|(name, _)| name.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::devices_of;

    #[test]
    fn rows_behind_the_titles() {
        let table = "Inter-|   Receive |  Transmit\n face |bytes packets|bytes packets\n    lo: 1 2 3\neth0.7:12345 6\n";
        assert_eq!(devices_of(table), ["lo", "eth0.7"]);
        assert_eq!(devices_of(""), [""; 0]);
    }
}
