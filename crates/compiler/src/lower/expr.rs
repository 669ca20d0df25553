//! Expressions.

use fathom_bpf::Layout;

use super::{Lowerer, Place, Rvalue, VariableStorage, is_register};
use crate::builtins::Use;
use crate::hir::{Expr, ExprKind};
use crate::ir::{BinaryOp, BlockId, Compare, Memory, Op, Value, Width};
use crate::ty::{Space, Type};

impl Lowerer<'_, '_> {
    /// Evaluates to one word. Values in memory are loaded.
    pub fn scalar(&mut self, expr: &Expr) -> Value {
        match self.rvalue(expr) {
            Rvalue::Scalar(value) => value,
            Rvalue::Bytes(place) => self.load_scalar(place, &expr.ty),
            Rvalue::Remote { address, space } => {
                if !is_register(&expr.ty) {
                    return address;
                }
                let (size, signed) = self.scalar_size(&expr.ty);
                self.read_remote_scalar(address, space, size, signed)
            }
            Rvalue::Literal(_) | Rvalue::Nothing => self.b.constant(0),
        }
    }

    /// Evaluates an expression.
    pub fn rvalue(&mut self, expr: &Expr) -> Rvalue {
        self.at(expr.span, |lower| lower.rvalue_here(expr))
    }

    fn rvalue_here(&mut self, expr: &Expr) -> Rvalue {
        match &expr.kind {
            ExprKind::Error | ExprKind::Type => Rvalue::Nothing,
            ExprKind::Int(value) => Rvalue::Scalar(self.b.constant(*value)),
            ExprKind::Bool(value) => Rvalue::Scalar(self.b.constant(i64::from(*value))),
            ExprKind::Str(text) => Rvalue::Literal(text.clone()),
            ExprKind::Variable(variable) => self.read_variable(*variable, &expr.ty),
            ExprKind::Map { map, key } => self.map_value(*map, key.as_deref(), &expr.ty),
            ExprKind::Argument(argument) => self.argument(argument),
            ExprKind::Member { base, offset, bits } => self.member(base, *offset, *bits, &expr.ty),
            ExprKind::Element { base, index } => self.element(base, *index),
            ExprKind::Dereference(pointer) => self.dereference(pointer, &expr.ty),
            ExprKind::Index { base, index } => self.index(base, index, &expr.ty),
            ExprKind::AddressOf(place) => Rvalue::Scalar(self.address_of(place)),
            ExprKind::Negate(operand) => {
                let value = self.scalar(operand);
                Rvalue::Scalar(self.b.emit(Op::Negate { value }))
            }
            ExprKind::Complement(operand) => {
                let value = self.scalar(operand);
                Rvalue::Scalar(self.b.binary(BinaryOp::Xor, value, -1))
            }
            ExprKind::Not(_)
            | ExprKind::And(..)
            | ExprKind::Or(..)
            | ExprKind::SameBytes { .. } => Rvalue::Scalar(self.truth_value(expr)),
            ExprKind::Compare { op, left, right } => {
                let left = self.scalar(left);
                let right = self.operand(right);
                Rvalue::Scalar(self.b.compare(*op, left, right))
            }
            ExprKind::Arithmetic {
                op,
                is_signed,
                left,
                right,
            } => Rvalue::Scalar(self.arithmetic(*op, *is_signed, left, right)),
            ExprKind::Choose {
                condition,
                then,
                otherwise,
            } => self.choose(condition, then, otherwise, &expr.ty),
            ExprKind::Elvis { value, otherwise } => self.elvis(value, otherwise),
            ExprKind::If {
                condition,
                then,
                otherwise,
            } => {
                self.if_statement(condition, then, otherwise.as_deref());
                Rvalue::Nothing
            }
            ExprKind::Block(block) => {
                self.block_statements(block);
                block
                    .value
                    .as_ref()
                    .map_or(Rvalue::Nothing, |value| self.rvalue(value))
            }
            ExprKind::Cast(operand) => self.cast(operand, &expr.ty),
            ExprKind::Tuple(_) | ExprKind::Record(_) => {
                let size = self.size_of(&expr.ty);
                let place = self.temporary(size, "a tuple");
                self.zero(place, size);
                self.store(expr, place, &expr.ty);
                Rvalue::Bytes(place)
            }
            ExprKind::Step {
                target,
                delta,
                is_prefix,
            } => self.step(target, *delta, *is_prefix),
            ExprKind::Builtin {
                builtin,
                args,
                data,
            } => {
                let used = Use {
                    args,
                    data,
                    ty: &expr.ty,
                    span: expr.span,
                };
                (builtin.lower)(self, &used, None)
            }
        }
    }

