//! From DWARF's location descriptions to a [`Location`] at one instruction.

use super::Slice;
use super::location::{
    BinaryOperation, Expression, Location, MAX_OPERATIONS, MAX_REGISTER, Operation, Piece,
    UnaryOperation,
};
use super::question::OpenUnit;
use super::site::{MAX_CONSTANT, Site};
use crate::Address;
use gimli::{Encoding, UnitOffset};

/// Parts of one value.
const MAX_PIECES: usize = 64;
/// Expressions within expressions.
const MAX_DEPTH: usize = 4;
pub(super) type Code<'a> = gimli::Expression<Slice<'a>>;
type RawOperation<'a> = gimli::Operation<Slice<'a>>;
/// What could be worked out, or why it could not.
pub(super) type Worked<T> = std::result::Result<T, String>;

/// Works out a description; one of unwind information belongs to no unit.
pub(super) fn translate<'a>(
    site: &Site<'_, 'a>,
    unit: Option<&OpenUnit<'a>>,
    code: Code<'a>,
    encoding: Encoding,
) -> Location {
    let translation = Translation {
        site,
        unit,
        encoding,
        depth: 0,
        part: Part::default(),
        pieces: Vec::new(),
    };
    translation.finish(code)
}

/// The description of one value in progress.
struct Translation<'t, 'q, 'a> {
    site: &'t Site<'q, 'a>,
    /// For references to base types; unwind information has none.
    unit: Option<&'t OpenUnit<'a>>,
    encoding: Encoding,
    depth: usize,
    part: Part,
    pieces: Vec<Piece>,
}

/// What was read since the last piece.
#[derive(Default)]
struct Part {
    expression: Expression,
    complete: Option<Location>,
    failure: Option<String>,
    /// Whether numbers of a given type are on the stack.
    is_typed: bool,
}

impl Part {
    fn finish(self) -> Location {
        match self {
            Part {
                failure: Some(why), ..
            } => Location::Unreadable(why),
            Part {
                complete: Some(location),
                ..
            } => location,
            Part { expression, .. } if expression.0.is_empty() => Location::Absent,
            Part { expression, .. } => sound(expression, Location::Memory),
        }
    }
}

impl<'a> Translation<'_, '_, 'a> {
    fn finish(mut self, code: Code<'a>) -> Location {
        match self.run(code) {
            Ok(location) => location,
            Err(why) => Location::Unreadable(why),
        }
    }

    fn run(&mut self, code: Code<'a>) -> Worked<Location> {
        let mut operations = code.operations(self.encoding);
        while let Some(operation) = operations.next().map_err(|error| error.to_string())? {
            let spent = self.site.question.budget.spend(1);
            spent.map_err(|error| error.to_string())?;
            if self.part.expression.0.len() > MAX_OPERATIONS || self.pieces.len() > MAX_PIECES {
                return Err("its description is too long".to_string());
            }
            if let RawOperation::Piece {
                size_in_bits,
                bit_offset,
            } = operation
            {
                if size_in_bits % 8 != 0 || bit_offset.is_some_and(|offset| offset != 0) {
                    return Err("it is in parts smaller than a byte".to_string());
                }
                self.pieces.push(Piece {
                    location: std::mem::take(&mut self.part).finish(),
                    size: size_in_bits / 8,
                });
                continue;
            }
            if self.part.failure.is_some() {
                continue;
            }
            let done = match self.part.complete {
                Some(_) => Err("its description goes on after its end".to_string()),
                None => self.step(operation),
            };
            self.part.failure = done.err();
        }
        let last = std::mem::take(&mut self.part).finish();
        match self.pieces.is_empty() {
            true => Ok(last),
            false => Ok(Location::Pieces(std::mem::take(&mut self.pieces))),
        }
    }

    fn step(&mut self, operation: RawOperation<'a>) -> Worked<()> {
        if let Some(simple) = self.simple(&operation)? {
            self.part.expression.0.push(simple);
            return Ok(());
        }
        match operation {
            RawOperation::Nop => Ok(()),
            RawOperation::PlusConstant { value } => {
                self.part.expression.add(value as i64);
                Ok(())
            }
            RawOperation::RegisterOffset {
                register,
                offset,
                base_type,
            } => {
                general(register.0)?;
                let number = register.0;
                let read = Operation::Register { number, offset };
                self.part.expression.0.push(read);
                self.cast(base_type)
            }
            RawOperation::FrameOffset { offset } => {
                self.push_all(self.site.frame_base.clone()?)?;
                self.part.expression.add(offset);
                Ok(())
            }
            RawOperation::CallFrameCFA => self.push_all(self.site.canonical_frame_address()?),
            RawOperation::AddressIndex { .. } | RawOperation::ConstantIndex { .. } => {
                self.indexed(operation)
            }
            RawOperation::EntryValue { expression } => {
                self.entry_value(gimli::Expression(expression))
            }
            RawOperation::Convert { base_type } | RawOperation::Reinterpret { base_type } => {
                self.cast(base_type)
            }
            RawOperation::TypedLiteral { base_type, value } => {
                let bytes = value.slice();
                let number = number_from(bytes).ok_or("it is calculated with large numbers")?;
                self.part.expression.0.push(Operation::Constant(number));
                self.cast(base_type)
            }
            other => self.complete(other),
        }
    }

