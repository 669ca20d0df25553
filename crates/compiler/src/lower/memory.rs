//! Values in memory: temporaries, reads of kernel and user memory, copies.

use fathom_bpf::Layout;
use fathom_bpf::helper::Helper;

use super::Lowerer;
use crate::hir::Expr;
use crate::ir::{BinaryOp, Compare, Memory, Op, Slot, Value, Width};
use crate::ty::{Space, Type};

/// Copies longer than this call a helper.
const INLINE_COPY: u32 = 64;

/// Memory of the program, as a base and an offset: valid in the function that made it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// Points into the memory.
    pub base: Value,
    /// Bytes from there.
    pub offset: i32,
    /// Which kind it is, for the checks on aliasing.
    pub memory: Memory,
}

/// Memory of the program by name: valid in every function (a slot: in its own).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location {
    /// On the stack.
    Slot(Slot),
    /// In scratch memory, at this offset.
    Scratch(u32),
}

/// The value of an expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Rvalue {
    /// One word.
    Scalar(Value),
    /// In the program's own memory, by the layout of its type.
    Bytes(Place),
    /// Somewhere else: to be read when needed.
    Remote {
        /// Its first byte.
        address: Value,
        /// How it is read.
        space: Space,
    },
    /// A string constant.
    Literal(std::sync::Arc<[u8]>),
    /// No value.
    Nothing,
}

impl Place {
    /// `by` bytes further.
    pub fn plus(self, by: u32) -> Place {
        Place {
            offset: self.offset + by as i32,
            ..self
        }
    }
}

impl Lowerer<'_, '_> {
    /// New memory of the program: on the stack when small.
    pub(super) fn new_location(&mut self, size: u32, purpose: &str) -> Location {
        if size <= self.env.on_stack_limit {
            return Location::Slot(self.b.slot(size.max(1), 8, purpose));
        }
        self.scratch_location(size)
    }

    /// Where a location lies in the function being built.
    pub(super) fn place(&mut self, location: Location) -> Place {
        match location {
            Location::Slot(slot) => Place {
                base: self.b.slot_address(slot),
                offset: 0,
                memory: Memory::Stack,
            },
            Location::Scratch(offset) => {
                let base = self.scratch_base();
                Place {
                    base,
                    offset: offset as i32,
                    memory: Memory::Map,
                }
            }
        }
    }

    /// Memory for a temporary of `size` bytes.
    pub fn temporary(&mut self, size: u32, purpose: &str) -> Place {
        let location = self.new_location(size, purpose);
        self.place(location)
    }

    /// The same in scratch memory, whatever its size.
    pub fn scratch_temporary(&mut self, size: u32) -> Place {
        let location = self.scratch_location(size);
        self.place(location)
    }

    /// The place's address as a value.
    pub fn address(&mut self, place: Place) -> Value {
        if place.offset == 0 {
            return place.base;
        }
        self.b.binary(BinaryOp::Add, place.base, place.offset)
    }

    /// Sets bytes to zero.
    pub fn zero(&mut self, place: Place, len: u32) {
        if len > 0 {
            self.b.effect(Op::Zero {
                memory: place.memory,
                base: place.base,
                offset: place.offset,
                len,
            });
        }
    }

    /// Copies between the program's own memories.
    pub fn copy(&mut self, to: Place, from: Place, len: u32, align: u32) {
        if len == 0 || to == from {
            return;
        }
        if len > INLINE_COPY {
            let (to, from) = (self.address(to), self.address(from));
            let len = self.b.constant(i64::from(len));
            self.b.call(Helper::PROBE_READ_KERNEL, &[to, len, from]);
            return;
        }
        self.b.effect(Op::Copy {
            to: to.base,
            to_offset: to.offset,
            to_memory: to.memory,
            from: from.base,
            from_offset: from.offset,
            from_memory: from.memory,
            len,
            align,
        });
    }

    /// Loads a scalar of that type from the program's own memory.
    pub fn load_scalar(&mut self, place: Place, ty: &Type) -> Value {
        let (size, signed) = self.scalar_size(ty);
        let width = Width::from_bytes(size).unwrap_or(Width::B8);
        self.b.emit(Op::Load {
            width,
            signed,
            memory: place.memory,
            base: place.base,
            offset: place.offset,
        })
    }

