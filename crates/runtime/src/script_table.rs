//! A script's map as its user sees it, whatever kernel maps it is kept in.

use crate::maps::Table;
use fathom_bpf::map::{MapRole, SHORT_TEXT};
use fathom_bpf::{MapId, Object};
use fathom_output::{MapEntry, MapSnapshot};
use std::io;

/// One map of the script.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScriptTable<'a> {
    whole: Table<'a>,
    /// The entries whose text is short: see [`MapRole::ShortTexts`].
    short: Option<Table<'a>>,
}

impl<'a> ScriptTable<'a> {
    /// The tables of map `id`; `None` if there is no such map.
    pub(crate) fn new(object: &Object, tables: &[Table<'a>], id: MapId) -> Option<ScriptTable<'a>> {
        let whole = *tables.get(id.0 as usize)?;
        let is_short = |role: &MapRole| matches!(role, MapRole::ShortTexts { of } if *of == id);
        let short = object.maps.iter().position(|map| is_short(&map.role));
        Some(ScriptTable {
            whole,
            short: short.and_then(|index| tables.get(index)).copied(),
        })
    }

    /// All entries.
    pub(crate) fn snapshot(&self) -> io::Result<MapSnapshot> {
        let mut snapshot = self.whole.snapshot()?;
        if let Some(short) = &self.short {
            let entries = short.snapshot()?.entries;
            let widen = |entry| self.widened(entry);
            snapshot.entries.extend(entries.into_iter().map(widen));
        }
        Ok(snapshot)
    }

    /// A snapshot of one key.
    pub(crate) fn entry_of(&self, key: &[u8]) -> io::Result<MapSnapshot> {
        let Some((short, text)) = self.short.zip(short_text(key)) else {
            return self.whole.entry_of(key);
        };
        let entries = short.entry_of(&text)?.entries;
        let widen = |entry| self.widened(entry);
        Ok(MapSnapshot {
            entries: entries.into_iter().map(widen).collect(),
        })
    }

    /// `clear(@map)`: no key is left; a scalar is unset.
    pub(crate) fn clear(&self) -> io::Result<()> {
        self.whole.clear()?;
        self.short.as_ref().map_or(Ok(()), Table::clear)
    }

    /// `zero(@map)`: all keys stay, their values become 0.
    pub(crate) fn zero(&self) -> io::Result<()> {
        self.whole.zero()?;
        self.short.as_ref().map_or(Ok(()), Table::zero)
    }

    /// A short text's entry with its key as long as that of the others.
    fn widened(&self, mut entry: MapEntry) -> MapEntry {
        entry.key.resize(self.whole.key_size(), 0);
        entry
    }
}

/// The key of a text in the short table; `None` if it is too long for that.
fn short_text(key: &[u8]) -> Option<[u8; SHORT_TEXT as usize]> {
    let mut text = [0; SHORT_TEXT as usize];
    let end = key.iter().take(text.len()).position(|byte| *byte == 0)?;
    text[..end].copy_from_slice(&key[..end]);
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_short_if_it_fits_with_its_nul() {
        let text = |len: usize| {
            let mut key = vec![b'a'; len];
            key.resize(1024, 0);
            key
        };
        let limit = SHORT_TEXT as usize;
        let longest = short_text(&text(limit - 1)).map(|key| key.to_vec());
        assert_eq!(longest.as_deref(), Some(&text(limit - 1)[..limit]));
        assert_eq!(short_text(&text(limit)), None);
        assert_eq!(
            short_text(&[b'x', 0, b'y']).map(|key| (key[0], key[1], key[2])),
            Some((b'x', 0, 0))
        );
    }
}
