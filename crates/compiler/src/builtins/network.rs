//! Network values: `ntop`, `pton`, `macaddr`, `bswap`.

use std::net::IpAddr;

use fathom_syntax::ast::ExprKind as AstKind;
use fathom_syntax::diagnostic::Diagnostic;

use super::{Builtin, Use};
use crate::check::{Call, Checker, smallest_int};
use crate::hir::{Data, Expr, ExprKind};
use crate::ir::{Op, Width};
use crate::lower::{Lowerer, Place, Rvalue};
use crate::ty::{Space, Type};

const AF_INET: i64 = 2;
const AF_INET6: i64 = 10;
/// `u64 family`, then 16 bytes of address.
const INET_SIZE: u32 = 24;

pub const TABLE: &[Builtin] = &[
    Builtin {
        name: "ntop",
        check: check_ntop,
        lower: lower_ntop,
    },
    Builtin {
        name: "pton",
        check: check_pton,
        lower: lower_pton,
    },
    Builtin {
        name: "macaddr",
        check: check_macaddr,
        lower: lower_macaddr,
    },
    Builtin {
        name: "bswap",
        check: check_bswap,
        lower: lower_bswap,
    },
];

/// `ntop([family,] address)`: an integer is IPv4, an array's length tells which it is.
fn check_ntop(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    if !checker.require_args(call, 1..=2) {
        return Expr::error(call.at());
    }
    let family = (call.args.len() == 2).then(|| checker.integer(&call.args[0]));
    let address = &call.args[call.args.len() - 1];
    let value = checker.expr(address);
    let size = match &value.ty {
        Type::Unknown | Type::Error => 4,
        Type::Int { .. } => 4,
        Type::Pointer { .. } if family.is_some() => 16,
        ty @ (Type::Array { .. } | Type::Struct(_)) => checker.types.size_of(ty),
        Type::String { size } => *size,
        _ => 0,
    };
    if size != 4 && size != 16 {
        let shown = checker.show(&value.ty);
        return checker.fail(
            Diagnostic::error(
                "not-an-address",
                address.span,
                format!("{shown} is no internet address"),
            )
            .label("an integer, or 4 or 16 bytes, is wanted"),
        );
    }
    let family = family.unwrap_or_else(|| {
        Expr::int(
            if size == 16 { AF_INET6 } else { AF_INET },
            Type::I64,
            call.at(),
        )
    });
    call.expr(Type::Inet, vec![family, value])
}

fn lower_ntop(lowerer: &mut Lowerer<'_, '_>, used: &Use<'_>, to: Option<Place>) -> Rvalue {
    let (family, address) = (&used.args[0], &used.args[1]);
    let place = to.unwrap_or_else(|| lowerer.temporary(INET_SIZE, "an internet address"));
    lowerer.zero(place, INET_SIZE);
    let known = family.as_int();
    let family = lowerer.scalar(family);
    lowerer
        .b
        .store(Width::B8, place.memory, place.base, place.offset, family);
    let value = lowerer.rvalue(address);
    let size = match &address.ty {
        Type::Int { .. } => 4,
        Type::Pointer { .. } => 16,
        ty => lowerer.size_of(ty).min(16),
    };
    let size = if known == Some(AF_INET) {
        size.min(4)
    } else {
        size
    };
    match (&address.ty, value) {
        (Type::Int { .. }, value) => {
            let word = lowerer.word(value, &address.ty);
            lowerer
                .b
                .store(Width::B4, place.memory, place.base, place.offset + 8, word);
        }
        (Type::Pointer { space, .. }, value) => {
            let pointer = lowerer.word(value, &address.ty);
            lowerer.read_remote(place.plus(8), size, pointer, *space);
        }
        (_, Rvalue::Remote { address, space }) => {
            lowerer.read_remote(place.plus(8), size, address, space)
        }
        (_, Rvalue::Bytes(from)) => lowerer.copy(place.plus(8), from, size, 1),
        _ => {}
    }
    Rvalue::Bytes(place)
}

