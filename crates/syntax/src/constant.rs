//! Values of constant expressions in C definitions: array lengths, enum constants, `#if`.

use crate::ast::{BinaryOp, Expr, ExprKind, TypeExpr, TypeKind, UnaryOp};

/// The value of `expr`, if it is constant; `lookup` gives the values of names. The arithmetic is wider than any C type,
/// so nothing wraps; what does not fit even so is no constant.
pub fn const_value(expr: &Expr, lookup: &mut dyn FnMut(&str) -> Option<i128>) -> Option<i128> {
    match &expr.kind {
        ExprKind::Int(literal) => Some(i128::from(literal.value)),
        ExprKind::Bool(value) => Some(i128::from(*value)),
        ExprKind::Ident(name) => lookup(name),
        ExprKind::Unary { op, operand } => unary(*op, const_value(operand, lookup)?),
        ExprKind::Binary {
            op: BinaryOp::And,
            left,
            right,
            ..
        } => Some(i128::from(
            const_value(left, lookup)? != 0 && const_value(right, lookup)? != 0,
        )),
        ExprKind::Binary {
            op: BinaryOp::Or,
            left,
            right,
            ..
        } => Some(i128::from(
            const_value(left, lookup)? != 0 || const_value(right, lookup)? != 0,
        )),
        ExprKind::Binary {
            op, left, right, ..
        } => binary(*op, const_value(left, lookup)?, const_value(right, lookup)?),
        ExprKind::Ternary {
            condition,
            then,
            otherwise,
        } => {
            let chosen = const_value(condition, lookup)?;
            match then {
                _ if chosen == 0 => const_value(otherwise, lookup),
                Some(then) => const_value(then, lookup),
                None => Some(chosen),
            }
        }
        ExprKind::Cast { ty, operand } => cast(ty, const_value(operand, lookup)?),
        ExprKind::Call { callee, args } if callee.text == "KERNEL_VERSION" => {
            let mut version = 0;
            for arg in args {
                version = (version << 8) | const_value(arg, lookup)?.clamp(0, 255);
            }
            (args.len() == 3).then_some(version)
        }
        _ => None,
    }
}

fn unary(op: UnaryOp, value: i128) -> Option<i128> {
    Some(match op {
        UnaryOp::Negate => value.checked_neg()?,
        UnaryOp::Not => i128::from(value == 0),
        UnaryOp::Complement => !value,
        UnaryOp::Dereference | UnaryOp::AddressOf => return None,
    })
}

fn binary(op: BinaryOp, left: i128, right: i128) -> Option<i128> {
    let shift = || u32::try_from(right).ok().filter(|&by| by < 64);
    Some(match op {
        BinaryOp::Multiply => left.checked_mul(right)?,
        BinaryOp::Divide => left.checked_div(right)?,
        BinaryOp::Remainder => left.checked_rem(right)?,
        BinaryOp::Add => left.checked_add(right)?,
        BinaryOp::Subtract => left.checked_sub(right)?,
        BinaryOp::ShiftLeft => left.checked_mul(1i128 << shift()?)?,
        BinaryOp::ShiftRight => left >> shift()?,
        BinaryOp::Less => i128::from(left < right),
        BinaryOp::LessEqual => i128::from(left <= right),
        BinaryOp::Greater => i128::from(left > right),
        BinaryOp::GreaterEqual => i128::from(left >= right),
        BinaryOp::Equal => i128::from(left == right),
        BinaryOp::NotEqual => i128::from(left != right),
        BinaryOp::BitAnd => left & right,
        BinaryOp::BitXor => left ^ right,
        BinaryOp::BitOr => left | right,
        BinaryOp::And => i128::from(left != 0 && right != 0),
        BinaryOp::Or => i128::from(left != 0 || right != 0),
    })
}

/// Cuts to the width of the base types whose width is the same on every machine we trace; other casts are no constants.
fn cast(ty: &TypeExpr, value: i128) -> Option<i128> {
    let TypeKind::Named(name) = &ty.kind else {
        return None;
    };
    Some(match name.as_str() {
        "char" | "signed char" | "int8" | "int8_t" => i128::from(value as i8),
        "unsigned char" | "uint8" | "uint8_t" => i128::from(value as u8),
        "short" | "short int" | "int16" | "int16_t" => i128::from(value as i16),
        "unsigned short" | "uint16" | "uint16_t" => i128::from(value as u16),
        "int" | "signed int" | "int32" | "int32_t" => i128::from(value as i32),
        "unsigned" | "unsigned int" | "uint32" | "uint32_t" => i128::from(value as u32),
        "long" | "long int" | "long long" | "int64" | "int64_t" | "ssize_t" => {
            i128::from(value as i64)
        }
        "unsigned long" | "unsigned long int" | "unsigned long long" | "uint64" | "uint64_t"
        | "size_t" => i128::from(value as u64),
        _ => return None,
    })
}
