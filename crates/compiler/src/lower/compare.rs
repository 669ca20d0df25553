//! Equality of things larger than a word.

use super::{Lowerer, Place, Rvalue, is_register};
use crate::hir::Expr;
use crate::ir::{BinaryOp, BlockId, Compare, Op, Value, Width};
use crate::ty::Type;

impl Lowerer<'_, '_> {
    /// Goes to `same` if both are equal, else to `other`. The blocks stay unsealed.
    pub(super) fn branch_on_same(
        &mut self,
        left: &Expr,
        right: &Expr,
        same: BlockId,
        other: BlockId,
    ) {
        match (&left.ty, &right.ty) {
            (Type::Probe, _) => self.branch_on_probe(left, right, same, other),
            (_, Type::Probe) => self.branch_on_probe(right, left, same, other),
            (Type::String { .. }, Type::String { .. }) => {
                self.branch_on_strings(left, right, same, other)
            }
            (Type::Tuple(_), Type::Tuple(_)) | (Type::Record(_), Type::Record(_)) => {
                let (x, y) = (self.bytes(left), self.bytes(right));
                self.branch_on_parts((x, &left.ty), (y, &right.ty), same, other);
            }
            _ => {
                let (a, b) = (self.bytes(left), self.bytes(right));
                let layout = self.layout(&left.ty);
                self.branch_on_bytes(a, b, layout.size(), layout.align(), same, other);
            }
        }
    }

    /// `probe == "tracepoint:…"`: the name is looked up while compiling.
    fn branch_on_probe(&mut self, probe: &Expr, name: &Expr, same: BlockId, other: BlockId) {
        let wanted = name
            .as_text()
            .map(|text| String::from_utf8_lossy(text).into_owned())
            .unwrap_or_default();
        let matching: Vec<u64> = self
            .group
            .points
            .iter()
            .flat_map(|point| &point.names)
            .enumerate()
            .filter(|(_, name)| **name == wanted)
            .map(|(index, _)| self.first_point + index as u64)
            .collect();
        let value = self.scalar(probe);
        for index in matching {
            let next = self.b.block();
            let index = self.b.constant(index as i64);
            self.b.branch(Compare::Eq, value, index, same, next);
            self.b.enter(next);
        }
        self.b.jump(other);
    }

    fn branch_on_strings(&mut self, left: &Expr, right: &Expr, same: BlockId, other: BlockId) {
        match (self.rvalue(left), self.rvalue(right)) {
            (Rvalue::Literal(a), Rvalue::Literal(b)) => {
                self.b.jump(if a == b { same } else { other })
            }
            (Rvalue::Literal(text), value) => {
                let place = self.string_place(value, &right.ty);
                self.branch_on_literal(place, &right.ty, &text, None, same, other);
            }
            (value, Rvalue::Literal(text)) => {
                let place = self.string_place(value, &left.ty);
                self.branch_on_literal(place, &left.ty, &text, None, same, other);
            }
            (a, b) => {
                let (a, b) = (
                    self.string_place(a, &left.ty),
                    self.string_place(b, &right.ty),
                );
                let size = self.size_of(&left.ty).min(self.size_of(&right.ty));
                self.branch_on_string_loop(a, b, size, same, other);
            }
        }
    }

    fn string_place(&mut self, value: Rvalue, ty: &Type) -> Place {
        match value {
            Rvalue::Bytes(place) => place,
            other => {
                let size = self.size_of(ty);
                let place = self.temporary(size, "a string to compare");
                self.store_rvalue(&other, ty, place, ty);
                place
            }
        }
    }

    /// Compares with a constant, a word at a time. `limit`: only the first so many bytes (`strncmp`).
    pub fn branch_on_literal(
        &mut self,
        place: Place,
        ty: &Type,
        text: &[u8],
        limit: Option<usize>,
        same: BlockId,
        other: BlockId,
    ) {
        let size = self.size_of(ty) as usize;
        let mut wanted = text.to_vec();
        wanted.push(0);
        if let Some(limit) = limit {
            wanted.truncate(limit);
        }
        if wanted.len() > size {
            self.b.jump(other);
            return;
        }
        let mut at = 0usize;
        while at < wanted.len() {
            let left = wanted.len() - at;
            let aligned = 1usize << (place.offset as usize + at).trailing_zeros().min(3);
            let step = [8usize, 4, 2, 1]
                .into_iter()
                .find(|step| *step <= left && *step <= aligned)
                .unwrap_or(1);
            let mut word = [0u8; 8];
            word[..step].copy_from_slice(&wanted[at..at + step]);
            let number = i64::from_le_bytes(word);
            let width = Width::from_bytes(step as u32).unwrap_or(Width::B1);
            let got = self
                .b
                .load(width, place.memory, place.base, place.offset + at as i32);
            let next = self.b.block();
            match i32::try_from(number) {
                Ok(number) => self.b.branch(Compare::Eq, got, number, next, other),
                Err(_) => {
                    let number = self.b.constant(number);
                    self.b.branch(Compare::Eq, got, number, next, other);
                }
            }
            self.b.enter(next);
            at += step;
        }
        self.b.jump(same);
    }

