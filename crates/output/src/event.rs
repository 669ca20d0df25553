//! One event from the ring buffer → what user space is to do for it.
//!
//! ```text
//! 0        4              8
//! | action | total_length | fields at their offsets … | texts of string references … |
//! ```

use crate::call::{CallRecord, decode_call};
use crate::cells::merge_cells;
use crate::decode::{
    DecodeContext, DecodeError, decode_field, integer_of, read_u32, slice, string_ref_bytes,
};
use crate::map::{MapOptions, Unset};
use crate::printf::{FormatError, FormatPlan};
use crate::resolve::Resolver;
use crate::time::strftime;
use crate::value::Value;
use fathom_bpf::object::{ActionKind, FormatSink, SourceSpan};
use fathom_bpf::shape::Shapes;
use fathom_bpf::{Action, Field, MapId};

/// Bytes before the fields.
const HEADER_SIZE: usize = 8;

/// Strings of one `join`, whatever the action allows.
const MAX_JOINED: u32 = 1024;

/// The actions of an object, prepared for speed.
#[derive(Clone, Debug)]
pub struct EventDecoder {
    actions: Vec<Prepared>,
    shapes: Shapes,
}

#[derive(Clone, Debug)]
struct Prepared {
    action: Action,
    /// For [`ActionKind::Format`].
    plan: Option<FormatPlan>,
}

/// What an event asks for. Texts are in the buffer that was given to [`EventDecoder::decode`].
#[derive(Clone, Debug, PartialEq)]
pub enum Event<'a> {
    /// `printf` and the others that take a format.
    Text {
        /// Where the text goes.
        sink: FormatSink,
        /// Of the call.
        span: SourceSpan,
    },
    /// `time()`
    Time,
    /// `join()`, without a newline.
    Join,
    /// `print(value)`
    Value(Value),
    /// `call()`
    Call(CallRecord),
    /// `print(@map, …)`
    PrintMap {
        /// Which.
        map: MapId,
        /// The other arguments.
        options: MapOptions,
    },
    /// `print(@map[key])`
    MapEntry {
        /// Which.
        map: MapId,
        /// As it was given.
        key: Value,
        /// What was found.
        value: Value,
    },
    /// `clear(@map)`
    ClearMap(MapId),
    /// `zero(@map)`
    ZeroMap(MapId),
    /// `exit(code)`
    Exit {
        /// For the shell.
        code: i64,
    },
    /// A process is seen for the first time.
    LookAt {
        /// In the initial pid namespace.
        pid: u32,
    },
    /// `unwatch(address)`
    Unwatch {
        /// Of the watchpoint.
        address: u64,
    },
    /// `skboutput(…)`
    Packet {
        /// File to append to.
        path: &'a str,
        /// When it was seen, by the boot clock.
        boot_ns: u64,
        /// From the link layer on.
        bytes: Vec<u8>,
    },
}

/// An event that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// No such action.
    #[error("event for action {0}, which does not exist")]
    UnknownAction(u32),
    /// Bytes are missing.
    #[error("event for action {action}: {error}")]
    Decode {
        /// Index of the action.
        action: u32,
        /// What is wrong.
        error: DecodeError,
    },
    /// Not even a header.
    #[error("event of {0} bytes")]
    NoHeader(usize),
}

impl EventDecoder {
    /// Parses the formats; `trailer` is put behind strings that were cut.
    pub fn new(actions: &[Action], trailer: &str) -> Result<EventDecoder, FormatError> {
        let prepare = |action: &Action| {
            let plan = match &action.kind {
                ActionKind::Format { format, args, .. } => {
                    Some(FormatPlan::new(format, args, trailer)?)
                }
                _ => None,
            };
            Ok(Prepared {
                action: action.clone(),
                plan,
            })
        };
        Ok(EventDecoder {
            actions: actions.iter().map(prepare).collect::<Result<_, _>>()?,
            shapes: Shapes::default(),
        })
    }

    /// With what whole values look like.
    pub fn with_shapes(mut self, shapes: Shapes) -> EventDecoder {
        self.shapes = shapes;
        self
    }

