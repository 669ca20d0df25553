//! Typed script to [`ir`]: the language ends here.
//!
//! Scalars are SSA values. Everything larger lies in memory: a stack slot when small, else the program's scratch memory
//! (a per-CPU map value); kernel and user memory is only copied when a value is needed.

mod aggregate;
mod argument;
mod arithmetic;
pub mod assemble;
mod buckets;
mod capture;
mod compare;
mod convert;
pub mod event;
mod expr;
mod location;
mod loops;
mod map;
mod memory;
mod merge;
mod scratch;
mod series;
mod slots;
mod statement;
pub mod tables;
mod text_key;
mod unwind;
mod variables;

use fathom_bpf::capture::Limits;
use fathom_bpf::helper::Helper;
use fathom_bpf::object::{ErrorSite, Signature, SourceSpan};

pub use assemble::Assembly;
pub use capture::CallPlace;
pub use map::MapKey;
pub use memory::{Location, Place, Rvalue};

use crate::builtins::packet::Headers;
use crate::config::Config;
use crate::features::Features;
use crate::hir::{Body, Expr, Maps, VariableRef};
use crate::ir::{self, BlockId, Builder, Compare, Memory, Op, Value, Variable, Width};
use crate::probes::Group;
use crate::probes::context::ContextKind;
use crate::ty::Type;
use crate::types::Types;

/// Everything lowering reads.
pub struct Env<'a, 'm> {
    /// Struct tables and layouts.
    pub types: &'a Types<'m>,
    /// Settings.
    pub config: &'a Config,
    /// What the kernel can do.
    pub features: &'a Features,
    /// How much of whole values is copied.
    pub capture: Limits,
    /// The script's maps.
    pub maps: &'a Maps,
    /// Possible CPUs of the machine.
    pub cpu_count: u32,
    /// Temporaries up to this size lie on the stack.
    pub on_stack_limit: u32,
}

/// One body being lowered.
pub struct Lowerer<'a, 'm> {
    /// Where instructions go.
    pub b: Builder,
    /// What it reads.
    pub env: &'a Env<'a, 'm>,
    /// What it adds to: maps, actions, error sites.
    pub out: &'a mut Assembly,
    /// The group being lowered.
    pub group: &'a Group,
    /// Number of the group's first attach point among all of the object's.
    pub first_point: u64,
    body: &'a Body,
    function: Frame,
    storage: Vec<Option<VariableStorage>>,
    finished: Vec<(u32, ir::Function)>,
    callbacks: u32,
    /// The callback that walks one frame of a user stack.
    unwind_turn: Option<ir::FunctionId>,
    /// With a system call table: the attach point that the number stands for.
    syscall_point: Option<Value>,
    headers: Option<Headers>,
    shared_loop_starts: LoopStarts,
    scratch: Option<scratch::Scratch>,
    /// The frame that callbacks share, in the main function.
    shared_slot: Option<ir::Slot>,
    /// Scratch memory that stays zero, and its size.
    zeros: Option<(Location, u32)>,
    result: i32,
}

/// Where in the shared frame each range loop keeps its first number.
#[derive(Default)]
struct LoopStarts {
    next: i32,
}

impl LoopStarts {
    fn next_offset(&mut self) -> i32 {
        self.next += 8;
        self.next - 8
    }
}

/// State of the function being built: main or a callback.
struct Frame {
    entry: BlockId,
    exit: BlockId,
    context: Value,
    /// Base of the frame that callbacks share, in this function.
    shared: Option<Value>,
    scratch: Option<Value>,
    loops: Vec<Loop>,
    result: Variable,
    is_callback: bool,
}

/// Where `break` and `continue` go.
#[derive(Clone, Copy)]
enum Loop {
    Blocks { next: BlockId, done: BlockId },
    Callback,
}

/// Where a variable lives.
#[derive(Clone, Copy)]
enum VariableStorage {
    Register(Variable),
    /// Offset in the shared frame.
    Shared(i32),
    Memory(Location),
}

/// Offsets in the frame that callbacks share.
const SHARED_CONTEXT: i32 = 0;
/// Address of scratch memory; written before the rest is zeroed.
const SHARED_SCRATCH: i32 = 8;
const SHARED_LEAVE: i32 = 16;
const SHARED_VARIABLES: i32 = 24;

