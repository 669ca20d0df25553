//! `for` loops: the body becomes a callback of a kernel helper.

use fathom_bpf::helper::Helper;
use fathom_bpf::object::Signature;

use super::{Frame, Loop, Lowerer, Place, SHARED_CONTEXT, SHARED_LEAVE, VariableStorage};
use crate::hir::{Block, Expr, ExprKind, MapRef, Stmt, StmtKind, VariableRef};
use crate::ir::{BinaryOp, Builder, Compare, FunctionId, Memory, Op, Value, Width};
use crate::ty::Type;

impl Lowerer<'_, '_> {
    /// `for ($i : a..b)`: `bpf_loop`, or a plain loop on kernels without it.
    pub(super) fn for_range(
        &mut self,
        variable: VariableRef,
        start: &Expr,
        end: &Expr,
        body: &Block,
    ) {
        let first = self.scalar(start);
        let last = self.scalar(end);
        if !self.env.features.bpf_loop {
            return self.plain_range(variable, first, last, body);
        }
        let run = self.b.block();
        let done = self.b.block();
        self.b.branch(Compare::Slt, first, last, run, done);
        self.b.enter(run);
        let count = self.b.binary(BinaryOp::Sub, last, first);
        let range_start = self.loop_start_offset(first);
        let callback = self.callback("for_range", Signature::LoopCallback, 1, |lower| {
            let index = lower.b.param(0);
            let shared = lower.shared_base();
            let first = lower.b.load(Width::B8, Memory::Stack, shared, range_start);
            let value = lower
                .b
                .binary(BinaryOp::Add, index, crate::ir::Operand::Value(first));
            lower.set_loop_variable(variable, value);
            lower.block(body);
        });
        let function = self.b.emit(Op::FunctionAddress(callback));
        let shared = self.shared_base();
        let flags = self.b.constant(0);
        self.b.call(Helper::LOOP, &[count, function, shared, flags]);
        self.leave_if_asked();
        self.b.jump(done);
        self.b.enter(done);
    }

    /// Keeps the first number of a range where the callback finds it.
    fn loop_start_offset(&mut self, first: Value) -> i32 {
        let offset = self.shared_loop_starts.next_offset();
        let shared = self.shared_base();
        self.b
            .store(Width::B8, Memory::Stack, shared, offset, first);
        offset
    }

    fn plain_range(&mut self, variable: VariableRef, first: Value, last: Value, body: &Block) {
        let counter = self.b.variable();
        self.b.write(counter, first);
        let (head, inside, next, done) = (
            self.b.block(),
            self.b.block(),
            self.b.block(),
            self.b.block(),
        );
        self.b.jump(head);
        self.b.switch_to(head);
        let value = self.b.read(counter);
        self.b.branch(Compare::Slt, value, last, inside, done);
        self.b.enter(inside);
        self.set_loop_variable(variable, value);
        self.function.loops.push(Loop::Blocks { next, done });
        self.block(body);
        self.function.loops.pop();
        self.b.jump(next);
        self.b.enter(next);
        let value = self.b.read(counter);
        let value = self.b.binary(BinaryOp::Add, value, 1);
        self.b.write(counter, value);
        self.b.jump(head);
        self.b.seal(head);
        self.b.enter(done);
    }

    /// `for ($kv : @map)`: `bpf_for_each_map_elem`.
    pub(super) fn for_map(&mut self, variable: VariableRef, map: MapRef, body: &Block) {
        let callback = self.callback("for_map", Signature::MapCallback, 3, |lower| {
            lower.set_element_variable(variable, map);
            lower.block(body);
        });
        let map = self.map_id(map);
        let map = self.b.map(map);
        let function = self.b.emit(Op::FunctionAddress(callback));
        let shared = self.shared_base();
        let flags = self.b.constant(0);
        self.b
            .call(Helper::FOR_EACH_MAP_ELEM, &[map, function, shared, flags]);
        self.leave_if_asked();
    }

    /// `len(@map)`: the helper itself gives the number of elements it visited.
    pub(crate) fn count_entries(&mut self, map: MapRef) -> Value {
        if self.function.shared.is_none() {
            unreachable!("lower: a loop without shared frame");
        }
        let callback = self.callback("count_entries", Signature::MapCallback, 3, |_| {});
        let map = self.map_id(map);
        let map = self.b.map(map);
        let function = self.b.emit(Op::FunctionAddress(callback));
        let shared = self.shared_base();
        let flags = self.b.constant(0);
        self.b
            .call(Helper::FOR_EACH_MAP_ELEM, &[map, function, shared, flags])
    }

