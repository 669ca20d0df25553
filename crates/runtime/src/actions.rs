//! What user space does for an event: one function for each kind of action.

mod calls;
mod packets;

use crate::error::{Error, Result};
use crate::maps::Table;
use crate::output::{Output, position};
use crate::script_table::ScriptTable;
use crate::symbols::Symbols;
use fathom_bpf::map::{MapRole, ScriptMap, Storage};
use fathom_bpf::object::{Action, ActionKind, FormatSink};
use fathom_bpf::{Field, Layout, MapId, Object};
use fathom_output::decode::STRING_CUT;
use fathom_output::time::strftime;
use fathom_output::whole::DynamicTypes;
use fathom_output::{
    DecodeContext, FormatPlan, MapOptions, MapSnapshot, MapView, Message, Resolver, Unset, Value,
    decode_field,
};
use packets::PacketFiles;
use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// Strings that `join` puts together at most, whatever an event claims.
const MAX_JOINED: u32 = 1024;
/// Bytes of a command's output that are shown.
const MAX_COMMAND_OUTPUT: u64 = 64 << 20;

/// What an event asks of the session itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Nothing.
    Nothing,
    /// `exit(code)`
    Exit(i32),
    /// `unwatch(address)`
    Unwatch(u64),
    /// A program met a process for the first time: its stacks may have to be walked.
    Walk(u32),
}

/// The actions of an object, ready to be done.
pub(crate) struct Actions<'a> {
    object: &'a Object,
    tables: &'a [Table<'a>],
    symbols: &'a Symbols<'a>,
    /// Formats by action; `None` for other kinds.
    plans: Vec<Option<FormatPlan>>,
    is_unsafe_allowed: bool,
    dynamic_types: Option<Arc<dyn DynamicTypes>>,
    packet_files: PacketFiles,
    /// Maps that had a value until `zero()`.
    zeroed: HashSet<MapId>,
    /// Events that made no sense.
    pub(crate) malformed: u64,
}

