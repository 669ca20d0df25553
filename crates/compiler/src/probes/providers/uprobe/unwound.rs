//! Returns of functions that exceptions, panics or cancellation may leave.
//!
//! The kernel's return probe puts its own address in the place of the caller's. Whoever unwinds the stack finds no caller
//! there, and ends the program. So where stacks are unwound, returns are waited for at the return instructions.

use fathom_machine::FileOffset;
use fathom_machine::dwarf::{Expression, Operation};
use fathom_machine::elf::{Function, Unprobeable};
use fathom_syntax::Diagnostic;

use super::Target;
use super::site::RETURN_ADDRESS;
use crate::probes::Context;
use crate::probes::expand::{Expander, Part};

/// DWARF's number of the stack pointer.
const STACK_POINTER: u16 = 7;
/// Says what is to be done where an exception passes; only programs that catch or clean up have it.
const HANDLERS: &str = ".gcc_except_table";

/// Whether returns of the function are to be waited for at its return instructions.
pub(super) fn is_unwound(
    expander: &Expander<'_>,
    target: &Target<'_>,
    function: &Function<'_>,
) -> bool {
    expander.options.spares_unwinding
        && target.on_return
        && target.elf.has_section(HANDLERS)
        && super::go::convention(target.elf, function).is_none()
}

/// The return instructions; `Err` says why one of them cannot be probed.
pub(super) fn sites(
    target: &Target<'_>,
    function: &Function<'_>,
) -> Result<Vec<FileOffset>, Unprobeable> {
    let inside = target.elf.return_sites(function);
    let offsets = inside
        .iter()
        .map(|inside| FileOffset(function.offset.0 + inside));
    let offsets: Vec<FileOffset> = offsets.collect();
    match offsets
        .iter()
        .find_map(|at| target.elf.probe_site(*at).err())
    {
        Some(why) => Err(why),
        None => Ok(offsets),
    }
}

/// At a return instruction the return address is still on the stack.
pub(super) fn at_instruction(context: &mut Context) {
    context.call_frame = Some(RETURN_ADDRESS);
    context.frame = Some(Expression(vec![Operation::Register {
        number: STACK_POINTER,
        offset: i64::from(RETURN_ADDRESS),
    }]));
}

/// A function that ends by a jump to another does not return by itself.
pub(super) fn warn_of_jumps(
    expander: &mut Expander<'_>,
    target: &Target<'_>,
    part: &Part,
    function: &Function<'_>,
) {
    if target.elf.ends_by_jump(function) {
        let message = format!(
            "`{}` ends by a jump to another function: it is shown without what it returns then",
            function.name()
        );
        expander.warn(Diagnostic::warning("tail-calls", part.span, message));
    }
}
