//! Whole values for user space: see [`fathom_bpf::capture`] for the plan and the event.
//!
//! What lies in registers is written straight into the event. What lies in memory, and what pointers lead to, waits in a
//! queue behind it, first come first served:
//!
//! ```text
//! 0   u64 address (or where in the event)   12 u32 bytes   20 u32 argument
//! 8   u32 node                              16 u32 kind    24 u32 depth
//! ```

mod roots;
mod turn;

use std::sync::Arc;

use fathom_bpf::MapId;
use fathom_bpf::capture::{CHUNK_HEADER, EVENT_HEADER, EVENT_STACK, Limits, Plan, terminated_room};
use fathom_bpf::helper::Helper;
use fathom_bpf::object::Signature;
use fathom_bpf::object::{Action, ActionKind, CallMoment, CallValue};

use super::{Location as OwnLocation, Lowerer, Place};
use turn::Turn;

use crate::hir::Expr;
use crate::ir::{BinaryOp, Builder, Compare, FunctionId, Memory, Op, Value, Width};
use crate::probes::context::WholeValue;

/// Values that wait to be copied.
const MAX_WAITING: u32 = 256;
/// Bytes of one that waits.
const WAITING_SIZE: u32 = 32;
/// Turns of the loop: each copies a value or looks at one pointer.
const MAX_TURNS: i64 = 2048;
/// The same on kernels without `bpf_loop`, where the verifier walks through all of them.
const MAX_PLAIN_TURNS: i32 = 48;
/// DWARF's number of the first argument register.
const RDI: u16 = 5;
/// Arguments of one call that are copied.
const MAX_VALUES: usize = 64;

/// To be copied.
const KIND_FETCH: u32 = 0;
/// Text up to a zero byte, to be copied.
const KIND_TEXT: u32 = 1;
/// Already in the event: only its pointers are looked at.
const KIND_SCAN: u32 = 2;

/// Where things are in scratch memory, and the limits that hold.
#[derive(Clone, Copy)]
struct Area {
    /// Of the event in scratch memory.
    event: u32,
    /// Of the queue in scratch memory.
    queue: u32,
    /// Of the turns' state in scratch memory.
    state: u32,
    /// Bytes of one chunk at most.
    chunk: u32,
    /// No chunk starts behind this.
    total: u32,
    limits: Limits,
    /// The plan, and how many records it has.
    plan: Option<(MapId, u32)>,
}

impl Area {
    /// Bytes of an event at most.
    fn event_size(&self) -> u32 {
        self.total + CHUNK_HEADER + self.chunk + 8
    }
}

/// Which call an event tells of.
pub struct CallPlace<'e> {
    /// The stack to be shown with it.
    pub stack: Option<&'e Expr>,
    /// Its entry, its return, or a line in it.
    pub moment: CallMoment,
    /// The goroutine it is in.
    pub goroutine: Option<Value>,
    /// Its frame, where the stack pointer does not tell.
    pub frame: Option<Value>,
}

/// An event in the making.
struct Draft {
    event: Place,
    frame: Value,
    plan: Plan,
    area: Area,
    /// Where the next chunk goes.
    cursor: u32,
    waiting: Vec<Waiting>,
}

/// What waits before the first turn.
struct Waiting {
    address: Value,
    node: u32,
    bytes: u32,
    kind: u32,
    root: u32,
}

impl Lowerer<'_, '_> {
    /// Sends the call, or the return, that the program is at, with its values.
    pub(crate) fn send_call(&mut self, values: &[WholeValue], place: &CallPlace<'_>) {
        let values = &values[..values.len().min(MAX_VALUES)];
        let told = values.iter().map(|value| CallValue {
            name: value.name.clone(),
            shape: value.shape,
            missing: value.missing.clone(),
            gaps: value.gaps.clone(),
        });
        let action = self.out.action(Action {
            kind: ActionKind::Call {
                moment: place.moment,
                values: Arc::new(told.collect()),
            },
            span: self.b.span(),
        });
        let mut plan = Plan::default();
        let area = self.capture_area(values, &mut plan);
        let event = self.place(OwnLocation::Scratch(area.event));
        let frame = self.call_header(event, action, place);
        if self.group.context.keeps_result {
            self.keep_result(frame);
        }
        let mut draft = Draft {
            event,
            frame,
            plan,
            area,
            cursor: EVENT_HEADER,
            waiting: Vec::new(),
        };
        for (index, value) in values.iter().enumerate() {
            if value.missing.is_none() {
                self.root_value(value, index as u32 + 1, &mut draft);
            }
        }
        let Draft {
            cursor, waiting, ..
        } = draft;
        let end = self.b.constant(i64::from(cursor));
        let end = match waiting.is_empty() {
            true => end,
            false => self.copy_waiting(&area, &waiting, cursor),
        };
        self.send_built(&area, event, end);
    }