    /// Reads one event; texts are appended to `text`.
    pub fn decode(
        &self,
        event: &[u8],
        resolver: &dyn Resolver,
        text: &mut Vec<u8>,
    ) -> Result<Event<'_>, EventError> {
        let (Ok(action), Ok(length)) = (read_u32(event, 0), read_u32(event, 4)) else {
            return Err(EventError::NoHeader(event.len()));
        };
        let prepared = usize::try_from(action)
            .ok()
            .and_then(|index| self.actions.get(index))
            .ok_or(EventError::UnknownAction(action))?;
        let length = (length as usize).max(HEADER_SIZE);
        slice(event, 0, length)
            .and_then(|event| prepared.decode(event, &self.shapes, resolver, text))
            .map_err(|error| EventError::Decode { action, error })
    }
}

impl Prepared {
    fn decode(
        &self,
        event: &[u8],
        shapes: &Shapes,
        resolver: &dyn Resolver,
        text: &mut Vec<u8>,
    ) -> Result<Event<'_>, DecodeError> {
        let ctx = DecodeContext::for_event(event, resolver);
        Ok(match &self.action.kind {
            ActionKind::Format { sink, .. } => {
                if let Some(plan) = &self.plan {
                    plan.render(event, resolver, text)?;
                }
                Event::Text {
                    sink: *sink,
                    span: self.action.span,
                }
            }
            ActionKind::PrintValue { value } => Event::Value(value_of(value, &ctx)?),
            ActionKind::Call { moment, values } => {
                Event::Call(decode_call(event, *moment, values, shapes, None)?)
            }
            ActionKind::PrintMap { map, top, divisor } => Event::PrintMap {
                map: *map,
                options: MapOptions {
                    unset: Unset::Zero,
                    top: *top,
                    divisor: *divisor,
                },
            },
            ActionKind::PrintMapEntry { map, key, value } => Event::MapEntry {
                map: *map,
                key: decode_field(event, key, &ctx)?,
                value: value_of(value, &ctx)?,
            },
            ActionKind::ClearMap { map } => Event::ClearMap(*map),
            ActionKind::ZeroMap { map } => Event::ZeroMap(*map),
            ActionKind::Time { format } => {
                let now = strftime(format, resolver.now_unix_ns(), resolver);
                text.extend_from_slice(now.as_bytes());
                Event::Time
            }
            ActionKind::Join {
                separator,
                count_offset,
                strings_offset,
                limit,
            } => {
                let count = read_u32(event, *count_offset as usize)?
                    .min(*limit)
                    .min(MAX_JOINED);
                join(event, *strings_offset as usize, count, separator, text)?;
                Event::Join
            }
            ActionKind::Exit { code } => Event::Exit {
                code: match code {
                    Some(field) => integer_of(field, event)?,
                    None => 0,
                },
            },
            ActionKind::Unwatch { address } => Event::Unwatch {
                address: integer_of(address, event)? as u64,
            },
            ActionKind::LookAt { pid } => Event::LookAt {
                pid: integer_of(pid, event)? as u32,
            },
            ActionKind::WritePacket { path, time, packet } => Event::Packet {
                path,
                boot_ns: integer_of(time, event)? as u64,
                bytes: match decode_field(event, packet, &ctx)? {
                    Value::Buffer(bytes) => bytes,
                    _ => Vec::new(),
                },
            },
        })
    }
}

/// A field that may hold the cell of an aggregation.
fn value_of(field: &Field, ctx: &DecodeContext<'_>) -> Result<Value, DecodeError> {
    if !field.layout.is_aggregation() {
        return decode_field(ctx.event, field, ctx);
    }
    let size = field.layout.size() as usize;
    let cell = slice(ctx.event, field.offset as usize, size)?;
    merge_cells(&[cell], &field.layout)
}

fn join(
    event: &[u8],
    offset: usize,
    count: u32,
    separator: &str,
    text: &mut Vec<u8>,
) -> Result<(), DecodeError> {
    for index in 0..count as usize {
        let reference = slice(event, offset.saturating_add(index * 8), 8)?;
        if index > 0 {
            text.extend_from_slice(separator.as_bytes());
        }
        text.extend_from_slice(string_ref_bytes(reference, event)?.0);
    }
    Ok(())
}
