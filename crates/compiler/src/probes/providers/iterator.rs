//! `iter`: walks over the kernel's tasks, files, maps and other lists.

use std::sync::Arc;

use fathom_bpf::object::{BtfTarget, Place, ProgramKind};
use fathom_machine::btf::{BpfIterator, Btf};

use fathom_machine::Error;

use super::trampoline::machine_problem;
use crate::probes::context::ContextKind;
use crate::probes::expand::{Expander, Failure, Found, Request};
use crate::probes::{ArgSource, Argument};
use crate::ty::{Space, Type};
use crate::types::{Types, in_space};

pub(in crate::probes) fn expand(
    expander: &mut Expander<'_>,
    request: &Request<'_>,
) -> Result<Vec<Found>, Failure> {
    let (name, pin) = match request.parts {
        [name] => (name, None),
        [name, pin] if !pin.text.is_empty() => (name, Some(pin.text.clone())),
        _ => return Err(request.misshapen()),
    };
    let (module, btf) = find(expander, &name.text).map_err(|error| {
        if !matches!(error, Error::NoBtf { .. }) {
            return Failure::missing(machine_problem(request, name, "no-iterator", &error));
        }
        let problem = request.missing("no-btf", request.span, "`iter` needs this kernel's BTF");
        Failure::missing(
            problem
                .label("which iterators there are is not known")
                .note(error.to_string()),
        )
    })?;
    let iterator = btf
        .iterator(&name.text)
        .map_err(|error| Failure::missing(machine_problem(request, name, "no-iterator", &error)))?;
    let mut context = request.context(ContextKind::Iter);
    context.args = Some(fields(expander.types, &btf, &iterator));
    let target = BtfTarget::Kernel {
        name: name.text.clone(),
        module,
        btf_id: iterator.function.0,
    };
    Ok(vec![request.found(
        request.text(),
        ProgramKind::Iter(target),
        context,
        Place::Iter { pin },
    )])
}

/// The kernel's BTF, or that of the module that has the iterator.
fn find(expander: &Expander<'_>, name: &str) -> Result<(Option<String>, Arc<Btf>), Error> {
    let kernel = expander.machine.btf()?;
    let Err(error) = kernel.iterator(name) else {
        return Ok((None, kernel.clone()));
    };
    for module in expander.machine.btf_modules()? {
        let Ok(btf) = expander.machine.module_btf(&module) else {
            continue;
        };
        if btf.iterator(name).is_ok() {
            return Ok((Some(module), btf));
        }
    }
    Err(error)
}

/// Members of the context struct, which the kernel wraps into unions to make pointers 8 bytes on every machine.
pub(in crate::probes) fn fields(
    types: &Types<'_>,
    btf: &Arc<Btf>,
    iterator: &BpfIterator<'_>,
) -> Vec<Argument> {
    let Type::Struct(of) = types.kernel_type(btf, iterator.context, Space::Context) else {
        return Vec::new();
    };
    let field = |name: String| {
        let (offset, _, ty) = types.member(of, &name)?;
        let size = types.size_of(&ty);
        Some(Argument {
            name,
            ty: in_space(ty, Space::Kernel),
            source: ArgSource::Context { offset, size },
        })
    };
    types
        .member_names(of)
        .into_iter()
        .filter_map(field)
        .collect()
}