impl<'a> Actions<'a> {
    pub(crate) fn new(
        object: &'a Object,
        tables: &'a [Table<'a>],
        symbols: &'a Symbols<'a>,
        is_unsafe_allowed: bool,
        dynamic_types: Option<Arc<dyn DynamicTypes>>,
    ) -> Result<Actions<'a>> {
        let plan = |action: &Action| match &action.kind {
            ActionKind::Format { format, args, .. } => {
                let plan = FormatPlan::new(format, args, &object.settings.string_trailer);
                plan.map(Some)
                    .map_err(|error| Error::Object(format!("format {format:?}: {error}")))
            }
            _ => Ok(None),
        };
        Ok(Actions {
            object,
            tables,
            symbols,
            plans: object.actions.iter().map(plan).collect::<Result<_>>()?,
            is_unsafe_allowed,
            dynamic_types,
            packet_files: PacketFiles::default(),
            zeroed: HashSet::new(),
            malformed: 0,
        })
    }

    /// Does what the event says. Events are claims: one that makes no sense is counted and left out.
    pub(crate) fn handle(&mut self, event: &[u8], output: &mut Output<'_>) -> Result<Asked> {
        let Some((number, event)) = split_header(event) else {
            self.malformed += 1;
            return Ok(Asked::Nothing);
        };
        let object = self.object;
        let Some(action) = object.actions.get(number as usize) else {
            self.malformed += 1;
            return Ok(Asked::Nothing);
        };
        match &action.kind {
            ActionKind::Format { sink, .. } => {
                self.format(number as usize, action, *sink, event, output)?
            }
            ActionKind::PrintValue { value } => {
                if let Some(value) = self.field(event, value) {
                    output.tell(&Message::Value(&value))?;
                }
            }
            ActionKind::Call { moment, values } => self.call(*moment, values, event, output)?,
            ActionKind::PrintMap { map, top, divisor } => {
                self.print_map(
                    *map,
                    MapOptions {
                        top: *top,
                        divisor: *divisor,
                        unset: self.unset(*map, Unset::Zero),
                    },
                    output,
                )?;
            }
            ActionKind::PrintMapEntry { map, key, value } => {
                self.print_entry(*map, key, value, event, output)?
            }
            ActionKind::ClearMap { map } => {
                self.zeroed.remove(map);
                self.change(*map, ScriptTable::clear)?;
            }
            ActionKind::ZeroMap { map } => {
                if !self.is_empty(*map)? {
                    self.zeroed.insert(*map);
                }
                self.change(*map, ScriptTable::zero)?;
            }
            ActionKind::Time { format } => {
                let text = strftime(format, self.symbols.now_unix_ns(), self.symbols);
                output.tell(&Message::Time(text.as_bytes()))?;
            }
            ActionKind::Join {
                separator,
                count_offset,
                strings_offset,
                limit,
            } => {
                let strings = JoinedStrings {
                    count_offset: *count_offset,
                    offset: *strings_offset,
                    limit: *limit,
                };
                output.tell(&Message::Join(&strings.join(event, separator)))?;
            }
            ActionKind::Exit { code } => {
                let code = code.as_ref().and_then(|field| self.field(event, field));
                return Ok(Asked::Exit(
                    code.as_ref().and_then(integer).unwrap_or(0) as i32
                ));
            }
            ActionKind::LookAt { pid } => {
                let pid = self.field(event, pid).as_ref().and_then(integer);
                if let Some(pid) = pid.and_then(|pid| u32::try_from(pid).ok()) {
                    self.symbols.look_at(pid);
                    return Ok(Asked::Walk(pid));
                }
            }
            ActionKind::Unwatch { address } => {
                let address = self.field(event, address).as_ref().and_then(integer);
                return Ok(address.map_or(Asked::Nothing, |address| Asked::Unwatch(address as u64)));
            }
            ActionKind::WritePacket { path, time, packet } => {
                self.write_packet(path, time, packet, event, output)?
            }
        }
        Ok(Asked::Nothing)
    }

    fn format(
        &mut self,
        number: usize,
        action: &Action,
        sink: FormatSink,
        event: &[u8],
        output: &mut Output<'_>,
    ) -> Result<()> {
        let Some(Some(plan)) = self.plans.get(number) else {
            unreachable!("actions: a format without plan: {number}");
        };
        let symbols = self.symbols;
        let mut is_malformed = false;
        let mut render =
            |out: &mut Vec<u8>| is_malformed = plan.render(event, symbols, out).is_err();
        if sink == FormatSink::Print {
            output.printf(render)?;
        } else {
            let mut text = Vec::new();
            render(&mut text);
            let position = position(&self.object.sources, action.span);
            match sink {
                FormatSink::Print => unreachable!("actions: printf is done above"),
                FormatSink::Error => output.tell(&Message::Errorf {
                    text: &text,
                    position,
                })?,
                FormatSink::Warning => output.tell(&Message::Warnf {
                    text: &text,
                    position,
                })?,
                FormatSink::System => self.system(&text, output)?,
                FormatSink::Cat => self.cat(&text, output)?,
            }
        }
        self.malformed += u64::from(is_malformed);
        Ok(())
    }

    fn system(&self, command: &[u8], output: &mut Output<'_>) -> Result<()> {
        let command = String::from_utf8_lossy(command);
        if !self.is_unsafe_allowed {
            return output.warn("system() is not run: it needs --unsafe");
        }
        // What was printed before the command comes before what it prints to the terminal.
        output.flush()?;
        let child = Command::new("/bin/sh")
            .arg("-c")
            .arg(&*command)
            .stdout(Stdio::piped())
            .spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(error) => return output.warn(&format!("system(): cannot run /bin/sh: {error}")),
        };
        let mut text = Vec::new();
        if let Some(pipe) = child.stdout.take() {
            let _ = pipe.take(MAX_COMMAND_OUTPUT).read_to_end(&mut text);
        }
        let _ = child.wait();
        output.tell(&Message::System(&text))
    }

    fn cat(&self, path: &[u8], output: &mut Output<'_>) -> Result<()> {
        let path = String::from_utf8_lossy(path);
        let mut text = Vec::new();
        let limit = self.object.settings.max_cat_bytes;
        let read = File::open(&*path).and_then(|file| file.take(limit).read_to_end(&mut text));
        match read {
            Ok(_) => output.tell(&Message::Cat(&text)),
            Err(error) => output.warn(&format!("cat(): cannot read {path}: {error}")),
        }
    }

    /// Shows a map as it is now.
    pub(crate) fn print_map(
        &self,
        id: MapId,
        options: MapOptions,
        output: &mut Output<'_>,
    ) -> Result<()> {
        let Some((table, map)) = self.script_map(id) else {
            return Ok(());
        };
        let snapshot = table.snapshot().map_err(map_error(map))?;
        let view = self.view(&snapshot, map, options)?;
        output.tell(&Message::Map(&view))
    }

    /// Shows a map unless it is empty.
    pub(crate) fn print_map_at_end(&self, id: MapId, output: &mut Output<'_>) -> Result<()> {
        match self.view_at_end(id)? {
            Some(view) if !view.rows.is_empty() => output.tell(&Message::Map(&view)),
            _ => Ok(()),
        }
    }

    fn is_empty(&self, id: MapId) -> Result<bool> {
        Ok(self
            .view_at_end(id)?
            .is_none_or(|view| view.rows.is_empty()))
    }

    fn view_at_end(&self, id: MapId) -> Result<Option<MapView>> {
        let Some((table, map)) = self.script_map(id) else {
            return Ok(None);
        };
        let snapshot = table.snapshot().map_err(map_error(map))?;
        let options = MapOptions {
            unset: self.unset(id, Unset::Hidden),
            ..MapOptions::default()
        };
        self.view(&snapshot, map, options).map(Some)
    }

    fn unset(&self, id: MapId, otherwise: Unset) -> Unset {
        match self.zeroed.contains(&id) {
            true => Unset::Zeroed,
            false => otherwise,
        }
    }

    fn view(
        &self,
        snapshot: &MapSnapshot,
        map: &ScriptMap,
        options: MapOptions,
    ) -> Result<MapView> {
        MapView::new(snapshot, map, options, &DecodeContext::new(self.symbols))
            .map_err(|error| Error::Object(format!("map {}: {error}", map.name)))
    }

    fn print_entry(
        &mut self,
        id: MapId,
        key: &Field,
        value: &Field,
        event: &[u8],
        output: &mut Output<'_>,
    ) -> Result<()> {
        let Some((table, map)) = self.script_map(id) else {
            return Ok(());
        };
        let Some(shown_key) = self.field(event, key) else {
            return Ok(());
        };
        let value = match value.layout.is_aggregation() {
            false => self.field(event, value),
            true => self.aggregated(&table, map, event, key)?,
        };
        match value {
            Some(value) => output.tell(&Message::MapEntry {
                map: &map.name,
                key: &shown_key,
                value: &value,
            }),
            None => Ok(()),
        }
    }

    /// A program sees only its own CPU's part of an aggregation, so the whole is read here.
    fn aggregated(
        &self,
        table: &ScriptTable<'_>,
        map: &ScriptMap,
        event: &[u8],
        key: &Field,
    ) -> Result<Option<Value>> {
        let size = key.layout.size() as usize;
        let start = key.offset as usize;
        let Some(key) = event.get(start..start + size) else {
            return Ok(None);
        };
        let snapshot = match map.storage {
            Storage::Buckets => {
                let mut snapshot = table.snapshot().map_err(map_error(map))?;
                snapshot.entries.retain(|entry| entry.key.starts_with(key));
                snapshot
            }
            _ => table.entry_of(key).map_err(map_error(map))?,
        };
        let view = self.view(&snapshot, map, MapOptions::default())?;
        Ok(view.rows.into_iter().next().map(|row| row.value))
    }

    fn change(
        &self,
        id: MapId,
        change: impl FnOnce(&ScriptTable<'a>) -> std::io::Result<()>,
    ) -> Result<()> {
        match self.script_map(id) {
            Some((table, map)) => change(&table).map_err(map_error(map)),
            None => Ok(()),
        }
    }

    fn write_packet(
        &mut self,
        path: &str,
        time: &Field,
        packet: &Field,
        event: &[u8],
        output: &mut Output<'_>,
    ) -> Result<()> {
        let time = self
            .field(event, time)
            .as_ref()
            .and_then(integer)
            .unwrap_or(0) as u64;
        let unix_ns = self
            .symbols
            .unix_ns(fathom_bpf::layout::TimeMode::Boot, time);
        let Some(bytes) = buffer_bytes(event, packet) else {
            self.malformed += 1;
            return Ok(());
        };
        match self.packet_files.write(path, unix_ns, bytes) {
            Ok(()) => Ok(()),
            Err(error) => output.warn(&format!("skboutput(): cannot write {path}: {error}")),
        }
    }

    fn script_map(&self, id: MapId) -> Option<(ScriptTable<'a>, &'a ScriptMap)> {
        match &self.object.maps.get(id.0 as usize)?.role {
            MapRole::Script(map) => Some((ScriptTable::new(self.object, self.tables, id)?, map)),
            _ => None,
        }
    }

    fn field(&mut self, event: &[u8], field: &Field) -> Option<Value> {
        let value = decode_field(event, field, &DecodeContext::for_event(event, self.symbols));
        self.malformed += u64::from(value.is_err());
        value.ok()
    }
}

