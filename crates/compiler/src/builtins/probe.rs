//! The probe at hand: `probe`, `probetype`, `func`, `args`, `ctx`, `retval`, `reg("ip")`, `cpid`, `has_cpid`.

use fathom_bpf::helper::Helper;
use fathom_bpf::object::{BtfTarget, Place as Site, ProgramKind};
use fathom_syntax::diagnostic::Diagnostic;

use super::{Builtin, Use};
use crate::check::{Call, Checker, span};
use crate::hir::{Data, Expr, ExprKind};
use crate::ir::{BinaryOp, Memory, Value, Width};
use crate::lower::{Lowerer, Place, Rvalue};
use crate::probes::{self, ArgSource, Argument, Group, context::ContextKind};
use crate::ty::{Space, Type};

pub const TABLE: &[Builtin] = &[
    Builtin {
        name: "probe",
        check: |c, call| {
            c.require_args(call, 0..=0);
            call.expr(Type::Probe, Vec::new())
        },
        lower: |l, _, _| Rvalue::Scalar(l.attach_point()),
    },
    Builtin {
        name: "probetype",
        check: |c, call| {
            c.require_args(call, 0..=0);
            let provider = c.group.context.provider;
            c.string(provider.as_bytes(), call.at())
        },
        lower: nothing,
    },
    Builtin {
        name: "func",
        check: check_func,
        lower: lower_func,
    },
    Builtin {
        name: "args",
        check: check_args,
        lower: nothing,
    },
    Builtin {
        name: "ctx",
        check: check_ctx,
        lower: |l, _, _| Rvalue::Scalar(l.context()),
    },
    Builtin {
        name: "retval",
        check: check_retval,
        lower: nothing,
    },
    Builtin {
        name: "reg",
        check: check_reg,
        lower: lower_reg,
    },
    Builtin {
        name: "cpid",
        check: check_cpid,
        lower: nothing,
    },
    Builtin {
        name: "has_cpid",
        check: |c, call| {
            c.require_args(call, 0..=0);
            Expr {
                kind: ExprKind::Bool(c.child_pid.is_some()),
                ty: Type::Bool,
                span: call.at(),
            }
        },
        lower: nothing,
    },
];

/// For builtins whose check leaves something else in their place.
fn nothing(_lowerer: &mut Lowerer<'_, '_>, _used: &Use<'_>, _to: Option<Place>) -> Rvalue {
    Rvalue::Nothing
}

/// `func`: the traced function's symbol.
fn check_func(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    checker.require_args(call, 0..=0);
    let ty = if checker.group.context.is_user {
        Type::UserSymbol
    } else {
        Type::KernelSymbol
    };
    let known = matches!(
        checker.group.context.kind,
        ContextKind::Registers | ContextKind::Words
    );
    if !known {
        let provider = checker.group.context.provider;
        return checker.fail(Diagnostic::error(
            "no-function",
            call.span,
            format!("a {provider} probe has no function"),
        ));
    }
    let is_user = checker.group.context.is_user;
    if is_user && is_trampoline(checker.group) && !checker.features.user_function_address {
        return checker.fail(
            Diagnostic::error(
                "kernel-feature",
                call.span,
                "`func` where a user function returns needs Linux 6.6",
            )
            .help("use `probe`, which names the function too"),
        );
    }
    match function_of_group(checker) {
        Some(address) => call.expr_with(ty, Vec::new(), Data::Int(address as i64)),
        None => call.expr(ty, Vec::new()),
    }
}

/// Where the kernel has no helper that tells: the address of the only function that the program is attached to.
fn function_of_group(checker: &Checker<'_, '_>) -> Option<u64> {
    let group = checker.group;
    if group.context.is_user || checker.features.function_address {
        return None;
    }
    let name = match (&group.kind, &group.points.first()?.place) {
        (_, Site::Kprobe { function, .. }) if function.address.is_some() => {
            return function.address;
        }
        (_, Site::Kprobe { function, .. }) => &function.name,
        (
            ProgramKind::Fentry(BtfTarget::Kernel { name, .. })
            | ProgramKind::Fexit(BtfTarget::Kernel { name, .. }),
            _,
        ) => name,
        _ => return None,
    };
    checker.kernel_address(name).ok()
}

fn lower_func(lowerer: &mut Lowerer<'_, '_>, used: &Use<'_>, to: Option<Place>) -> Rvalue {
    if let Data::Int(address) = used.data {
        return Rvalue::Scalar(lowerer.b.constant(*address));
    }
    let context = lowerer.context();
    let ip = probes::register_offset("ip").unwrap_or_default() as i32;
    let load_ip = |l: &mut Lowerer<'_, '_>| l.b.load(Width::B8, Memory::Context, context, ip);
    if lowerer.group.context.is_user {
        let address = match is_trampoline(lowerer.group) {
            false => start_of_function(lowerer, ip),
            true => lowerer.b.call(Helper::GET_FUNC_IP, &[context]),
        };
        return super::symbols::store_user_symbol(lowerer, address, to);
    }
    if is_inside_function(lowerer) {
        // The helper gives 0 there; the register is behind the breakpoint.
        let address = load_ip(lowerer);
        return Rvalue::Scalar(lowerer.b.binary(BinaryOp::Sub, address, 1));
    }
    Rvalue::Scalar(lowerer.b.call(Helper::GET_FUNC_IP, &[context]))
}