    /// A right operand: a small constant becomes an immediate.
    pub fn operand(&mut self, expr: &Expr) -> crate::ir::Operand {
        match expr.as_int().and_then(|value| i32::try_from(value).ok()) {
            Some(value) => value.into(),
            None => self.scalar(expr).into(),
        }
    }

    fn member(&mut self, base: &Expr, offset: u32, bits: Option<(u32, u32)>, ty: &Type) -> Rvalue {
        let (base_space, value) = match self.rvalue(base) {
            Rvalue::Remote { address, space } => {
                let address = if offset == 0 {
                    address
                } else {
                    self.b.binary(BinaryOp::Add, address, offset as i32)
                };
                (space, Rvalue::Remote { address, space })
            }
            Rvalue::Bytes(place) => (Space::Own, Rvalue::Bytes(place.plus(offset))),
            other => return other,
        };
        let Some((shift, width)) = bits else {
            return self.loaded(value, ty);
        };
        let storage = bitfield_bytes(shift, width);
        let word = match value {
            Rvalue::Remote { address, .. } => {
                self.read_remote_scalar(address, base_space, storage, false)
            }
            Rvalue::Bytes(place) => {
                let width = Width::from_bytes(storage).unwrap_or(Width::B8);
                self.b.load(width, place.memory, place.base, place.offset)
            }
            _ => return Rvalue::Nothing,
        };
        let (_, signed) = self.scalar_size(ty);
        let high = self
            .b
            .binary(BinaryOp::Shl, word, (64 - shift - width) as i32);
        let op = if signed { BinaryOp::Sar } else { BinaryOp::Shr };
        Rvalue::Scalar(self.b.binary(op, high, (64 - width) as i32))
    }

    /// A scalar is read at once, so that it can be shared; larger things stay where they are.
    fn loaded(&mut self, value: Rvalue, ty: &Type) -> Rvalue {
        if !is_register(ty) {
            return value;
        }
        match value {
            Rvalue::Remote { address, space } => {
                let (size, signed) = self.scalar_size(ty);
                Rvalue::Scalar(self.read_remote_scalar(address, space, size, signed))
            }
            Rvalue::Bytes(place) => Rvalue::Scalar(self.load_scalar(place, ty)),
            other => other,
        }
    }

    fn element(&mut self, base: &Expr, index: u32) -> Rvalue {
        let place = self.bytes(base);
        let layout = self.layout(&base.ty);
        let (Layout::Tuple { fields, .. } | Layout::Record { fields, .. }) = &layout else {
            return Rvalue::Nothing;
        };
        let Some(field) = fields.get(index as usize) else {
            return Rvalue::Nothing;
        };
        let ty = match &base.ty {
            Type::Tuple(types) => types[index as usize].clone(),
            Type::Record(fields) => fields[index as usize].1.clone(),
            _ => return Rvalue::Nothing,
        };
        self.loaded(Rvalue::Bytes(place.plus(field.offset)), &ty)
    }

    fn dereference(&mut self, pointer: &Expr, ty: &Type) -> Rvalue {
        let address = self.scalar(pointer);
        let space = match &pointer.ty {
            Type::Pointer { space, .. } => *space,
            _ => Space::Unknown,
        };
        if space == Space::Own {
            let place = Place {
                base: address,
                offset: 0,
                memory: Memory::Map,
            };
            return self.loaded(Rvalue::Bytes(place), ty);
        }
        self.loaded(Rvalue::Remote { address, space }, ty)
    }

    fn index(&mut self, base: &Expr, index: &Expr, ty: &Type) -> Rvalue {
        let size = self.env.types.size_of(ty).max(1);
        let (address, space) = match (&base.ty, self.rvalue(base)) {
            (Type::Pointer { space, .. }, Rvalue::Scalar(address)) => (address, *space),
            (_, Rvalue::Remote { address, space }) => (address, space),
            (base_ty, value @ (Rvalue::Bytes(_) | Rvalue::Literal(_))) => {
                return self.own_index(value, base_ty, index, size, ty);
            }
            _ => return Rvalue::Nothing,
        };
        let address = match index.as_int() {
            Some(0) => address,
            Some(constant) => {
                let offset = self.b.constant(constant.wrapping_mul(i64::from(size)));
                self.b.binary(BinaryOp::Add, address, offset)
            }
            None => {
                let index = self.scalar(index);
                let offset = self.b.binary(BinaryOp::Mul, index, size as i32);
                self.b.binary(BinaryOp::Add, address, offset)
            }
        };
        self.loaded(Rvalue::Remote { address, space }, ty)
    }