    /// Operations that are the same here.
    fn simple(&self, operation: &RawOperation<'a>) -> Worked<Option<Operation>> {
        use BinaryOperation as B;
        let binary = match operation {
            RawOperation::Plus => B::Add,
            RawOperation::Minus => B::Subtract,
            RawOperation::Mul => B::Multiply,
            RawOperation::And => B::And,
            RawOperation::Or => B::Or,
            RawOperation::Xor => B::Xor,
            RawOperation::Shl => B::ShiftLeft,
            other => {
                let Some(exact) = exact(other) else {
                    return Ok(plain(other));
                };
                if self.part.is_typed {
                    // Sums of narrow numbers keep bits that these would see.
                    return Err("it is calculated with narrow numbers".to_string());
                }
                exact
            }
        };
        Ok(Some(Operation::Binary(binary)))
    }

    fn indexed(&mut self, operation: RawOperation<'a>) -> Worked<()> {
        let (index, is_address) = match operation {
            RawOperation::AddressIndex { index } => (index, true),
            RawOperation::ConstantIndex { index } => (index, false),
            _ => return Ok(()),
        };
        let unit = self.unit.ok_or("it refers to no unit")?;
        let found = unit.dwarf.address(&unit.unit, index);
        let found = found.map_err(|error| error.to_string())?;
        self.part.expression.0.push(match is_address {
            true => Operation::Static(Address(found)),
            false => Operation::Constant(found as i64),
        });
        Ok(())
    }

    /// At the first instruction registers still are what they were on entry.
    fn entry_value(&mut self, code: Code<'a>) -> Worked<()> {
        if self.site.pc != self.site.entry {
            return Err("it is known only at the function's entry".to_string());
        }
        if self.depth >= MAX_DEPTH {
            return Err("its description is nested too deep".to_string());
        }
        let inner = Translation {
            depth: self.depth + 1,
            part: Part::default(),
            pieces: Vec::new(),
            ..*self
        };
        self.push_all(number_of(inner.finish(code))?)
    }

    fn push_all(&mut self, expression: Expression) -> Worked<()> {
        let spent = self.site.question.budget.spend(expression.0.len());
        spent.map_err(|error| error.to_string())?;
        self.part.expression.0.extend(expression.0);
        Ok(())
    }

    /// Cuts the topmost number to a base type, and extends it again.
    fn cast(&mut self, base_type: UnitOffset) -> Worked<()> {
        if base_type.0 == 0 {
            return Ok(());
        }
        let unit = self.unit.ok_or("it refers to no unit")?;
        let (size, is_signed) = integer(unit, base_type)?;
        self.part.is_typed = true;
        let bits = match size {
            8 => return Ok(()),
            1..8 => size * 8,
            _ => return Err("it is calculated with large numbers".to_string()),
        };
        let expression = &mut self.part.expression.0;
        if is_signed {
            for shift in [
                BinaryOperation::ShiftLeft,
                BinaryOperation::ShiftRightSigned,
            ] {
                expression.push(Operation::Constant(64 - bits as i64));
                expression.push(Operation::Binary(shift));
            }
        } else {
            expression.push(Operation::Constant((1 << bits) - 1));
            expression.push(Operation::Binary(BinaryOperation::And));
        }
        Ok(())
    }

    /// Operations that end a description, and those that cannot be done.
    fn complete(&mut self, operation: RawOperation<'a>) -> Worked<()> {
        let location = match operation {
            RawOperation::Deref {
                base_type,
                size: size @ 1..=8,
                space: false,
            } => {
                self.part.expression.0.push(Operation::Deref { size });
                return self.cast(base_type);
            }
            RawOperation::Register { register } => {
                general(register.0)?;
                Location::Register(register.0)
            }
            RawOperation::StackValue => {
                sound(std::mem::take(&mut self.part.expression), Location::Value)
            }
            RawOperation::ImplicitValue { data } if data.len() <= MAX_CONSTANT => {
                Location::Constant(data.slice().to_vec())
            }
            other => return Err(impossible(&other).to_string()),
        };
        self.part.complete = Some(location);
        Ok(())
    }
}