/// The function's address. Go's functions are probed inside; their places are to count as one function.
fn start_of_function(lowerer: &mut Lowerer<'_, '_>, ip: i32) -> Value {
    let context = lowerer.context();
    let address = lowerer.b.load(Width::B8, Memory::Context, context, ip);
    if !lowerer.group.context.is_go {
        return address;
    }
    match lowerer.inside_function() {
        Some(inside) => lowerer.b.binary(BinaryOp::Sub, address, inside),
        None => address,
    }
}

/// Whether the kernel runs the program where a user function returned to, outside of the function.
fn is_trampoline(group: &Group) -> bool {
    let is_behind = |place: &Site| {
        matches!(
            place,
            Site::Uprobe {
                on_return: true,
                ..
            } | Site::UprobeMulti {
                on_return: true,
                ..
            }
        )
    };
    group.points.iter().any(|point| is_behind(&point.place))
}

/// A kprobe with an offset.
fn is_inside_function(lowerer: &Lowerer<'_, '_>) -> bool {
    let is_inside = |place: &Site| matches!(place, Site::Kprobe { offset, .. } if *offset != 0);
    lowerer
        .group
        .points
        .iter()
        .any(|point| is_inside(&point.place))
}

/// `args` as a whole: a record of all arguments.
fn check_args(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    let Some(args) = checker.group.context.args.clone() else {
        return checker.no_args(call.span);
    };
    let at = span(call.span);
    let mut types = Vec::new();
    let mut values = Vec::new();
    let readable = |argument: &Argument| !matches!(argument.source, ArgSource::Unreadable(_));
    for argument in args.into_iter().filter(readable) {
        types.push((argument.name.clone(), argument.ty.clone()));
        let ty = argument.ty.clone();
        values.push(Expr {
            kind: ExprKind::Argument(Box::new(argument)),
            ty,
            span: at,
        });
    }
    Expr {
        kind: ExprKind::Record(values),
        ty: Type::Record(std::sync::Arc::new(types)),
        span: at,
    }
}

fn check_ctx(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    checker.require_args(call, 0..=0);
    if checker.group.context.kind == ContextKind::Iter {
        return check_args(checker, call);
    }
    call.expr(
        Type::pointer(Type::Opaque("void".into()), Space::Kernel),
        Vec::new(),
    )
}

fn check_retval(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    checker.require_args(call, 0..=0);
    match checker.group.context.retval.clone() {
        Some(retval) => checker.value_of_argument(&retval, call.span),
        None => {
            let provider = checker.group.context.provider;
            checker.fail(
                Diagnostic::error(
                    "no-retval",
                    call.span,
                    format!("a {provider} probe has no `retval`"),
                )
                .help("results are seen by uretprobe, kretprobe and fexit probes"),
            )
        }
    }
}

fn check_reg(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    if !checker.require_args(call, 1..=1) {
        return Expr::error(call.at());
    }
    let Some(name) = checker.constant_text(&call.args[0], "the register's name") else {
        return Expr::error(call.at());
    };
    if checker.group.context.kind != ContextKind::Registers {
        let provider = checker.group.context.provider;
        return checker.fail(Diagnostic::error(
            "no-registers",
            call.span,
            format!("a {provider} probe has no registers"),
        ));
    }
    let Some(offset) = probes::register_offset(&name) else {
        return checker.fail(
            Diagnostic::error("unknown-register", call.args[0].span, format!("there is no register `{name}`"))
                .help("x86-64 has r8 to r15, ax, bx, cx, dx, si, di, bp, sp, ip, cs, ss, flags and orig_rax"),
        );
    };
    call.expr_with(Type::U64, Vec::new(), Data::Int(i64::from(offset)))
}

fn lower_reg(lowerer: &mut Lowerer<'_, '_>, used: &Use<'_>, _to: Option<Place>) -> Rvalue {
    let Data::Int(offset) = used.data else {
        return Rvalue::Nothing;
    };
    let context = lowerer.context();
    let value = lowerer
        .b
        .load(Width::B8, Memory::Context, context, *offset as i32);
    Rvalue::Scalar(lowerer.b.binary(BinaryOp::Add, value, 0))
}

fn check_cpid(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    checker.require_args(call, 0..=0);
    match checker.child_pid {
        Some(pid) => Expr::int(i64::from(pid), Type::U32, call.at()),
        None => checker.fail(
            Diagnostic::error("no-child", call.span, "there is no child process")
                .help("run the script with `-c CMD`"),
        ),
    }
}