/// Lowers one body to a program.
pub fn lower<'a, 'm>(
    env: &'a Env<'a, 'm>,
    out: &'a mut Assembly,
    group: &'a Group,
    first_point: u64,
    body: &'a Body,
    result: i32,
) -> ir::Program {
    let mut builder = Builder::new("main", Signature::Main);
    let frame = Frame::start(&mut builder, 0);
    let mut lowerer = Lowerer {
        b: builder,
        env,
        out,
        group,
        first_point,
        body,
        function: frame,
        storage: vec![None; body.variables.len()],
        finished: Vec::new(),
        callbacks: 0,
        unwind_turn: None,
        syscall_point: None,
        headers: None,
        shared_loop_starts: LoopStarts::default(),
        scratch: None,
        shared_slot: None,
        zeros: None,
        result,
    };
    lowerer.shared_frame();
    lowerer.filters();
    lowerer.main_body();
    lowerer.finish()
}

impl Frame {
    /// The function's entry stays open until its end: scratch memory is looked up there if it was needed.
    fn start(b: &mut Builder, context_param: usize) -> Frame {
        let entry = b.current();
        let exit = b.block();
        let start = b.block();
        b.switch_to(start);
        let result = b.variable();
        Frame {
            entry,
            exit,
            context: b.param(context_param),
            shared: None,
            scratch: None,
            loops: Vec::new(),
            result,
            is_callback: false,
        }
    }

    /// The block behind the entry.
    fn start_block(&self) -> BlockId {
        BlockId(self.exit.0 + 1)
    }
}

impl<'a, 'm> Lowerer<'a, 'm> {
    fn main_body(&mut self) {
        let body = self.body;
        for (index, variable) in body.variables.iter().enumerate() {
            if variable.starts_zero {
                self.zero_variable(VariableRef(index as u32));
            }
        }
        if self.group.context.is_packet() {
            self.headers = Some(self.find_headers());
        }
        if let Some(predicate) = &body.predicate {
            let then = self.b.block();
            let exit = self.function.exit;
            self.branch_on(predicate, then, exit);
            self.b.enter(then);
        }
        self.block_statements(&body.block);
        if let Some(value) = &body.block.value {
            self.effect(value);
        }
        let exit = self.function.exit;
        self.b.jump(exit);
    }

    /// Leaves early where the attach itself could not choose: other processes, other system calls.
    fn filters(&mut self) {
        if let Some(pid) = self.group.context.filter_pid {
            let id = self.b.call(Helper::GET_CURRENT_PID_TGID, &[]);
            let current = self.b.binary(ir::BinaryOp::Shr, id, 32);
            let go_on = self.b.block();
            let exit = self.function.exit;
            self.b.branch(Compare::Eq, current, pid as i32, go_on, exit);
            self.b.enter(go_on);
        }
        self.filter_syscalls();
        if self.group.context.kind == ContextKind::Iter {
            self.skip_end_of_iteration();
        }
    }

    /// When all objects were visited, the kernel runs an iterator once more without one.
    fn skip_end_of_iteration(&mut self) {
        /// Of the first object's pointer in every `struct bpf_iter__X`, behind `meta`.
        const OBJECT: i32 = 8;
        let context = self.context();
        let object = self.b.load(Width::B8, Memory::Context, context, OBJECT);
        let go_on = self.b.block();
        let exit = self.function.exit;
        self.b.branch(Compare::Ne, object, 0, go_on, exit);
        self.b.enter(go_on);
    }

    /// Memory that loop callbacks share with the main function: the context, a "leave" mark, captured variables.
    fn shared_frame(&mut self) {
        let mut size = SHARED_VARIABLES;
        for (index, variable) in self.body.variables.iter().enumerate() {
            if !variable.is_captured {
                continue;
            }
            if is_register(&variable.ty) {
                self.storage[index] = Some(VariableStorage::Shared(size));
                size += 8;
            }
        }
        let callbacks = loops::count_callbacks(&self.body.block);
        if callbacks == 0 && size == SHARED_VARIABLES {
            return;
        }
        self.shared_loop_starts.next = size;
        size += callbacks as i32 * 8;
        let slot = self
            .b
            .slot(size as u32, 8, "variables shared with loop bodies");
        let base = self.b.slot_address(slot);
        self.function.shared = Some(base);
        self.shared_slot = Some(slot);
        self.b.effect(Op::Zero {
            memory: Memory::Stack,
            base,
            offset: SHARED_LEAVE,
            len: size as u32 - SHARED_LEAVE as u32,
        });
        let context = self.function.context;
        self.b
            .store(Width::B8, Memory::Stack, base, SHARED_CONTEXT, context);
    }

