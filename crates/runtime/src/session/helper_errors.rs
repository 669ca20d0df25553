//! Helpers that failed in programs: counted there, told here with the place in the script.

use super::HelperErrorLevel;
use crate::error::{Error, Result};
use crate::maps::{Table, u64_at};
use crate::output::{Output, position};
use fathom_bpf::Object;
use fathom_bpf::map::MapRole;
use fathom_bpf::object::ErrorSite;
use fathom_output::Message;
use std::io;
use std::time::{Duration, Instant};

/// How often counters are read while the session runs.
const INTERVAL: Duration = Duration::from_millis(500);

/// What was told so far.
pub(super) struct HelperErrors {
    level: HelperErrorLevel,
    /// Index of the map that counts them.
    map: Option<usize>,
    /// By error site.
    told: Vec<u64>,
    last_look: Instant,
}

impl HelperErrors {
    pub(super) fn new(object: &Object, level: HelperErrorLevel) -> HelperErrors {
        HelperErrors {
            level,
            map: object
                .maps
                .iter()
                .position(|map| map.role == MapRole::Errors),
            told: vec![0; object.error_sites.len()],
            last_look: Instant::now(),
        }
    }

    /// Whether it is time to look at counters again.
    pub(super) fn is_due(&mut self) -> bool {
        let is_due = self.last_look.elapsed() >= INTERVAL;
        if is_due {
            self.last_look = Instant::now();
        }
        is_due
    }

    /// Tells each site that failed since the last time, once.
    pub(super) fn tell(
        &mut self,
        object: &Object,
        tables: &[Table<'_>],
        output: &mut Output<'_>,
    ) -> Result<()> {
        let Some(table) = self.map.and_then(|index| tables.get(index)) else {
            return Ok(());
        };
        for (index, site) in object.error_sites.iter().enumerate() {
            let is_wanted = match self.level {
                HelperErrorLevel::Silent => false,
                HelperErrorLevel::Losses => site.is_loss,
                HelperErrorLevel::All => true,
            };
            if !is_wanted {
                continue;
            }
            let snapshot = table.entry_of(&(index as u32).to_ne_bytes());
            let snapshot = snapshot.map_err(|source| Error::Map {
                name: "errors".into(),
                source,
            })?;
            let cells = snapshot.entries.iter().flat_map(|entry| &entry.values);
            let (mut count, mut code) = (0u64, 0);
            for cell in cells.filter(|cell| u64_at(cell, 0) > 0) {
                count = count.saturating_add(u64_at(cell, 0));
                code = u64_at(cell, 8) as i64;
            }
            if count > self.told[index] {
                self.told[index] = count;
                let text = explain(site, code);
                let position = position(&object.sources, site.span);
                output.tell(&Message::HelperError {
                    helper: &site.helper,
                    return_code: code,
                    text: &text,
                    position,
                })?;
            }
        }
        Ok(())
    }
}

fn explain(site: &ErrorSite, code: i64) -> String {
    let errno = i32::try_from(code.saturating_neg()).unwrap_or(0);
    if site.helper.contains("map_update") && errno == libc::E2BIG {
        return "Map full; can't update element. Try increasing max_map_keys config or manually setting the max entries in a map declaration e.g. `let @a = hash(5000)`".into();
    }
    if errno <= 0 {
        return format!("{} failed", site.helper);
    }
    let text = io::Error::from_raw_os_error(errno).to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    format!("Failed to {}: {text}", site.helper)
}