    /// Compares two strings of at most `size` bytes, a byte at a time until the NUL.
    pub fn branch_on_string_loop(
        &mut self,
        a: Place,
        b: Place,
        size: u32,
        same: BlockId,
        other: BlockId,
    ) {
        let counter = self.b.variable();
        let zero = self.b.constant(0);
        self.b.write(counter, zero);
        let (a_base, b_base) = (self.address(a), self.address(b));
        let (head, inside, equal, next) = (
            self.b.block(),
            self.b.block(),
            self.b.block(),
            self.b.block(),
        );
        self.b.jump(head);
        self.b.switch_to(head);
        let index = self.b.read(counter);
        self.b.branch(Compare::Lt, index, size as i32, inside, same);
        self.b.enter(inside);
        let load = |lower: &mut Self, base: Value, memory| {
            let address = lower.b.binary(BinaryOp::Add, base, index);
            lower.b.emit(Op::Load {
                width: Width::B1,
                signed: false,
                memory,
                base: address,
                offset: 0,
            })
        };
        let (x, y) = (load(self, a_base, a.memory), load(self, b_base, b.memory));
        self.b.branch(Compare::Eq, x, y, equal, other);
        self.b.enter(equal);
        self.b.branch(Compare::Eq, x, 0, same, next);
        self.b.enter(next);
        let index = self.b.binary(BinaryOp::Add, index, 1);
        self.b.write(counter, index);
        self.b.jump(head);
        self.b.seal(head);
    }

    /// Compares tuples or records part by part: their strings may have different sizes, and bytes between parts mean nothing.
    fn branch_on_parts(
        &mut self,
        (x, a): (Place, &Type),
        (y, b): (Place, &Type),
        same: BlockId,
        other: BlockId,
    ) {
        let (left, right) = (self.parts(a), self.parts(b));
        for (name, offset, ty) in left {
            let Some((_, right_offset, right_ty)) =
                right.iter().find(|(candidate, ..)| *candidate == name)
            else {
                continue;
            };
            let next = self.b.block();
            let (x, y) = (x.plus(offset), y.plus(*right_offset));
            self.branch_on_part((x, &ty), (y, right_ty), next, other);
            self.b.enter(next);
        }
        self.b.jump(same);
    }

    /// Names (positions of a tuple), offsets and types.
    fn parts(&mut self, ty: &Type) -> Vec<(String, u32, Type)> {
        let layout = self.layout(ty);
        let (fathom_bpf::Layout::Tuple { fields, .. } | fathom_bpf::Layout::Record { fields, .. }) =
            &layout
        else {
            return Vec::new();
        };
        let named: Vec<(String, Type)> = match ty {
            Type::Tuple(types) => {
                let numbered = types.iter().enumerate();
                numbered
                    .map(|(index, ty)| (index.to_string(), ty.clone()))
                    .collect()
            }
            Type::Record(fields) => fields.to_vec(),
            _ => Vec::new(),
        };
        let parts = named.into_iter().zip(fields.iter());
        parts
            .map(|((name, ty), field)| (name, field.offset, ty))
            .collect()
    }

    fn branch_on_part(
        &mut self,
        (x, a): (Place, &Type),
        (y, b): (Place, &Type),
        same: BlockId,
        other: BlockId,
    ) {
        match (a, b) {
            (a, b) if is_register(a) && is_register(b) => {
                let (left, right) = (self.load_scalar(x, a), self.load_scalar(y, b));
                self.b.branch(Compare::Eq, left, right, same, other);
            }
            (Type::String { size: m }, Type::String { size: n }) => {
                self.branch_on_string_loop(x, y, (*m).min(*n), same, other);
            }
            (Type::Tuple(_), Type::Tuple(_)) | (Type::Record(_), Type::Record(_)) => {
                self.branch_on_parts((x, a), (y, b), same, other);
            }
            _ => {
                let layout = self.layout(a);
                self.branch_on_bytes(x, y, layout.size(), layout.align(), same, other);
            }
        }
    }

    /// Compares `size` bytes.
    pub fn branch_on_bytes(
        &mut self,
        a: Place,
        b: Place,
        size: u32,
        align: u32,
        same: BlockId,
        other: BlockId,
    ) {
        let mut at = 0;
        while at < size {
            let step = [8, 4, 2, 1]
                .into_iter()
                .find(|step| *step <= size - at && *step <= align.max(1))
                .unwrap_or(1);
            let width = Width::from_bytes(step).unwrap_or(Width::B1);
            let x = self.b.load(width, a.memory, a.base, a.offset + at as i32);
            let y = self.b.load(width, b.memory, b.base, b.offset + at as i32);
            let next = self.b.block();
            self.b.branch(Compare::Eq, x, y, next, other);
            self.b.enter(next);
            at += step;
        }
        self.b.jump(same);
    }
}