    fn finish(mut self) -> ir::Program {
        self.close_function();
        let main = std::mem::replace(&mut self.b, Builder::new("unused", Signature::Main));
        let mut functions = vec![main.finish()];
        self.finished.sort_by_key(|(number, _)| *number);
        functions.extend(self.finished.drain(..).map(|(_, function)| function));
        ir::Program { functions }
    }

    /// Fills the entry and exit blocks of the function being built.
    fn close_function(&mut self) {
        let (entry, exit, start) = (
            self.function.entry,
            self.function.exit,
            self.function.start_block(),
        );
        self.b.switch_to(entry);
        self.enter_with_scratch(start);
        self.b.seal(start);
        self.b.enter(exit);
        self.leave_scratch();
        if self.function.is_callback || self.result == 0 {
            let result = self.b.read(self.function.result);
            self.b.ret(result);
        } else {
            self.b.ret(self.result);
        }
    }

    /// Where a packet's headers lie; to be given back with [`Lowerer::put_headers`].
    pub(crate) fn take_headers(&mut self) -> Headers {
        self.headers
            .take()
            .unwrap_or_else(|| unreachable!("lower: a packet field in a program without packet"))
    }

    /// See [`Lowerer::take_headers`].
    pub(crate) fn put_headers(&mut self, headers: Headers) {
        self.headers = Some(headers);
    }

    /// The program's context.
    pub fn context(&self) -> Value {
        self.function.context
    }

    /// Leaves the program.
    pub fn leave(&mut self) {
        if self.function.is_callback {
            let shared = self.shared_base();
            self.b
                .store(Width::B8, Memory::Stack, shared, SHARED_LEAVE, 1);
            let one = self.b.constant(1);
            self.b.write(self.function.result, one);
        }
        let exit = self.function.exit;
        self.b.jump(exit);
        self.dead_code();
    }

    /// Goes on emitting behind a jump: into a block that nothing reaches.
    fn dead_code(&mut self) {
        let dead = self.b.block();
        self.b.enter(dead);
    }

    fn shared_base(&self) -> Value {
        self.function
            .shared
            .unwrap_or_else(|| unreachable!("lower: a callback without shared frame"))
    }

    /// A place in the script where a helper can fail.
    pub fn error_site(&mut self, helper: &str, is_loss: bool) -> u32 {
        let span = self.b.span();
        self.out.error_site(ErrorSite {
            span,
            helper: helper.to_owned(),
            is_loss,
        })
    }

    /// The layout of a type.
    pub fn layout(&mut self, ty: &Type) -> fathom_bpf::Layout {
        self.env.types.layout(ty)
    }

    /// Bytes of a type in maps, events and variables.
    pub fn size_of(&mut self, ty: &Type) -> u32 {
        self.layout(ty).size()
    }

    /// Runs `emit` with the place in the script set.
    pub fn at<T>(&mut self, span: SourceSpan, emit: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.b.span();
        self.b.set_span(span);
        let result = emit(self);
        self.b.set_span(before);
        result
    }

    fn variable_storage(&mut self, variable: VariableRef) -> VariableStorage {
        if let Some(storage) = self.storage[variable.0 as usize] {
            return storage;
        }
        let info = &self.body.variables[variable.0 as usize];
        let (ty, is_captured, name) = (info.ty.clone(), info.is_captured, info.name.clone());
        let storage = if is_register(&ty) {
            VariableStorage::Register(self.b.variable())
        } else {
            let layout = self.layout(&ty);
            VariableStorage::Memory(if is_captured {
                self.scratch_location(layout.size())
            } else {
                self.new_location(layout.size(), &format!("${name}"))
            })
        };
        self.storage[variable.0 as usize] = Some(storage);
        storage
    }

    /// For the expression's effect.
    pub fn effect(&mut self, expr: &Expr) {
        self.at(expr.span, |lower| {
            lower.rvalue(expr);
        });
    }
}

/// Types whose values are one SSA value.
pub fn is_register(ty: &Type) -> bool {
    matches!(
        ty,
        Type::Bool
            | Type::Int { .. }
            | Type::Enum(_)
            | Type::Pointer { .. }
            | Type::Username
            | Type::KernelSymbol
            | Type::ErrorName
            | Type::SignalName
            | Type::SyscallName
            | Type::Timestamp { .. }
            | Type::CgroupPath { .. }
            | Type::Probe
            | Type::Unknown
            | Type::Error
            | Type::None
            | Type::Opaque(_)
            | Type::TimestampMode(_)
    )
}