/// Size of an integer type, and whether it has a sign.
fn integer(unit: &OpenUnit<'_>, base_type: UnitOffset) -> Worked<(u64, bool)> {
    let entry = unit.unit.entry(base_type);
    let entry = entry.map_err(|error| error.to_string())?;
    let size = entry
        .attr_value(gimli::DW_AT_byte_size)
        .and_then(|value| value.udata_value());
    let Some(gimli::AttributeValue::Encoding(encoding)) = entry.attr_value(gimli::DW_AT_encoding)
    else {
        return Err("it is calculated with numbers of no type".to_string());
    };
    let is_signed = match encoding {
        gimli::DW_ATE_signed | gimli::DW_ATE_signed_char => true,
        gimli::DW_ATE_unsigned
        | gimli::DW_ATE_unsigned_char
        | gimli::DW_ATE_boolean
        | gimli::DW_ATE_UTF
        | gimli::DW_ATE_address => false,
        _ => return Err("it is calculated with other numbers than integers".to_string()),
    };
    Ok((size.unwrap_or(0), is_signed))
}

/// Operations for which all bits of their operands count.
fn exact(operation: &RawOperation<'_>) -> Option<BinaryOperation> {
    Some(match operation {
        RawOperation::Div => BinaryOperation::Divide,
        RawOperation::Mod => BinaryOperation::Modulo,
        RawOperation::Shr => BinaryOperation::ShiftRight,
        RawOperation::Shra => BinaryOperation::ShiftRightSigned,
        RawOperation::Eq => BinaryOperation::Equal,
        RawOperation::Ne => BinaryOperation::NotEqual,
        RawOperation::Lt => BinaryOperation::Less,
        RawOperation::Le => BinaryOperation::LessOrEqual,
        RawOperation::Gt => BinaryOperation::Greater,
        RawOperation::Ge => BinaryOperation::GreaterOrEqual,
        _ => return None,
    })
}

/// Operations on fewer or more than two numbers.
fn plain(operation: &RawOperation<'_>) -> Option<Operation> {
    Some(match operation {
        RawOperation::UnsignedConstant { value } => Operation::Constant(*value as i64),
        RawOperation::SignedConstant { value } => Operation::Constant(*value),
        RawOperation::Address { address } => Operation::Static(Address(*address)),
        RawOperation::Neg => Operation::Unary(UnaryOperation::Negate),
        RawOperation::Not => Operation::Unary(UnaryOperation::Not),
        RawOperation::Abs => Operation::Unary(UnaryOperation::Absolute),
        RawOperation::Drop => Operation::Drop,
        RawOperation::Swap => Operation::Swap,
        RawOperation::Rot => Operation::Rotate,
        RawOperation::Pick { index: 0 } => Operation::Duplicate,
        RawOperation::Pick { index: 1 } => Operation::Over,
        RawOperation::Pick { index } => Operation::Pick(*index),
        _ => return None,
    })
}

/// Why an operation cannot be done.
fn impossible(operation: &RawOperation<'_>) -> &'static str {
    match operation {
        RawOperation::TLS => "it is local to a thread",
        RawOperation::ImplicitPointer { .. } => "it points to a value that was optimised out",
        RawOperation::Bra { .. } | RawOperation::Skip { .. } => "its place depends on a condition",
        RawOperation::ParameterRef { .. } => "only the caller knows it",
        RawOperation::Deref { .. } => "it is in another address space",
        RawOperation::ImplicitValue { .. } => "it is too large",
        _ => "its description has an operation that is not supported",
    }
}

fn sound(expression: Expression, of: impl FnOnce(Expression) -> Location) -> Location {
    match expression.is_sound() {
        true => of(expression),
        false => Location::Unreadable("its description is malformed".to_string()),
    }
}

/// The number that a description used as a number yields.
pub(super) fn number_of(location: Location) -> Worked<Expression> {
    match location {
        Location::Register(number) => {
            Ok(Expression(vec![Operation::Register { number, offset: 0 }]))
        }
        Location::Memory(expression) | Location::Value(expression) => Ok(expression),
        Location::Unreadable(why) => Err(why),
        Location::Absent | Location::Constant(_) | Location::Pieces(_) => {
            Err("the base of its place is not known".to_string())
        }
    }
}

/// Registers that the kernel saves for tracers; the others are named in the way the processor's manual does.
pub(super) fn general(register: u16) -> Worked<()> {
    let name = match register {
        0..=MAX_REGISTER => return Ok(()),
        17..=32 => format!("XMM{}", register - 17),
        33..=40 => format!("ST{}", register - 33),
        41..=48 => format!("MM{}", register - 41),
        67..=82 => format!("XMM{}", register - 51),
        other => format!("register {other}"),
    };
    Err(format!("in {name}: not readable"))
}

/// A number of at most eight bytes.
fn number_from(bytes: &[u8]) -> Option<i64> {
    let mut whole = [0; 8];
    whole.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(i64::from_le_bytes(whole))
}