/// `pton("::1")`: bytes known while compiling.
fn check_pton(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    if !checker.require_args(call, 1..=1) {
        return Expr::error(call.at());
    }
    let Some(text) = checker.constant_text(&call.args[0], "the address") else {
        return Expr::error(call.at());
    };
    let bytes: Vec<u8> = match text.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => address.octets().to_vec(),
        Ok(IpAddr::V6(address)) => address.octets().to_vec(),
        Err(_) => {
            return checker.fail(Diagnostic::error(
                "not-an-address",
                call.args[0].span,
                format!("`{text}` is no IPv4 or IPv6 address"),
            ));
        }
    };
    let ty = Type::Array {
        element: std::sync::Arc::new(Type::U8),
        len: bytes.len() as u32,
    };
    let constant = Expr {
        kind: ExprKind::Str(bytes.as_slice().into()),
        ty: Type::String {
            size: bytes.len() as u32,
        },
        span: call.at(),
    };
    call.expr_with(ty, vec![constant], Data::None)
}

fn lower_pton(lowerer: &mut Lowerer<'_, '_>, used: &Use<'_>, to: Option<Place>) -> Rvalue {
    let bytes = used.args[0].as_text().unwrap_or_default().to_vec();
    let place = to.unwrap_or_else(|| lowerer.temporary(16, "an address"));
    lowerer.store_bytes(&bytes, place);
    Rvalue::Bytes(place)
}

fn check_macaddr(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    if !checker.require_args(call, 1..=1) {
        return Expr::error(call.at());
    }
    let value = checker.expr(&call.args[0]);
    call.expr(Type::Mac, vec![value])
}

fn lower_macaddr(lowerer: &mut Lowerer<'_, '_>, used: &Use<'_>, to: Option<Place>) -> Rvalue {
    let source = &used.args[0];
    let place = to.unwrap_or_else(|| lowerer.temporary(8, "a MAC address"));
    let value = lowerer.rvalue(source);
    match (&source.ty, value) {
        (_, Rvalue::Remote { address, space }) => lowerer.read_remote(place, 6, address, space),
        (_, Rvalue::Bytes(from)) => lowerer.copy(place, from, 6, 1),
        (Type::Pointer { space, .. }, value) => {
            let pointer = lowerer.word(value, &source.ty);
            lowerer.read_remote(place, 6, pointer, *space);
        }
        (_, value) => {
            let pointer = lowerer.word(value, &source.ty);
            lowerer.read_remote(place, 6, pointer, Space::Unknown);
        }
    }
    Rvalue::Bytes(place)
}

/// Swaps the bytes of an integer of its own size.
fn check_bswap(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    if !checker.require_args(call, 1..=1) {
        return Expr::error(call.at());
    }
    let value = checker.integer(&call.args[0]);
    let ty = match &value.ty {
        // A literal has the size that it needs.
        Type::Int { .. }
            if value.as_int().is_some() && !matches!(call.args[0].kind, AstKind::Cast { .. }) =>
        {
            Type::Int {
                size: value.as_int().map_or(8, smallest_int),
                signed: false,
            }
        }
        Type::Int { size, .. } => Type::Int {
            size: *size,
            signed: false,
        },
        other => other.clone(),
    };
    call.expr(ty, vec![value])
}

fn lower_bswap(lowerer: &mut Lowerer<'_, '_>, used: &Use<'_>, _to: Option<Place>) -> Rvalue {
    let value = lowerer.scalar(&used.args[0]);
    let (size, _) = lowerer.scalar_size(used.ty);
    match Width::from_bytes(size) {
        Some(Width::B1) | None => Rvalue::Scalar(value),
        Some(width) => Rvalue::Scalar(lowerer.b.emit(Op::SwapBytes { value, width })),
    }
}