    /// Stores a scalar of that type.
    pub fn store_scalar(&mut self, place: Place, ty: &Type, value: Value) {
        let (size, _) = self.scalar_size(ty);
        let width = Width::from_bytes(size).unwrap_or(Width::B8);
        self.b
            .store(width, place.memory, place.base, place.offset, value);
    }

    /// Bytes and sign of a scalar in memory.
    pub fn scalar_size(&mut self, ty: &Type) -> (u32, bool) {
        match self.layout(ty) {
            Layout::Int { size, signed } | Layout::Enum { size, signed, .. } => (size, signed),
            other => (other.size().max(1), false),
        }
    }

    /// `bpf_probe_read_{kernel,user}[_str]`
    pub fn read_helper(&self, space: Space, is_string: bool) -> Helper {
        let is_user = match space {
            Space::User => true,
            Space::Kernel | Space::Context | Space::Own => false,
            Space::Unknown => self.group.context.is_user,
        };
        match (is_user, is_string) {
            (true, true) => Helper::PROBE_READ_USER_STR,
            (true, false) if self.group.sleepable => Helper::COPY_FROM_USER,
            (true, false) => Helper::PROBE_READ_USER,
            (false, true) => Helper::PROBE_READ_KERNEL_STR,
            (false, false) => Helper::PROBE_READ_KERNEL,
        }
    }

    /// Reads `len` bytes of other memory; bytes that cannot be read are zero.
    pub fn read_remote(&mut self, to: Place, len: u32, address: Value, space: Space) {
        let helper = self.read_helper(space, false);
        let to = self.address(to);
        let len = self.b.constant(i64::from(len));
        self.b.call(helper, &[to, len, address]);
    }

    /// Reads a scalar from other memory; 0 if it cannot be read.
    pub fn read_remote_scalar(
        &mut self,
        address: Value,
        space: Space,
        size: u32,
        signed: bool,
    ) -> Value {
        let width = Width::from_bytes(size).unwrap_or(Width::B8);
        if matches!(space, Space::Own) {
            return self.b.emit(Op::Load {
                width,
                signed,
                memory: Memory::Map,
                base: address,
                offset: 0,
            });
        }
        let slot = self.b.slot(8, 8, "a value read from memory");
        let base = self.b.slot_address(slot);
        let place = Place {
            base,
            offset: 0,
            memory: Memory::Stack,
        };
        self.read_remote(place, width.bytes(), address, space);
        self.b.emit(Op::Load {
            width,
            signed,
            memory: Memory::Stack,
            base,
            offset: 0,
        })
    }

    /// A value as one word: an address for what lies elsewhere.
    pub fn word(&mut self, value: Rvalue, ty: &Type) -> Value {
        match value {
            Rvalue::Scalar(value) => value,
            Rvalue::Bytes(place) => self.load_scalar(place, ty),
            Rvalue::Remote { address, .. } => address,
            Rvalue::Literal(_) | Rvalue::Nothing => self.b.constant(0),
        }
    }

    /// The value's bytes in the program's memory, copied there if they are elsewhere.
    pub fn bytes(&mut self, expr: &Expr) -> Place {
        let value = self.rvalue(expr);
        if let Rvalue::Bytes(place) = value {
            return place;
        }
        let size = self.size_of(&expr.ty);
        let place = self.temporary(size, "a temporary value");
        self.store_rvalue(&value, &expr.ty, place, &expr.ty);
        place
    }

    /// Evaluates `expr` straight into memory, converted to `ty`.
    pub fn store(&mut self, expr: &Expr, to: Place, ty: &Type) {
        self.at(expr.span, |lower| lower.store_here(expr, to, ty));
    }