    /// `$kv`: the key and the value as a tuple.
    fn set_element_variable(&mut self, variable: VariableRef, map: MapRef) {
        let ty = self.body.variables[variable.0 as usize].ty.clone();
        let Type::Tuple(types) = &ty else {
            unreachable!("lower: $kv is no tuple")
        };
        let layout = self.layout(&ty);
        let fathom_bpf::Layout::Tuple { fields, .. } = &layout else {
            unreachable!("lower: a tuple without fields")
        };
        let VariableStorage::Memory(location) = self.variable_storage(variable) else {
            unreachable!("lower: a tuple in a register")
        };
        let to = self.place(location);
        let (key, value) = (self.b.param(1), self.b.param(2));
        let key_layout = self.layout(&types[0]);
        let key = Place {
            base: key,
            offset: 0,
            memory: Memory::Map,
        };
        self.copy(
            to.plus(fields[0].offset),
            key,
            key_layout.size(),
            key_layout.align(),
        );
        let value = Place {
            base: value,
            offset: 0,
            memory: Memory::Map,
        };
        self.element_value(map, key, value, to.plus(fields[1].offset), &types[1]);
    }

    fn set_loop_variable(&mut self, variable: VariableRef, value: Value) {
        match self.variable_storage(variable) {
            VariableStorage::Register(register) => self.b.write(register, value),
            VariableStorage::Shared(offset) => {
                let base = self.shared_base();
                self.b.store(Width::B8, Memory::Stack, base, offset, value);
            }
            VariableStorage::Memory(_) => unreachable!("lower: a loop counter in memory"),
        }
    }

    /// Builds a callback whose `shared_param`-th parameter is the shared frame.
    fn callback(
        &mut self,
        name: &str,
        signature: Signature,
        shared_param: usize,
        body: impl FnOnce(&mut Self),
    ) -> FunctionId {
        let number = self.callbacks + 1;
        self.callbacks = number;
        let mut builder = Builder::new(format!("{name}_{number}"), signature);
        builder.set_span(self.b.span());
        let mut frame = Frame::start(&mut builder, shared_param);
        frame.is_callback = true;
        frame.shared = Some(builder.param(shared_param));
        frame.loops.push(Loop::Callback);
        let outer_builder = std::mem::replace(&mut self.b, builder);
        let outer_frame = std::mem::replace(&mut self.function, frame);
        let shared = self.shared_base();
        self.function.context = self
            .b
            .load(Width::B8, Memory::Stack, shared, SHARED_CONTEXT);
        body(self);
        let exit = self.function.exit;
        self.b.jump(exit);
        self.close_function();
        let finished = std::mem::replace(&mut self.b, outer_builder);
        self.function = outer_frame;
        self.finished.push((number, finished.finish()));
        FunctionId(number)
    }

    /// Behind a loop: `return` or `exit()` in its body leaves the program.
    fn leave_if_asked(&mut self) {
        let shared = self.shared_base();
        let asked = self.b.load(Width::B8, Memory::Stack, shared, SHARED_LEAVE);
        let (leave, go_on) = (self.b.block(), self.b.block());
        self.b.branch(Compare::Ne, asked, 0, leave, go_on);
        self.b.enter(leave);
        if self.function.is_callback {
            let one = self.b.constant(1);
            self.b.write(self.function.result, one);
        }
        let exit = self.function.exit;
        self.b.jump(exit);
        self.b.enter(go_on);
    }
}

/// How many range loops there are (each keeps its start in the shared frame), and whether any loop becomes a callback.
pub(super) fn count_callbacks(block: &Block) -> u32 {
    let mut count = 0;
    for statement in &block.statements {
        count += in_statement(statement);
    }
    count + block.value.as_ref().map_or(0, |value| in_expr(value))
}

fn in_statement(statement: &Stmt) -> u32 {
    match &statement.kind {
        StmtKind::ForMap { body, .. } | StmtKind::ForRange { body, .. } => {
            1 + count_callbacks(body)
        }
        StmtKind::Unroll { count, body } => count.saturating_mul(count_callbacks(body)),
        StmtKind::While { condition, body } => in_expr(condition) + count_callbacks(body),
        StmtKind::Expr(expr) => in_expr(expr),
        StmtKind::SetVariable { value, .. }
        | StmtKind::SetMap { value, .. }
        | StmtKind::AddMap { value, .. } => in_expr(value),
        _ => 0,
    }
}

fn in_expr(expr: &Expr) -> u32 {
    match &expr.kind {
        ExprKind::If {
            condition,
            then,
            otherwise,
        } => {
            in_expr(condition)
                + count_callbacks(then)
                + otherwise.as_deref().map_or(0, count_callbacks)
        }
        ExprKind::Choose {
            condition,
            then,
            otherwise,
        } => in_expr(condition) + in_expr(then) + in_expr(otherwise),
        ExprKind::Block(block) => count_callbacks(block),
        ExprKind::Builtin { builtin, args, .. } => {
            u32::from(builtin.name == "len") + args.iter().map(in_expr).sum::<u32>()
        }
        ExprKind::Compare { left, right, .. }
        | ExprKind::Arithmetic { left, right, .. }
        | ExprKind::And(left, right)
        | ExprKind::Or(left, right) => in_expr(left) + in_expr(right),
        ExprKind::Not(inner)
        | ExprKind::Cast(inner)
        | ExprKind::Negate(inner)
        | ExprKind::Complement(inner) => in_expr(inner),
        ExprKind::Tuple(elements) | ExprKind::Record(elements) => {
            elements.iter().map(in_expr).sum()
        }
        _ => 0,
    }
}
