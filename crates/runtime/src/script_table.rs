//! A script's map as its user sees it, whatever kernel maps it is kept in.

use crate::maps::Table;
use crate::slots::Slots;
use fathom_bpf::map::{MapRole, SHORT_TEXT};
use fathom_bpf::slots::SlotTable;
use fathom_bpf::{MapId, Object};
use fathom_output::{MapEntry, MapSnapshot};
use std::collections::HashMap;
use std::io;

/// One map of the script.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScriptTable<'a> {
    whole: Table<'a>,
    side: Side<'a>,
}

/// Where the entries are that are not in the map itself.
#[derive(Clone, Copy, Debug)]
enum Side<'a> {
    /// All are.
    None,
    /// See [`MapRole::ShortTexts`].
    ShortTexts(Table<'a>),
    /// See [`MapRole::Slots`].
    Slots(Table<'a>, SlotTable),
}

impl<'a> ScriptTable<'a> {
    /// The tables of map `id`; `None` if there is no such map.
    pub(crate) fn new(object: &Object, tables: &[Table<'a>], id: MapId) -> Option<ScriptTable<'a>> {
        let whole = *tables.get(id.0 as usize)?;
        let side = object
            .maps
            .iter()
            .zip(tables)
            .find_map(|(map, table)| match &map.role {
                MapRole::ShortTexts { of } if *of == id => Some(Side::ShortTexts(*table)),
                MapRole::Slots(slots) if slots.of == id => Some(Side::Slots(*table, *slots)),
                _ => None,
            });
        Some(ScriptTable {
            whole,
            side: side.unwrap_or(Side::None),
        })
    }

    /// All entries. One that has cells in both places has those of both.
    pub(crate) fn snapshot(&self) -> io::Result<MapSnapshot> {
        let mut snapshot = self.whole.snapshot()?;
        match &self.side {
            Side::None => {}
            Side::ShortTexts(short) => {
                let entries = short.snapshot()?.entries.into_iter();
                snapshot
                    .entries
                    .extend(entries.map(|entry| self.widened(entry)));
            }
            Side::Slots(table, shape) => {
                let slots = Slots::map(table.fd(), *shape)?;
                let mut joined = Joined::new(&mut snapshot);
                slots.each(|key, value| joined.add(key, value));
            }
        }
        Ok(snapshot)
    }

    /// A snapshot of one key.
    pub(crate) fn entry_of(&self, key: &[u8]) -> io::Result<MapSnapshot> {
        match &self.side {
            Side::None => self.whole.entry_of(key),
            Side::ShortTexts(short) => match short_text(key) {
                Some(text) => {
                    let entries = short.entry_of(&text)?.entries.into_iter();
                    let entries = entries.map(|entry| self.widened(entry)).collect();
                    Ok(MapSnapshot { entries })
                }
                None => self.whole.entry_of(key),
            },
            Side::Slots(table, shape) => {
                let mut snapshot = self.whole.entry_of(key)?;
                let slots = Slots::map(table.fd(), *shape)?;
                let mut joined = Joined::new(&mut snapshot);
                slots.each(|found, value| {
                    if found == key {
                        joined.add(found, value);
                    }
                });
                Ok(snapshot)
            }
        }
    }

    /// `clear(@map)`: no key is left; a scalar is unset.
    pub(crate) fn clear(&self) -> io::Result<()> {
        self.whole.clear()?;
        match &self.side {
            Side::None => Ok(()),
            Side::ShortTexts(short) => short.clear(),
            Side::Slots(table, shape) => Slots::map(table.fd(), *shape).map(|slots| slots.clear()),
        }
    }

    /// `zero(@map)`: all keys stay, their values become 0.
    pub(crate) fn zero(&self) -> io::Result<()> {
        self.whole.zero()?;
        match &self.side {
            Side::None => Ok(()),
            Side::ShortTexts(short) => short.zero(),
            Side::Slots(table, shape) => Slots::map(table.fd(), *shape).map(|slots| slots.zero()),
        }
    }

    /// A short text's entry with its key as long as that of the others.
    fn widened(&self, mut entry: MapEntry) -> MapEntry {
        entry.key.resize(self.whole.key_size(), 0);
        entry
    }
}

/// Entries under construction, found by key.
struct Joined<'s> {
    snapshot: &'s mut MapSnapshot,
    by_key: HashMap<Vec<u8>, usize>,
}

impl<'s> Joined<'s> {
    fn new(snapshot: &'s mut MapSnapshot) -> Joined<'s> {
        let entries = snapshot.entries.iter().enumerate();
        let by_key = entries.map(|(index, entry)| (entry.key.clone(), index));
        Joined {
            by_key: by_key.collect(),
            snapshot,
        }
    }

    fn add(&mut self, key: &[u8], value: &[u8]) {
        let index = *self.by_key.entry(key.to_vec()).or_insert_with(|| {
            self.snapshot.entries.push(MapEntry {
                key: key.to_vec(),
                values: Vec::new(),
            });
            self.snapshot.entries.len() - 1
        });
        self.snapshot.entries[index].values.push(value.to_vec());
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

    #[test]
    fn cells_of_a_key_are_joined_wherever_they_lie() {
        let entry = |key: u8, values: &[u8]| MapEntry {
            key: vec![key],
            values: values.iter().map(|value| vec![*value]).collect(),
        };
        let mut snapshot = MapSnapshot {
            entries: vec![entry(1, &[10, 11])],
        };
        let mut joined = Joined::new(&mut snapshot);
        joined.add(&[2], &[20]);
        joined.add(&[1], &[12]);
        joined.add(&[2], &[21]);
        assert_eq!(
            snapshot.entries,
            [entry(1, &[10, 11, 12]), entry(2, &[20, 21])]
        );
    }
}
