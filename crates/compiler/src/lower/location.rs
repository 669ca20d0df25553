//! Values of a traced program where its debug information says they are: in registers, in memory, in pieces.

use fathom_machine::dwarf::{BinaryOperation, Expression, Location, Operation, UnaryOperation};

use super::{Lowerer, Rvalue, is_register};
use crate::ir::{BinaryOp, Compare, Memory, Op, Value, Width};
use crate::probes::register_offset;
use crate::ty::{Space, Type};

/// Registers in DWARF's order (System V ABI for x86-64, figure 3.36).
const REGISTERS: [&str; 17] = [
    "ax", "dx", "cx", "bx", "si", "di", "bp", "sp", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
    "r15", "ip",
];

/// DWARF's number of the instruction pointer.
const INSTRUCTION_POINTER: u16 = 16;

impl Lowerer<'_, '_> {
    /// A register of the traced program by DWARF's number.
    pub(super) fn debug_register(&mut self, number: u16) -> Value {
        let name = REGISTERS.get(usize::from(number)).copied();
        let offset = name.and_then(register_offset).unwrap_or_default();
        let context = self.context();
        self.b
            .load(Width::B8, Memory::Context, context, offset as i32)
    }

    /// What the expression yields; `bias` is the address at which the file is loaded.
    pub(crate) fn evaluate(&mut self, expression: &Expression, bias: Value) -> Value {
        let mut stack: Vec<Value> = Vec::new();
        for operation in &expression.0 {
            self.operate(*operation, bias, &mut stack);
        }
        stack.pop().unwrap_or_else(|| self.b.constant(0))
    }

    fn operate(&mut self, operation: Operation, bias: Value, stack: &mut Vec<Value>) {
        let top = stack.len().wrapping_sub(1);
        match operation {
            Operation::Constant(number) => stack.push(self.b.constant(number)),
            Operation::Register { number, offset } => {
                let register = self.debug_register(number);
                stack.push(self.plus(register, offset));
            }
            Operation::Static(address) => stack.push(self.plus(bias, address.0 as i64)),
            Operation::Deref { size } => {
                if let Some(address) = stack.pop() {
                    let size = u32::from(size).next_power_of_two().min(8);
                    stack.push(self.read_remote_scalar(address, Space::User, size, false));
                }
            }
            Operation::Binary(operation) => {
                if let (Some(right), Some(left)) = (stack.pop(), stack.pop()) {
                    stack.push(self.debug_binary(operation, left, right));
                }
            }
            Operation::Unary(operation) => {
                if let Some(value) = stack.pop() {
                    stack.push(self.debug_unary(operation, value));
                }
            }
            Operation::Duplicate => stack.extend(stack.get(top).copied()),
            Operation::Drop => {
                stack.pop();
            }
            Operation::Swap if stack.len() >= 2 => stack.swap(top, top - 1),
            Operation::Over => stack.extend(stack.get(top.wrapping_sub(1)).copied()),
            Operation::Pick(depth) => {
                stack.extend(stack.get(top.wrapping_sub(usize::from(depth))).copied())
            }
            Operation::Rotate if stack.len() >= 3 => stack[top - 2..].rotate_right(1),
            Operation::Swap | Operation::Rotate => {}
        }
    }

    pub(super) fn plus(&mut self, value: Value, by: i64) -> Value {
        match i32::try_from(by) {
            Ok(0) => value,
            Ok(by) => self.b.binary(BinaryOp::Add, value, by),
            Err(_) => {
                let by = self.b.constant(by);
                self.b.binary(BinaryOp::Add, value, by)
            }
        }
    }

