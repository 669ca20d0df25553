//! `debugf`: text for the kernel's trace pipe, for those who write scripts.

use fathom_bpf::helper::Helper;
use fathom_syntax::diagnostic::Diagnostic;

use super::{Builtin, Use};
use crate::check::{Call, Checker};
use crate::hir::{Data, Expr, ExprKind};
use crate::ir::Value;
use crate::lower::{Lowerer, Place, Rvalue};
use crate::ty::Type;

/// What `bpf_trace_printk` takes besides the format.
const ARGUMENTS_MAX: usize = 3;

pub const TABLE: &[Builtin] = &[Builtin {
    name: "debugf",
    check: check_debugf,
    lower: lower_debugf,
}];

fn check_debugf(checker: &mut Checker<'_, '_>, call: &Call<'_>) -> Expr {
    let mut checked = super::output::check_format(checker, call);
    let ExprKind::Builtin { args, data, .. } = &mut checked.kind else {
        return checked;
    };
    let Data::Text(format) = &*data else {
        return checked;
    };
    let (kernel_format, conversions) = kernel_format(format);
    let is_fit = |(conversion, arg): (char, &Expr)| match arg.ty {
        Type::String { .. } => conversion == 's',
        Type::Int { .. } | Type::Bool | Type::Enum(_) | Type::Pointer { .. } => {
            "diuxXcp".contains(conversion)
        }
        Type::Unknown | Type::Error => true,
        _ => false,
    };
    if !conversions.chars().zip(args.iter()).all(is_fit) {
        return checker.fail(
            Diagnostic::error(
                "bad-format",
                call.span,
                "the kernel's own printing knows numbers as %d, %i, %u, %x, %X, %c and %p, and strings as %s",
            )
            .help("use `printf`, which prints any value"),
        );
    }
    if args.len() > ARGUMENTS_MAX {
        return checker.fail(
            Diagnostic::error(
                "argument-count",
                call.span,
                format!("`debugf` prints at most {ARGUMENTS_MAX} values"),
            )
            .help("use `printf`, or two calls"),
        );
    }
    *data = Data::Text(kernel_format.into());
    checker.report(
        Diagnostic::warning(
            "debugf",
            call.span,
            "`debugf` writes to the kernel's trace pipe, which all of the machine shares",
        )
        .help("use `printf` in scripts that stay"),
    );
    checked
}

/// The format with numbers of 64 bits, which all are here, and the letters of its conversions.
fn kernel_format(format: &str) -> (String, String) {
    let (mut text, mut conversions) = (String::new(), String::new());
    let mut letters = format.chars().peekable();
    while let Some(letter) = letters.next() {
        text.push(letter);
        if letter != '%' {
            continue;
        }
        while let Some(part) = letters.next_if(|part| "-+ #0123456789.".contains(*part)) {
            text.push(part);
        }
        while letters.next_if(|part| "hlLjzt".contains(*part)).is_some() {}
        let Some(conversion) = letters.next() else {
            break;
        };
        if "diuxX".contains(conversion) {
            text.push_str("ll");
        }
        text.push(conversion);
        if conversion != '%' {
            conversions.push(conversion);
        }
    }
    (text, conversions)
}

fn lower_debugf(lowerer: &mut Lowerer<'_, '_>, used: &Use<'_>, _to: Option<Place>) -> Rvalue {
    let Data::Text(format) = used.data else {
        return Rvalue::Nothing;
    };
    let values: Vec<Value> = used.args.iter().map(|arg| value(lowerer, arg)).collect();
    let mut bytes = format.as_bytes().to_vec();
    bytes.push(0);
    let place = lowerer.temporary(bytes.len() as u32, "format of debugf");
    lowerer.store_bytes(&bytes, place);
    let size = lowerer.b.constant(bytes.len() as i64);
    let mut arguments = vec![lowerer.address(place), size];
    arguments.extend(values);
    lowerer.b.call_effect(Helper::TRACE_PRINTK, &arguments);
    Rvalue::Nothing
}

/// A number, or the address of a text.
fn value(lowerer: &mut Lowerer<'_, '_>, arg: &Expr) -> Value {
    let Type::String { size } = arg.ty else {
        return lowerer.scalar(arg);
    };
    let place = lowerer.temporary(size, "argument of debugf");
    lowerer.store(arg, place, &arg.ty);
    lowerer.address(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_64_bits_in_the_kernels_format() {
        let cases = [
            ("%d %5u%%\n", "%lld %5llu%%\n", "du"),
            ("%-8s|%#lx %hhd", "%-8s|%#llx %lld", "sxd"),
            ("%rx", "%rx", "r"),
        ];
        for (format, text, conversions) in cases {
            let wanted = (text.to_owned(), conversions.to_owned());
            assert_eq!(kernel_format(format), wanted, "{format}");
        }
    }
}
