//! Small objects.

use fathom_bpf::insn::{AluOp, AtomicOp, Insn, JumpOp, PseudoImm, Reg, Size, Width};
use fathom_bpf::map::{MapRole, ScriptMap, Storage};
use fathom_bpf::object::{
    Action, ActionKind, AttachPoint, FormatSink, Function, Line, Place, ProgramKind, Relocation,
    RelocationKind, Signature, Source, SourceSpan,
};
use fathom_bpf::{Field, Helper, Layout, Map, MapId, MapKind, Object, Program, ProgramId};

/// `call` takes it by name.
fn call(name: &str) -> Insn {
    Insn::call(Helper::from_name(name).expect("a helper"))
}

/// Builds one program.
#[derive(Default)]
pub struct Code {
    insns: Vec<Insn>,
    relocations: Vec<Relocation>,
    /// Jumps to the end, to be filled in.
    exits: Vec<usize>,
}

impl Code {
    pub fn new() -> Code {
        Code::default()
    }

    fn push(&mut self, insns: impl IntoIterator<Item = Insn>) {
        self.insns.extend(insns);
    }

    fn map_address(&mut self, dst: Reg, map: MapId) {
        let insn = self.insns.len() as u32;
        self.relocations.push(Relocation {
            insn,
            kind: RelocationKind::Map(map),
        });
        self.push(Insn::load_pseudo(dst, PseudoImm::MapFd(0)));
    }

    fn leave_if(&mut self, op: JumpOp, reg: Reg, value: i32) {
        self.exits.push(self.insns.len());
        self.push([Insn::jump(Width::W64, op, reg, value, 0)]);
    }

    /// Goes on only in this thread.
    pub fn only_thread(mut self, tid: u32) -> Code {
        self.push([call("get_current_pid_tgid"), Insn::mov32(Reg::R0, Reg::R0)]);
        self.leave_if(JumpOp::Ne, Reg::R0, tid as i32);
        self
    }

    /// Adds 1 to this CPU's value at index 0 of a per-CPU array.
    pub fn count(mut self, map: MapId) -> Code {
        self.push([
            Insn::store(Size::B32, Reg::R10, -4, 0),
            Insn::mov(Reg::R2, Reg::R10),
        ]);
        self.push([Insn::alu(Width::W64, AluOp::Add, Reg::R2, -4)]);
        self.map_address(Reg::R1, map);
        self.push([call("map_lookup_elem")]);
        self.leave_if(JumpOp::Eq, Reg::R0, 0);
        self.push([
            Insn::mov(Reg::R1, 1),
            Insn::atomic(Size::B64, AtomicOp::Add, Reg::R0, 0, Reg::R1),
        ]);
        self
    }

    /// Sends `u32 action; u32 16; u64 value`, the value being that of a helper; counts it as lost if there is no room.
    pub fn send_helper_value(
        mut self,
        events: MapId,
        lost: MapId,
        action: u32,
        helper: &str,
    ) -> Code {
        self.push([call(helper), Insn::store(Size::B64, Reg::R10, -8, Reg::R0)]);
        self.send_stack(events, lost, action, 16)
    }

    /// Sends an event of `size` bytes: the header, then what lies at the top of the stack.
    pub fn send_stack(mut self, events: MapId, lost: MapId, action: u32, size: i16) -> Code {
        self.push([
            Insn::store(Size::B32, Reg::R10, -size, action as i32),
            Insn::store(Size::B32, Reg::R10, 4 - size, i32::from(size)),
            Insn::mov(Reg::R2, Reg::R10),
            Insn::alu(Width::W64, AluOp::Add, Reg::R2, i32::from(-size)),
            Insn::mov(Reg::R3, i32::from(size)),
            Insn::mov(Reg::R4, 0),
        ]);
        self.map_address(Reg::R1, events);
        self.push([call("ringbuf_output")]);
        self.leave_if(JumpOp::Eq, Reg::R0, 0);
        self.count(lost)
    }

    /// Sends an event without fields.
    pub fn send(mut self, events: MapId, action: u32) -> Code {
        self.push([
            Insn::store(Size::B32, Reg::R10, -8, action as i32),
            Insn::store(Size::B32, Reg::R10, -4, 8),
            Insn::mov(Reg::R2, Reg::R10),
            Insn::alu(Width::W64, AluOp::Add, Reg::R2, -8),
            Insn::mov(Reg::R3, 8),
            Insn::mov(Reg::R4, 0),
        ]);
        self.map_address(Reg::R1, events);
        self.push([call("ringbuf_output")]);
        self
    }