fn map_error(map: &ScriptMap) -> impl FnOnce(std::io::Error) -> Error {
    let name = map.name.clone();
    move |source| Error::Map { name, source }
}

/// `u32 action; u32 total_length` and the event cut to that length.
fn split_header(event: &[u8]) -> Option<(u32, &[u8])> {
    let action = u32::from_ne_bytes(*event.first_chunk()?);
    let len = u32::from_ne_bytes(*event.get(4..)?.first_chunk()?) as usize;
    if len < 8 {
        return None;
    }
    Some((action, event.get(..len)?))
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        Value::Uint(number) | Value::Pointer(number) => Some(*number as i64),
        Value::Bool(is_true) => Some((*is_true).into()),
        _ => None,
    }
}

/// Bytes of a `Layout::Buffer` field that count.
fn buffer_bytes<'e>(event: &'e [u8], field: &Field) -> Option<&'e [u8]> {
    let Layout::Buffer { size } = field.layout else {
        return None;
    };
    let start = field.offset as usize;
    let len = u32::from_ne_bytes(*event.get(start..)?.first_chunk()?).min(size) as usize;
    event.get(start + 4..)?.get(..len)
}

/// Where the strings of a `join` lie in an event.
struct JoinedStrings {
    count_offset: u32,
    offset: u32,
    limit: u32,
}