    /// Like [`Lowerer::store`], over a value that the expression may still read (`$t = ($t.1, $t.0)`), and with zeros behind each
    /// text of a tuple, so that the whole can be a key.
    pub(super) fn replace(&mut self, expr: &Expr, to: Place, ty: &Type) {
        if !matches!(ty, Type::Tuple(_) | Type::Record(_)) {
            return self.store(expr, to, ty);
        }
        let size = self.size_of(ty);
        let new = self.temporary(size, "the new value");
        self.zero(new, size);
        self.store(expr, new, ty);
        let align = self.layout(ty).align();
        self.copy(to, new, size, align);
    }

    fn store_here(&mut self, expr: &Expr, to: Place, ty: &Type) {
        use crate::hir::ExprKind;
        match &expr.kind {
            ExprKind::Tuple(elements) => self.store_elements(elements, to, ty),
            ExprKind::Record(elements) => self.store_fields(elements, &expr.ty, to, ty),
            ExprKind::Builtin {
                builtin,
                args,
                data,
            } if !super::is_register(&expr.ty) => {
                let wanted = if *ty == expr.ty || self.is_same_shape(ty, &expr.ty) {
                    Some(to)
                } else {
                    None
                };
                let used = crate::builtins::Use {
                    args,
                    data,
                    ty: &expr.ty,
                    span: expr.span,
                };
                let value = (builtin.lower)(self, &used, wanted);
                if value != Rvalue::Bytes(to) {
                    self.store_rvalue(&value, &expr.ty, to, ty);
                }
            }
            ExprKind::Choose {
                condition,
                then,
                otherwise,
            } if !super::is_register(ty) => {
                let (yes, no, done) = (self.b.block(), self.b.block(), self.b.block());
                self.branch_on(condition, yes, no);
                self.b.enter(yes);
                self.store(then, to, ty);
                self.b.jump(done);
                self.b.enter(no);
                self.store(otherwise, to, ty);
                self.b.jump(done);
                self.b.enter(done);
            }
            ExprKind::Map { map, key } if !super::is_register(&expr.ty) => {
                self.map_value_into(*map, key.as_deref(), to, ty);
            }
            _ => {
                let value = self.rvalue(expr);
                self.store_rvalue(&value, &expr.ty, to, ty);
            }
        }
    }

    /// Whether bytes of one type can be written directly where the other is wanted.
    fn is_same_shape(&mut self, wanted: &Type, got: &Type) -> bool {
        match (wanted, got) {
            (Type::String { size: a }, Type::String { size: b })
            | (Type::Buffer { size: a }, Type::Buffer { size: b }) => a >= b,
            _ => false,
        }
    }

    fn store_elements(&mut self, elements: &[Expr], to: Place, ty: &Type) {
        let layout = self.layout(ty);
        let (Type::Tuple(types), Layout::Tuple { fields, .. }) = (ty, &layout) else {
            unreachable!("lower: elements of {ty}");
        };
        for ((element, ty), field) in elements.iter().zip(types.iter()).zip(fields.iter()) {
            self.store(element, to.plus(field.offset), ty);
        }
    }

    /// The fields of a record, whose order may differ from the wanted type's.
    fn store_fields(&mut self, elements: &[Expr], from: &Type, to: Place, ty: &Type) {
        let layout = self.layout(ty);
        let (Type::Record(names), Type::Record(types), Layout::Record { fields, .. }) =
            (from, ty, &layout)
        else {
            unreachable!("lower: fields of {ty}");
        };
        for (element, (name, _)) in elements.iter().zip(names.iter()) {
            let index = types.iter().position(|(candidate, _)| candidate == name);
            if let Some(index) = index {
                self.store(element, to.plus(fields[index].offset), &types[index].1);
            }
        }
    }

    /// Writes a value into memory, converted from `from` to `ty`.
    pub fn store_rvalue(&mut self, value: &Rvalue, from: &Type, to: Place, ty: &Type) {
        match value {
            Rvalue::Scalar(value) => self.store_scalar(to, ty, *value),
            Rvalue::Literal(text) => self.store_literal(text, to, ty),
            Rvalue::Bytes(place) => self.convert(*place, from, to, ty),
            Rvalue::Remote { address, space } => self.store_remote(*address, *space, from, to, ty),
            Rvalue::Nothing => {
                let size = self.size_of(ty);
                self.zero(to, size);
            }
        }
    }

