//! Addresses and their names: `ksym`, `usym`, `kaddr`, `uaddr`, `kptr`, `uptr`, `cgroupid`, `cgroup_path`.

use fathom_bpf::helper::Helper;
use fathom_syntax::diagnostic::Diagnostic;

use super::{Builtin, Use};
use crate::check::{Call, Checker};
use crate::hir::{Data, Expr, ExprKind};
use crate::ir::{BinaryOp, Value, Width};
use crate::lower::{Lowerer, Place, Rvalue};
use crate::probes::register_offset;
use crate::ty::{Space, Type};

pub const TABLE: &[Builtin] = &[
    Builtin {
        name: "ksym",
        check: |c, call| check_address(c, call, Type::KernelSymbol),
        lower: same,
    },
    Builtin {
        name: "usym",
        check: |c, call| check_address(c, call, Type::UserSymbol),
        lower: lower_usym,
    },
    Builtin {
        name: "kaddr",
        check: check_kaddr,
        lower: same,
    },
    Builtin {
        name: "uaddr",
        check: check_uaddr,
        lower: same,
    },
    Builtin {
        name: "kptr",
        check: |c, call| check_space(c, call, Space::Kernel),
        lower: same,
    },
    Builtin {
        name: "uptr",
        check: |c, call| check_space(c, call, Space::User),
        lower: same,
    },
    Builtin {
        name: "cgroupid",
        check: check_cgroupid,
        lower: same,
    },
    Builtin {
        name: "cgroup_path",
        check: check_cgroup_path,
        lower: same,
    },
];

/// The value of the only argument, read as another type.
fn same(lowerer: &mut Lowerer<'_, '_>, used: &Use<'_>, _to: Option<Place>) -> Rvalue {
    match used.args.first() {
        Some(arg) => Rvalue::Scalar(lowerer.scalar(arg)),
        None => Rvalue::Nothing,
    }
}

fn check_address(checker: &mut Checker<'_, '_>, call: &Call<'_>, ty: Type) -> Expr {
    if !checker.require_args(call, 1..=1) {
        return Expr::error(call.at());
    }
    let address = checker.expr(&call.args[0]);
    if !matches!(
        address.ty,
        Type::Int { .. } | Type::Pointer { .. } | Type::KernelSymbol | Type::Unknown | Type::Error
    ) {
        let shown = checker.show(&address.ty);
        return checker.fail(Diagnostic::error(
            "not-an-address",
            call.args[0].span,
            format!("{shown} is no address"),
        ));
    }
    call.expr(ty, vec![address])
}

fn lower_usym(lowerer: &mut Lowerer<'_, '_>, used: &Use<'_>, to: Option<Place>) -> Rvalue {
    let address = lowerer.scalar(&used.args[0]);
    store_user_symbol(lowerer, address, to)
}

/// Address and process: see [`fathom_bpf::Layout::UserSymbol`].
pub fn store_user_symbol(
    lowerer: &mut Lowerer<'_, '_>,
    address: Value,
    to: Option<Place>,
) -> Rvalue {
    super::seen::remember_process(lowerer);
    let place = to.unwrap_or_else(|| lowerer.temporary(16, "a symbol"));
    lowerer
        .b
        .store(Width::B8, place.memory, place.base, place.offset, address);
    let id = lowerer.b.call(Helper::GET_CURRENT_PID_TGID, &[]);
    let pid = lowerer.b.binary(BinaryOp::Shr, id, 32);
    lowerer
        .b
        .store(Width::B8, place.memory, place.base, place.offset + 8, pid);
    Rvalue::Bytes(place)
}