    /// An element of an array in the program's own memory; an index outside of it reads zero.
    fn own_index(
        &mut self,
        base: Rvalue,
        base_ty: &Type,
        index: &Expr,
        size: u32,
        ty: &Type,
    ) -> Rvalue {
        let whole = self.size_of(base_ty);
        let place = match base {
            Rvalue::Bytes(place) => place,
            constant => {
                let place = self.temporary(whole, "a constant to index");
                self.store_rvalue(&constant, base_ty, place, base_ty);
                place
            }
        };
        let skip = if matches!(base_ty, Type::Buffer { .. }) {
            4
        } else {
            0
        };
        if let Some(constant) = index.as_int() {
            let offset = constant as u64 * u64::from(size) + skip;
            if offset + u64::from(size) > u64::from(whole) {
                return Rvalue::Scalar(self.b.constant(0));
            }
            return self.loaded(Rvalue::Bytes(place.plus(offset as u32)), ty);
        }
        // The program may only load from its own memory at offsets that the verifier can bound; a helper reads anywhere.
        let index = self.scalar(index);
        let count = (whole - skip as u32) / size;
        let slot = self.b.slot(8, 8, "an array element");
        let slot = self.b.slot_address(slot);
        let target = Place {
            base: slot,
            offset: 0,
            memory: Memory::Stack,
        };
        self.zero(target, 8);
        let (inside, done) = (self.b.block(), self.b.block());
        self.b
            .branch(Compare::Lt, index, count as i32, inside, done);
        self.b.enter(inside);
        let offset = self.b.binary(BinaryOp::Mul, index, size as i32);
        let start = self.address(place.plus(skip as u32));
        let address = self.b.binary(BinaryOp::Add, start, offset);
        self.read_remote(target, size.min(8), address, Space::Kernel);
        self.b.jump(done);
        self.b.enter(done);
        Rvalue::Scalar(self.load_scalar(target, ty))
    }

    fn address_of(&mut self, place: &Expr) -> Value {
        match &place.kind {
            ExprKind::Variable(variable) => match self.variable_storage(*variable) {
                VariableStorage::Shared(offset) => {
                    let base = self.shared_base();
                    self.b.binary(BinaryOp::Add, base, offset)
                }
                VariableStorage::Memory(location) => {
                    let place = self.place(location);
                    self.address(place)
                }
                VariableStorage::Register(_) => {
                    unreachable!("lower: address of a register variable")
                }
            },
            ExprKind::Map { map, key } => self.map_pointer(*map, key.as_deref()),
            ExprKind::Dereference(pointer) => self.scalar(pointer),
            ExprKind::Member { base, offset, .. } => {
                let base = self.address_of(base);
                self.b.binary(BinaryOp::Add, base, *offset as i32)
            }
            _ => match self.rvalue(place) {
                Rvalue::Remote { address, .. } => address,
                Rvalue::Bytes(place) => self.address(place),
                _ => self.b.constant(0),
            },
        }
    }

    fn choose(&mut self, condition: &Expr, then: &Expr, otherwise: &Expr, ty: &Type) -> Rvalue {
        let (yes, no, done) = (self.b.block(), self.b.block(), self.b.block());
        if *ty == Type::None {
            self.branch_on(condition, yes, no);
            self.b.enter(yes);
            self.effect(then);
            self.b.jump(done);
            self.b.enter(no);
            self.effect(otherwise);
            self.b.jump(done);
            self.b.enter(done);
            return Rvalue::Nothing;
        }
        if is_register(ty) {
            let result = self.b.variable();
            self.branch_on(condition, yes, no);
            self.branch_value(yes, then, result, done);
            self.branch_value(no, otherwise, result, done);
            self.b.enter(done);
            return Rvalue::Scalar(self.b.read(result));
        }
        let size = self.size_of(ty);
        let place = self.temporary(size, "the value of a condition");
        self.branch_on(condition, yes, no);
        for (block, branch) in [(yes, then), (no, otherwise)] {
            self.b.enter(block);
            self.store(branch, place, ty);
            self.b.jump(done);
        }
        self.b.enter(done);
        Rvalue::Bytes(place)
    }