    fn store_literal(&mut self, text: &[u8], to: Place, ty: &Type) {
        let limit = (self.size_of(ty).max(1) - 1) as usize;
        let mut bytes = text[..text.len().min(limit)].to_vec();
        bytes.push(0);
        self.store_bytes(&bytes, to);
    }

    /// Writes constant bytes.
    pub fn store_bytes(&mut self, bytes: &[u8], to: Place) {
        let mut at = 0usize;
        while at < bytes.len() {
            let left = bytes.len() - at;
            let aligned = 1usize << (to.offset as usize + at).trailing_zeros().min(3);
            let size = [8usize, 4, 2, 1]
                .into_iter()
                .find(|size| *size <= left && *size <= aligned)
                .unwrap_or(1);
            let mut word = [0u8; 8];
            word[..size].copy_from_slice(&bytes[at..at + size]);
            let number = i64::from_le_bytes(word);
            let width = Width::from_bytes(size as u32).unwrap_or(Width::B1);
            let offset = to.offset + at as i32;
            let fits = size < 8 || i32::try_from(number).is_ok();
            if fits {
                self.b
                    .store(width, to.memory, to.base, offset, number as i32);
            } else {
                let value = self.b.constant(number);
                self.b.store(width, to.memory, to.base, offset, value);
            }
            at += size;
        }
    }

    fn store_remote(&mut self, address: Value, space: Space, from: &Type, to: Place, ty: &Type) {
        if super::is_register(ty) {
            let (size, signed) = self.scalar_size(from);
            let value = self.read_remote_scalar(address, space, size, signed);
            self.store_scalar(to, ty, value);
            return;
        }
        if let (Type::Array { len, .. } | Type::String { size: len }, Type::String { size }) =
            (from, ty)
        {
            let helper = self.read_helper(space, true);
            let to = self.address(to);
            let len = self.b.constant(i64::from((*len).clamp(1, *size)));
            self.b.call(helper, &[to, len, address]);
            return;
        }
        let size = self.size_of(ty);
        self.read_remote(to, size, address, space);
    }

    /// Reads a NUL-terminated string of at most `size` bytes; an unreadable one is empty (the kernel's helper sees to
    /// that). Gives the helper's result: the length with the NUL, or an error.
    pub fn read_string(&mut self, to: Place, size: Value, address: Value, space: Space) -> Value {
        let helper = self.read_helper(space, true);
        let pointer = self.address(to);
        if helper == Helper::PROBE_READ_USER_STR {
            return self.read_text(pointer, size, address);
        }
        self.b.call(helper, &[pointer, size, address])
    }

    /// Copies user memory; gives 0, or an error. Waits for pages that are not there if the program may.
    pub(super) fn copy_bytes(&mut self, to: Value, size: Value, address: Value) -> Value {
        let helper = self.read_helper(Space::User, false);
        self.b.call(helper, &[to, size, address])
    }

    /// Reads a text of user memory, like `bpf_probe_read_user_str`. A program that may wait has its pages brought in first when
    /// that fails: the one where it starts, and the one where it must end.
    pub(super) fn read_text(&mut self, to: Value, size: Value, address: Value) -> Value {
        let args = [to, size, address];
        let result = self.b.call(Helper::PROBE_READ_USER_STR, &args);
        if !self.group.sleepable {
            return result;
        }
        let outcome = self.b.variable();
        self.b.write(outcome, result);
        let (retry, done) = (self.b.block(), self.b.block());
        self.b.branch(Compare::Sgt, result, 0, done, retry);
        self.b.enter(retry);
        let one = self.b.constant(1);
        self.b.call(Helper::COPY_FROM_USER, &[to, one, address]);
        let last = self.b.binary(BinaryOp::Add, address, size);
        let last = self.b.binary(BinaryOp::Sub, last, 1);
        self.b.call(Helper::COPY_FROM_USER, &[to, one, last]);
        let result = self.b.call(Helper::PROBE_READ_USER_STR, &args);
        self.b.write(outcome, result);
        self.b.jump(done);
        self.b.enter(done);
        self.b.read(outcome)
    }
}
