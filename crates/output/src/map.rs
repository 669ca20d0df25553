//! Raw entries of a kernel map → rows in the order they are shown.

use crate::cells;
use crate::decode::{DecodeContext, DecodeError, decode, read_u64, slice};
use crate::intervals;
use crate::value::Value;
use fathom_bpf::Layout;
use fathom_bpf::map::{ScriptMap, Storage};
use std::collections::BTreeMap;

/// What the runtime read from a kernel map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapSnapshot {
    /// In the kernel's order.
    pub entries: Vec<MapEntry>,
}

/// One key with its value, or its value on each CPU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapEntry {
    /// The kernel's key.
    pub key: Vec<u8>,
    /// One element, or one per possible CPU.
    pub values: Vec<Vec<u8>>,
}

/// A map ready to be shown.
#[derive(Clone, Debug, PartialEq)]
pub struct MapView {
    /// As written, with `@`.
    pub name: String,
    /// Rows carry keys.
    pub is_keyed: bool,
    /// In ascending order; at most one when not keyed.
    pub rows: Vec<MapRow>,
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct MapRow {
    /// `None` for scalar maps.
    pub key: Option<Value>,
    /// Merged over CPUs and divided.
    pub value: Value,
}

/// Arguments of `print(@map, top, divisor)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MapOptions {
    /// Only the last so many rows.
    pub top: Option<u64>,
    /// Divides what is shown.
    pub divisor: Option<u64>,
    /// What a scalar without value shows.
    pub unset: Unset,
}

/// What is shown of a scalar map that has no value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unset {
    /// Nothing: at the end of a session.
    #[default]
    Hidden,
    /// Its zero, but no empty histogram: asked for by `print(@map)`.
    Zero,
    /// Its zero, whatever it is: it had a value until `zero(@map)`.
    Zeroed,
}

/// A key's bytes with the cells that belong to it: bucket (0 where there are none) and bytes.
type Group<'a> = (&'a [u8], Vec<(u64, &'a [u8])>);

impl MapView {
    /// Decodes, merges and sorts.
    pub fn new(
        snapshot: &MapSnapshot,
        map: &ScriptMap,
        options: MapOptions,
        ctx: &DecodeContext<'_>,
    ) -> Result<MapView, DecodeError> {
        let mut rows = Vec::new();
        let entries = snapshot.entries.iter();
        let all_cells = entries.flat_map(|entry| entry.values.iter().map(Vec::as_slice));
        let newest = intervals::newest(all_cells, &map.value)?;
        for (key_bytes, cells) in groups(snapshot, map)? {
            let value = match map.value {
                Layout::TimeSeries { .. } => {
                    let series = intervals::merge(&cells, &map.value, newest, ctx.resolver)?;
                    let is_zeroed = map.key.is_some() || options.unset == Unset::Zeroed;
                    (is_zeroed || !series.points.is_empty()).then_some(Value::Series(series))
                }
                _ => value(&cells, map, options.unset, ctx)?,
            };
            let Some(value) = value else {
                continue;
            };
            let key = match &map.key {
                Some(layout) => Some(decode(key_bytes, layout, ctx)?),
                None => None,
            };
            rows.push((key_bytes, MapRow { key, value }));
        }
        crate::order::sort(&mut rows);
        let top = options.top.unwrap_or(0);
        let skipped = match usize::try_from(top) {
            Ok(0) | Err(_) => 0,
            Ok(top) => rows.len().saturating_sub(top),
        };
        Ok(MapView {
            name: map.name.clone(),
            is_keyed: map.key.is_some(),
            rows: rows
                .drain(skipped..)
                .map(|(_, row)| MapRow {
                    value: row.value.divided(options.divisor.unwrap_or(1)),
                    key: row.key,
                })
                .collect(),
        })
    }
}

/// Collects the cells of each key.
fn groups<'a>(snapshot: &'a MapSnapshot, map: &ScriptMap) -> Result<Vec<Group<'a>>, DecodeError> {
    match map.storage {
        Storage::Buckets => {
            let key_size = map.key.as_ref().map_or(0, Layout::size) as usize;
            let bucket_offset = key_size.next_multiple_of(8);
            let mut groups: BTreeMap<&[u8], Vec<(u64, &[u8])>> = BTreeMap::new();
            for entry in &snapshot.entries {
                let key = slice(&entry.key, 0, key_size)?;
                let bucket = read_u64(&entry.key, bucket_offset)?;
                let cells = entry.values.iter().map(|cell| (bucket, cell.as_slice()));
                groups.entry(key).or_default().extend(cells);
            }
            Ok(groups.into_iter().collect())
        }
        Storage::BucketArray => {
            let mut cells = Vec::new();
            for entry in &snapshot.entries {
                let bucket = u64::from(crate::decode::read_u32(&entry.key, 0)?);
                cells.extend(entry.values.iter().map(|cell| (bucket, cell.as_slice())));
            }
            Ok(vec![(&[], cells)])
        }
        _ => Ok(snapshot
            .entries
            .iter()
            .map(|entry| {
                let cells = entry.values.iter().map(|cell| (0, cell.as_slice()));
                (entry.key.as_slice(), cells.collect())
            })
            .collect()),
    }
}

/// The value of one key; `None` when a scalar was never set and is not to be shown.
fn value(
    cells: &[(u64, &[u8])],
    map: &ScriptMap,
    unset: Unset,
    ctx: &DecodeContext<'_>,
) -> Result<Option<Value>, DecodeError> {
    let first = cells.first().map_or(&[][..], |(_, bytes)| bytes);
    let is_hidden = unset == Unset::Hidden;
    match map.storage {
        Storage::Scalar if is_hidden && read_u64(first, 0)? == 0 => Ok(None),
        Storage::Scalar => decode(slice(first, 8, first.len() - 8)?, &map.value, ctx).map(Some),
        Storage::Plain => decode(first, &map.value, ctx).map(Some),
        Storage::PerCpu | Storage::PerCpuScalar => {
            let cells: Vec<&[u8]> = cells.iter().map(|(_, bytes)| *bytes).collect();
            let is_scalar = map.storage == Storage::PerCpuScalar;
            if is_scalar && is_hidden && !cells::is_used(&cells, &map.value)? {
                return Ok(None);
            }
            if !map.value.is_aggregation() {
                return decode(first, &map.value, ctx).map(Some);
            }
            cells::merge_cells(&cells, &map.value).map(Some)
        }
        // A key that is there with zeros only was zeroed.
        Storage::Buckets => cells::merge_buckets(cells, &map.value, Unset::Zeroed),
        Storage::BucketArray => cells::merge_buckets(cells, &map.value, unset),
    }
}