    fn capture_area(&mut self, values: &[WholeValue], plan: &mut Plan) -> Area {
        let limits = self.env.capture;
        let shapes = self.env.types.shapes();
        for value in values {
            plan.node(&shapes, value.shape, &limits);
        }
        drop(shapes);
        let bytes = plan.bytes();
        let records = bytes.len() as u32 / fathom_bpf::capture::RECORD_SIZE;
        let plan = (!bytes.is_empty()).then(|| (self.out.read_only(bytes), records));
        let chunk = terminated_room(limits.text)
            .max(limits.structure)
            .next_multiple_of(8);
        let fixed: u32 = values
            .iter()
            .map(|value| CHUNK_HEADER + value.register_bytes())
            .sum();
        let mut area = Area {
            event: 0,
            queue: 0,
            state: 0,
            chunk,
            total: limits.total.max(EVENT_HEADER + fixed),
            limits,
            plan,
        };
        area.event = self.scratch_offset(area.event_size());
        area.queue = self.scratch_offset(MAX_WAITING * WAITING_SIZE);
        area.state = self.scratch_offset(turn::STATE_SIZE);
        area
    }

    fn scratch_offset(&mut self, size: u32) -> u32 {
        match self.scratch_location(size) {
            OwnLocation::Scratch(offset) => offset,
            OwnLocation::Slot(_) => unreachable!("capture: scratch memory on the stack"),
        }
    }

    fn call_header(&mut self, event: Place, action: u32, place: &CallPlace<'_>) -> Value {
        let time = self.b.call(Helper::KTIME_GET_BOOT_NS, &[]);
        let id = self.b.call(Helper::GET_CURRENT_PID_TGID, &[]);
        let pid = self.b.binary(BinaryOp::Shr, id, 32);
        let goroutine = place.goroutine.unwrap_or_else(|| self.b.constant(0));
        let frame = place.frame.unwrap_or_else(|| self.call_frame());
        let point = self.attach_point();
        let ip = self.debug_register(16);
        let mut store = |width, offset, value| {
            self.b.store(
                width,
                event.memory,
                event.base,
                event.offset + offset,
                value,
            );
        };
        store(Width::B8, 8, time);
        store(Width::B4, 16, pid);
        store(Width::B4, 20, id);
        store(Width::B8, 24, goroutine);
        store(Width::B8, 32, frame);
        store(Width::B8, 40, point);
        store(Width::B8, 48, ip);
        self.b.store(
            Width::B4,
            event.memory,
            event.base,
            event.offset,
            action as i32,
        );
        match &place.stack {
            Some(stack) => self.store(stack, event.plus(EVENT_STACK), &stack.ty),
            None => {
                let at = event.plus(EVENT_STACK);
                self.b.store(Width::B8, at.memory, at.base, at.offset, -1);
                self.zero(at.plus(8), 8);
            }
        }
        let comm = self.address(event.plus(56));
        let size = self.b.constant(16);
        self.b.call(Helper::GET_CURRENT_COMM, &[comm, size]);
        frame
    }

    /// The canonical frame address of the function's call: the same at its entry and where it returned to.
    fn call_frame(&mut self) -> Value {
        if let Some(frame) = self.group.context.frame.clone() {
            let nowhere = self.b.constant(0);
            return self.evaluate(&frame, nowhere);
        }
        let sp = self.debug_register(7);
        let is_return = self.group.context.retval.is_some();
        self.plus(sp, if is_return { 0 } else { 8 })
    }