fn check_space(checker: &mut Checker<'_, '_>, call: &Call<'_>, space: Space) -> Expr {
    if !checker.require_args(call, 1..=1) {
        return Expr::error(call.at());
    }
    let pointer = checker.expr(&call.args[0]);
    let ty = match &pointer.ty {
        Type::Pointer { to, .. } => Type::Pointer {
            to: to.clone(),
            space,
        },
        Type::Int { .. } => Type::pointer(Type::U8, space),
        Type::Unknown => Type::Unknown,
        _ => {
            let shown = checker.show(&pointer.ty);
            return checker.fail(Diagnostic::error(
                "not-a-pointer",
                call.args[0].span,
                format!("{shown} is no pointer"),
            ));
        }
    };
    call.expr(ty, vec![pointer])
}

/// `kaddr("symbol")`: known while compiling.
fn check_kaddr(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    if !checker.require_args(call, 1..=1) {
        return Expr::error(call.at());
    }
    let Some(name) = checker.constant_text(&call.args[0], "the symbol's name") else {
        return Expr::error(call.at());
    };
    match checker.kernel_address(&name) {
        Ok(address) => Expr::int(address as i64, Type::U64, call.at()),
        Err(reason) => checker.fail(
            Diagnostic::error(
                "unknown-symbol",
                call.args[0].span,
                format!("the kernel has no symbol `{name}`"),
            )
            .note(reason),
        ),
    }
}

/// `uaddr("symbol")`: its address in the program that the probe is attached to.
fn check_uaddr(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    if !checker.require_args(call, 1..=1) {
        return Expr::error(call.at());
    }
    let Some(name) = checker.constant_text(&call.args[0], "the symbol's name") else {
        return Expr::error(call.at());
    };
    match checker.user_address(&name) {
        Ok(found) => {
            let ty = Type::pointer(found.ty, Space::User);
            match found.from_probe {
                None => Expr::int(found.address as i64, ty, call.at()),
                Some(distance) => behind_probe(call, distance, ty),
            }
        }
        Err(reason) => checker.fail(
            Diagnostic::error(
                "unknown-symbol",
                call.args[0].span,
                format!("where `{name}` lies is not known"),
            )
            .note(reason),
        ),
    }
}

/// An address at a distance from the probed instruction, to which the instruction pointer points.
fn behind_probe(call: &Call<'_>, distance: i64, ty: Type) -> Expr {
    let (Some(builtin), Some(offset)) = (super::find("reg"), register_offset("ip")) else {
        unreachable!("builtins: no instruction pointer");
    };
    let pointer = Expr {
        kind: ExprKind::Builtin {
            builtin,
            args: Vec::new(),
            data: Data::Int(i64::from(offset)),
        },
        ty: Type::U64,
        span: call.at(),
    };
    let sum = Expr {
        kind: ExprKind::Arithmetic {
            op: BinaryOp::Add,
            is_signed: false,
            left: Box::new(pointer),
            right: Box::new(Expr::int(distance, Type::I64, call.at())),
        },
        ty: Type::U64,
        span: call.at(),
    };
    Expr {
        kind: ExprKind::Cast(Box::new(sum)),
        ty,
        span: call.at(),
    }
}

fn check_cgroupid(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    if !checker.require_args(call, 1..=1) {
        return Expr::error(call.at());
    }
    let Some(path) = checker.constant_text(&call.args[0], "the path") else {
        return Expr::error(call.at());
    };
    match checker.cgroup_id(&path) {
        Ok(id) => Expr::int(id as i64, Type::U64, call.at()),
        Err(reason) => checker.fail(
            Diagnostic::error(
                "unknown-cgroup",
                call.args[0].span,
                format!("there is no cgroup `{path}`"),
            )
            .note(reason),
        ),
    }
}

fn check_cgroup_path(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    if !checker.require_args(call, 1..=2) {
        return Expr::error(call.at());
    }
    let id = checker.integer(&call.args[0]);
    let filter = match call.args.get(1) {
        None => Some(String::new()),
        Some(filter) => checker.constant_text(filter, "the filter"),
    };
    let Some(filter) = filter else {
        return Expr::error(call.at());
    };
    call.expr(
        Type::CgroupPath {
            filter: filter.into(),
        },
        vec![id],
    )
}