    fn branch_value(
        &mut self,
        block: BlockId,
        expr: &Expr,
        result: crate::ir::Variable,
        done: BlockId,
    ) {
        self.b.enter(block);
        let value = self.scalar(expr);
        self.b.write(result, value);
        self.b.jump(done);
    }

    fn elvis(&mut self, value: &Expr, otherwise: &Expr) -> Rvalue {
        let result = self.b.variable();
        let (no, done) = (self.b.block(), self.b.block());
        let value = self.scalar(value);
        self.b.write(result, value);
        self.b.branch(Compare::Ne, value, 0, done, no);
        self.branch_value(no, otherwise, result, done);
        self.b.enter(done);
        Rvalue::Scalar(self.b.read(result))
    }

    fn cast(&mut self, operand: &Expr, ty: &Type) -> Rvalue {
        match (ty, &operand.ty) {
            (Type::Int { size, .. }, Type::Array { .. }) => {
                let value = self.rvalue(operand);
                let as_int = Type::Int {
                    size: *size,
                    signed: matches!(ty, Type::Int { signed: true, .. }),
                };
                self.loaded(value, &as_int)
            }
            (Type::Array { .. }, Type::Int { size, .. }) => {
                let place = self.temporary((*size).max(8), "an array");
                let value = self.scalar(operand);
                self.store_scalar(place, &operand.ty, value);
                Rvalue::Bytes(place)
            }
            (Type::Int { size, signed }, _) => {
                let value = self.scalar(operand);
                if *size == 8 {
                    return Rvalue::Scalar(value);
                }
                let from = Width::from_bytes(*size).unwrap_or(Width::B8);
                Rvalue::Scalar(self.b.emit(Op::Extend {
                    value,
                    from,
                    signed: *signed,
                }))
            }
            (Type::Bool, _) => {
                let value = self.scalar(operand);
                Rvalue::Scalar(self.b.compare(Compare::Ne, value, 0))
            }
            (to, _) if is_register(to) => Rvalue::Scalar(self.scalar(operand)),
            (to, from) if to == from => self.rvalue(operand),
            _ => {
                let size = self.size_of(ty);
                let place = self.temporary(size, "the value of a cast");
                self.zero(place, size);
                self.store(operand, place, ty);
                Rvalue::Bytes(place)
            }
        }
    }

    /// 1 or 0.
    fn truth_value(&mut self, expr: &Expr) -> Value {
        let result = self.b.variable();
        let (yes, no, done) = (self.b.block(), self.b.block(), self.b.block());
        self.branch_on(expr, yes, no);
        for (block, value) in [(yes, 1), (no, 0)] {
            self.b.enter(block);
            let value = self.b.constant(value);
            self.b.write(result, value);
            self.b.jump(done);
        }
        self.b.enter(done);
        self.b.read(result)
    }

    /// Goes to `yes` if the expression is true, else to `no`. The blocks stay unsealed.
    pub fn branch_on(&mut self, expr: &Expr, yes: BlockId, no: BlockId) {
        self.at(expr.span, |lower| match &expr.kind {
            ExprKind::Not(operand) => lower.branch_on(operand, no, yes),
            ExprKind::And(left, right) => {
                let middle = lower.b.block();
                lower.branch_on(left, middle, no);
                lower.b.enter(middle);
                lower.branch_on(right, yes, no);
            }
            ExprKind::Or(left, right) => {
                let middle = lower.b.block();
                lower.branch_on(left, yes, middle);
                lower.b.enter(middle);
                lower.branch_on(right, yes, no);
            }
            ExprKind::Bool(value) => lower.b.jump(if *value { yes } else { no }),
            ExprKind::Compare { op, left, right } => {
                let left = lower.scalar(left);
                let right = lower.operand(right);
                lower.b.branch(*op, left, right, yes, no);
            }
            ExprKind::SameBytes {
                negated,
                left,
                right,
            } => {
                let (same, other) = if *negated { (no, yes) } else { (yes, no) };
                lower.branch_on_same(left, right, same, other);
            }
            _ => {
                let value = lower.scalar(expr);
                lower.b.branch(Compare::Ne, value, 0, yes, no);
            }
        });
    }
}

/// Size of the smallest aligned integer that holds a bitfield.
fn bitfield_bytes(shift: u32, width: u32) -> u32 {
    match shift + width {
        0..=8 => 1,
        9..=16 => 2,
        17..=32 => 4,
        _ => 8,
    }
}