    /// Copies all that waits, and what that leads to; gives where the event ends.
    fn copy_waiting(&mut self, area: &Area, waiting: &[Waiting], cursor: u32) -> Value {
        let queue = self.place(OwnLocation::Scratch(area.queue));
        for (index, item) in waiting.iter().enumerate() {
            let at = queue.plus(index as u32 * WAITING_SIZE);
            let words = [
                (8, item.node),
                (12, item.bytes),
                (16, item.kind),
                (20, item.root),
                (24, 0),
            ];
            self.b
                .store(Width::B8, at.memory, at.base, at.offset, item.address);
            for (offset, word) in words {
                self.b.store(
                    Width::B4,
                    at.memory,
                    at.base,
                    at.offset + offset,
                    word as i32,
                );
            }
        }
        let scratch = self.scratch_base();
        let start = [
            (turn::CURSOR, cursor as i32),
            (turn::HEAD, 0),
            (turn::TAIL, waiting.len() as i32),
            (turn::LINKS, 0),
            (turn::LEFT, 0),
        ];
        for (offset, number) in start {
            let at = (area.state + offset) as i32;
            self.b.store(Width::B8, Memory::Map, scratch, at, number);
        }
        match self.env.features.bpf_loop {
            true => self.capture_loop(area, scratch),
            false => self.plain_capture_loop(area, scratch),
        }
        let at = (area.state + turn::CURSOR) as i32;
        self.b.load(Width::B8, Memory::Map, scratch, at)
    }

    fn capture_loop(&mut self, area: &Area, scratch: Value) {
        let number = self.callbacks + 1;
        self.callbacks = number;
        let builder = Builder::new(format!("capture_{number}"), Signature::LoopCallback);
        let outer = std::mem::replace(&mut self.b, builder);
        self.b.set_span(outer.span());
        let (next, stop) = (self.b.block(), self.b.block());
        let state = self.b.param(1);
        let scratch_again = self.b.load(Width::B8, Memory::Stack, state, 0);
        let work = Turn {
            area,
            scratch: scratch_again,
        };
        self.capture_turn(&work, next, stop);
        self.b.enter(next);
        self.b.ret(0);
        self.b.enter(stop);
        self.b.ret(1);
        let turn = std::mem::replace(&mut self.b, outer);
        self.finished.push((number, turn.finish()));
        let slot = self.b.slot(8, 8, "state of copying values");
        let state = self.b.slot_address(slot);
        self.b.store(Width::B8, Memory::Stack, state, 0, scratch);
        let turns = self.b.constant(MAX_TURNS);
        let function = self.b.emit(Op::FunctionAddress(FunctionId(number)));
        let flags = self.b.constant(0);
        self.b.call(Helper::LOOP, &[turns, function, state, flags]);
    }

    fn plain_capture_loop(&mut self, area: &Area, scratch: Value) {
        let counter = self.b.variable();
        let zero = self.b.constant(0);
        self.b.write(counter, zero);
        let (head, inside, next, done) = (
            self.b.block(),
            self.b.block(),
            self.b.block(),
            self.b.block(),
        );
        self.b.jump(head);
        self.b.switch_to(head);
        let turn = self.b.read(counter);
        self.b
            .branch(Compare::Lt, turn, MAX_PLAIN_TURNS, inside, done);
        self.b.enter(inside);
        self.capture_turn(&Turn { area, scratch }, next, done);
        self.b.enter(next);
        let turn = self.b.read(counter);
        let turn = self.b.binary(BinaryOp::Add, turn, 1);
        self.b.write(counter, turn);
        self.b.jump(head);
        self.b.seal(head);
        self.b.enter(done);
    }

    /// Sends the event that lies in scratch memory.
    fn send_built(&mut self, area: &Area, event: Place, end: Value) {
        let (fits, full, done) = (self.b.block(), self.b.block(), self.b.block());
        let size = area.event_size() as i32;
        self.b.branch(Compare::Le, end, size, fits, full);
        self.b.enter(fits);
        self.b
            .store(Width::B4, event.memory, event.base, event.offset + 4, end);
        let data = self.address(event);
        let flags = self.b.constant(0);
        let result = match self.env.features.ring_buffer {
            true => {
                let events = self.out.events();
                let map = self.b.map(events);
                self.b
                    .call(Helper::RINGBUF_OUTPUT, &[map, data, end, flags])
            }
            false => self.perf_output(data, end),
        };
        self.b.branch(Compare::Eq, result, 0, done, full);
        self.b.enter(full);
        self.count_lost();
        self.b.jump(done);
        self.b.enter(done);
    }
}
