//! Scratch variables: in registers, in the frame shared with callbacks, or in memory.

use super::{Lowerer, Rvalue, VariableStorage};
use crate::hir::{Expr, ExprKind, VariableRef};
use crate::ir::{BinaryOp, Memory, Op, Value, Width};
use crate::ty::Type;

impl Lowerer<'_, '_> {
    pub(super) fn read_variable(&mut self, variable: VariableRef, ty: &Type) -> Rvalue {
        match self.variable_storage(variable) {
            VariableStorage::Register(register) => Rvalue::Scalar(self.b.read(register)),
            VariableStorage::Shared(offset) => {
                let base = self.shared_base();
                Rvalue::Scalar(self.b.load(Width::B8, Memory::Stack, base, offset))
            }
            VariableStorage::Memory(location) => {
                let _ = ty;
                Rvalue::Bytes(self.place(location))
            }
        }
    }

    /// `$x = value`
    pub fn write_variable(&mut self, variable: VariableRef, value: &Expr) {
        let ty = self.body.variables[variable.0 as usize].ty.clone();
        match self.variable_storage(variable) {
            VariableStorage::Register(register) => {
                let value = self.scalar_as(value, &ty);
                self.b.write(register, value);
            }
            VariableStorage::Shared(offset) => {
                let value = self.scalar_as(value, &ty);
                let base = self.shared_base();
                self.b.store(Width::B8, Memory::Stack, base, offset, value);
            }
            VariableStorage::Memory(location) => {
                let place = self.place(location);
                self.replace(value, place, &ty);
            }
        }
    }

    /// `let $x;`
    pub(super) fn zero_variable(&mut self, variable: VariableRef) {
        let ty = self.body.variables[variable.0 as usize].ty.clone();
        match self.variable_storage(variable) {
            VariableStorage::Register(register) => {
                let zero = self.b.constant(0);
                self.b.write(register, zero);
            }
            VariableStorage::Shared(offset) => {
                let base = self.shared_base();
                self.b.store(Width::B8, Memory::Stack, base, offset, 0);
            }
            VariableStorage::Memory(location) => {
                let size = self.size_of(&ty);
                let place = self.place(location);
                self.zero(place, size);
            }
        }
    }

    /// Evaluates to one word and cuts it to the integer type wanted (a declared `uint8` keeps 8 bits).
    fn scalar_as(&mut self, expr: &Expr, ty: &Type) -> Value {
        let value = self.scalar(expr);
        match expr.ty == *ty {
            true => value,
            false => self.cut(value, ty),
        }
    }

    /// The bits that the integer type has.
    fn cut(&mut self, value: Value, ty: &Type) -> Value {
        match ty {
            Type::Int { size, signed } if *size < 8 => {
                let from = Width::from_bytes(*size).unwrap_or(Width::B8);
                self.b.emit(Op::Extend {
                    value,
                    from,
                    signed: *signed,
                })
            }
            _ => value,
        }
    }

    pub(super) fn step(&mut self, target: &Expr, delta: i64, is_prefix: bool) -> Rvalue {
        if let ExprKind::Map { map, key } = &target.kind {
            return Rvalue::Scalar(self.step_map(*map, key.as_deref(), delta, is_prefix));
        }
        let ExprKind::Variable(variable) = &target.kind else {
            return Rvalue::Nothing;
        };
        let old = self.scalar(target);
        let new = self.b.binary(BinaryOp::Add, old, delta as i32);
        let new = self.cut(new, &target.ty);
        match self.variable_storage(*variable) {
            VariableStorage::Register(register) => self.b.write(register, new),
            VariableStorage::Shared(offset) => {
                let base = self.shared_base();
                self.b.store(Width::B8, Memory::Stack, base, offset, new);
            }
            VariableStorage::Memory(_) => unreachable!("lower: a number in memory"),
        }
        Rvalue::Scalar(if is_prefix { new } else { old })
    }
}