    fn debug_binary(&mut self, operation: BinaryOperation, left: Value, right: Value) -> Value {
        use BinaryOperation as From;
        let compared = |compare, (left, right)| (compare, left, right);
        let (compare, a, b) = match operation {
            From::Equal => compared(Compare::Eq, (left, right)),
            From::NotEqual => compared(Compare::Ne, (left, right)),
            From::Less => compared(Compare::Slt, (left, right)),
            From::LessOrEqual => compared(Compare::Sle, (left, right)),
            From::Greater => compared(Compare::Sgt, (left, right)),
            From::GreaterOrEqual => compared(Compare::Sge, (left, right)),
            From::Divide => return self.signed_quotient(left, right),
            From::Add => return self.b.binary(BinaryOp::Add, left, right),
            From::Subtract => return self.b.binary(BinaryOp::Sub, left, right),
            From::Multiply => return self.b.binary(BinaryOp::Mul, left, right),
            From::Modulo => return self.b.binary(BinaryOp::Rem, left, right),
            From::And => return self.b.binary(BinaryOp::And, left, right),
            From::Or => return self.b.binary(BinaryOp::Or, left, right),
            From::Xor => return self.b.binary(BinaryOp::Xor, left, right),
            From::ShiftLeft => return self.b.binary(BinaryOp::Shl, left, right),
            From::ShiftRight => return self.b.binary(BinaryOp::Shr, left, right),
            From::ShiftRightSigned => return self.b.binary(BinaryOp::Sar, left, right),
        };
        self.b.compare(compare, a, b)
    }

    /// The kernel divides only without sign (before Linux 6.6): of the amounts, then the sign is put on.
    fn signed_quotient(&mut self, left: Value, right: Value) -> Value {
        let sign = self.b.binary(BinaryOp::Xor, left, right);
        let sign = self.b.binary(BinaryOp::Sar, sign, 63);
        let (left, right) = (self.amount(left), self.amount(right));
        let quotient = self.b.binary(BinaryOp::Div, left, right);
        let flipped = self.b.binary(BinaryOp::Xor, quotient, sign);
        self.b.binary(BinaryOp::Sub, flipped, sign)
    }

    fn amount(&mut self, value: Value) -> Value {
        let sign = self.b.binary(BinaryOp::Sar, value, 63);
        let flipped = self.b.binary(BinaryOp::Xor, value, sign);
        self.b.binary(BinaryOp::Sub, flipped, sign)
    }

    fn debug_unary(&mut self, operation: UnaryOperation, value: Value) -> Value {
        match operation {
            UnaryOperation::Negate => self.b.emit(Op::Negate { value }),
            UnaryOperation::Not => self.b.binary(BinaryOp::Xor, value, -1),
            UnaryOperation::Absolute => self.amount(value),
        }
    }

    /// The address at which a program's file is loaded, at a site of that address in the file; 0 where it does not matter.
    pub(super) fn load_bias(&mut self, site: Option<u64>) -> Value {
        match site {
            Some(site) => {
                let ip = self.debug_register(INSTRUCTION_POINTER);
                self.plus(ip, (site as i64).wrapping_neg())
            }
            None => self.b.constant(0),
        }
    }

    /// A value of that type.
    pub(super) fn located(&mut self, location: &Location, site: Option<u64>, ty: &Type) -> Rvalue {
        let bias = self.load_bias(site);
        let (size, signed) = match is_register(ty) {
            true => self.scalar_size(ty),
            false => (self.size_of(ty), false),
        };
        if let Location::Memory(expression) = location {
            let address = self.evaluate(expression, bias);
            let space = Space::User;
            return match is_register(ty) {
                true => Rvalue::Scalar(self.read_remote_scalar(address, space, size, signed)),
                false => Rvalue::Remote { address, space },
            };
        }
        let word = match location {
            Location::Register(number) => Some(self.debug_register(*number)),
            Location::Value(expression) => Some(self.evaluate(expression, bias)),
            _ => None,
        };
        if let Some(word) = word.filter(|_| is_register(ty)) {
            return Rvalue::Scalar(self.extended(word, size, signed));
        }
        let bytes = size.next_multiple_of(8).max(8);
        let place = self.temporary(bytes, "an argument");
        self.value_at_hand(location, place, bytes, bias);
        match is_register(ty) {
            true => Rvalue::Scalar(self.load_scalar(place, ty)),
            false => Rvalue::Bytes(place),
        }
    }
}