impl JoinedStrings {
    fn join(&self, event: &[u8], separator: &str) -> Vec<u8> {
        let word = |offset: usize| -> Option<u32> {
            Some(u32::from_ne_bytes(*event.get(offset..)?.first_chunk()?))
        };
        let count = word(self.count_offset as usize)
            .unwrap_or(0)
            .min(self.limit)
            .min(MAX_JOINED);
        let string = |index: u32| -> Option<&[u8]> {
            let reference = self.offset as usize + 8 * index as usize;
            let start = word(reference)? as usize;
            let len = (word(reference + 4)? & !STRING_CUT) as usize;
            event.get(start..)?.get(..len)
        };
        let strings: Vec<&[u8]> = (0..count).map_while(string).collect();
        strings.join(separator.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_claims() {
        let event = |action: u32, len: u32, bytes: usize| {
            let mut event = [action.to_ne_bytes(), len.to_ne_bytes()].concat();
            event.resize(8 + bytes, 0);
            event
        };
        assert_eq!(
            split_header(&event(3, 8, 0)).map(|(action, event)| (action, event.len())),
            Some((3, 8))
        );
        assert_eq!(
            split_header(&event(3, 9, 8)).map(|(action, event)| (action, event.len())),
            Some((3, 9))
        );
        for bad in [
            event(3, 9, 0),
            event(3, 0, 8),
            event(3, 7, 8),
            vec![0; 7],
            Vec::new(),
        ] {
            assert_eq!(split_header(&bad), None, "{bad:?}");
        }
    }

    #[test]
    fn joins_what_is_there() {
        let mut event = vec![0u8; 8];
        for word in [2u32, 0, 32, 2, 34, STRING_CUT | 3] {
            event.extend(word.to_ne_bytes());
        }
        event.extend(b"lsabc");
        let strings = |limit| JoinedStrings {
            count_offset: 8,
            offset: 16,
            limit,
        };
        assert_eq!(strings(16).join(&event, " "), b"ls abc");
        assert_eq!(strings(1).join(&event, " "), b"ls");
        assert_eq!(strings(16).join(&event[..36], " "), b"ls");
        assert_eq!(strings(16).join(&event[..4], " "), b"");
    }
}