    /// Keeps the context for [`Code::context`].
    pub fn keep_context(mut self) -> Code {
        self.push([Insn::mov(Reg::R6, Reg::R1)]);
        self
    }

    /// Makes the context the first argument of the helper that follows.
    pub fn context(mut self) -> Code {
        self.push([Insn::mov(Reg::R1, Reg::R6)]);
        self
    }

    /// Any instruction.
    pub fn raw(mut self, insn: Insn) -> Code {
        self.push([insn]);
        self
    }

    /// Ends with this result.
    pub fn program(mut self, name: &str, kind: ProgramKind, result: i32) -> Program {
        let end = self.insns.len();
        for exit in &self.exits {
            self.insns[*exit].offset = (end - exit - 1) as i16;
        }
        self.push([Insn::mov(Reg::R0, result), Insn::exit()]);
        Program {
            name: name.into(),
            kind,
            sleepable: false,
            insns: self.insns,
            functions: vec![Function {
                name: name.into(),
                first_insn: 0,
                signature: Signature::Main,
            }],
            relocations: self.relocations,
            lines: vec![Line {
                insn: 0,
                span: SPAN,
            }],
        }
    }
}

/// `probe` in the source.
pub const SPAN: SourceSpan = SourceSpan {
    source: 0,
    start: 0,
    end: 5,
};

/// An object in the making.
pub struct Script {
    pub object: Object,
}

/// The maps that every script here has.
pub const EVENTS: MapId = MapId(0);
pub const LOST: MapId = MapId(1);
/// `@n`, a scalar `count()`.
pub const COUNT: MapId = MapId(2);
/// `printf("%d\n", value)` of the event's number.
pub const PRINT_NUMBER: u32 = 0;
/// `exit()`
pub const EXIT: u32 = 1;
/// `printf("hello\n")`
pub const PRINT_HELLO: u32 = 2;

impl Script {
    pub fn new() -> Script {
        let number = Field {
            name: String::new(),
            offset: 8,
            bits: None,
            layout: Layout::Int {
                size: 8,
                signed: false,
            },
        };
        let format = |format: &str, args| {
            action(ActionKind::Format {
                sink: FormatSink::Print,
                format: format.into(),
                args,
            })
        };
        let object = Object {
            license: "GPL".into(),
            maps: vec![
                map("events", MapKind::RingBuf, [0, 0, 1 << 20], MapRole::Events),
                map("lost", MapKind::PerCpuArray, [4, 8, 1], MapRole::Lost),
                count_map("@n"),
            ],
            actions: vec![
                format("%lu\n", vec![number]),
                action(ActionKind::Exit { code: None }),
                format("hello\n", Vec::new()),
            ],
            sources: vec![Source {
                name: "test.bt".into(),
                text: "probe { }\n".into(),
            }],
            ..Object::default()
        };
        Script { object }
    }

    pub fn program(mut self, program: Program) -> Script {
        self.object.programs.push(program);
        self
    }

    /// The last program runs there.
    pub fn at(mut self, name: &str, place: Place) -> Script {
        let program = ProgramId(self.object.programs.len() as u32 - 1);
        self.object.attach_points.push(AttachPoint {
            name: name.into(),
            program,
            cookie: None,
            place,
            span: SPAN,
        });
        self
    }

    pub fn change(mut self, change: impl FnOnce(&mut Object)) -> Script {
        change(&mut self.object);
        self
    }
}

pub fn action(kind: ActionKind) -> Action {
    Action { kind, span: SPAN }
}

pub fn map(
    name: &str,
    kind: MapKind,
    [key_size, value_size, max_entries]: [u32; 3],
    role: MapRole,
) -> Map {
    Map {
        name: name.into(),
        kind,
        key_size,
        value_size,
        max_entries,
        flags: 0,
        role,
    }
}

/// A scalar map that counts.
pub fn count_map(name: &str) -> Map {
    let role = MapRole::Script(ScriptMap {
        name: name.into(),
        key: None,
        value: Layout::Count,
        storage: Storage::PerCpuScalar,
    });
    map(name, MapKind::PerCpuArray, [4, 8, 1], role)
}

pub fn tracepoint(category: &str, event: &str) -> Place {
    Place::Tracepoint {
        category: category.into(),
        event: event.into(),
    }
}
