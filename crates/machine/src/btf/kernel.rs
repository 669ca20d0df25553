//! What the kernel's BTF says by naming conventions: raw tracepoints, iterators, traceable functions.

use super::{Btf, FuncProto, Kind, Param, Type, TypeId};
use crate::{Error, Result, suggest};

/// Prefix of the typedefs that hold raw tracepoints' prototypes.
const TRACEPOINT_PREFIX: &str = "btf_trace_";
/// Prefix of the functions, and with one more underscore of the context structs, of iterators.
const ITERATOR_PREFIX: &str = "bpf_iter_";

/// A raw tracepoint with the arguments a program gets.
#[derive(Debug, Clone)]
pub struct RawTracepoint<'a> {
    /// Its name, such as `sched_switch`.
    pub name: &'a str,
    /// The `btf_trace_…` typedef, which attaching with BTF wants.
    pub typedef: TypeId,
    /// Its arguments. Their names come from functions of the same signature; where there is none they are `arg0`, `arg1` ….
    pub args: Vec<RawTracepointArg<'a>>,
}

/// One argument of a raw tracepoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawTracepointArg<'a> {
    /// The name in the kernel source; empty when BTF does not have it.
    pub name: &'a str,
    /// Its type.
    pub type_id: TypeId,
}

/// A kernel iterator that a program can be attached to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Iterator<'a> {
    /// Its name, such as `task`.
    pub name: &'a str,
    /// The `bpf_iter_…` function.
    pub function: TypeId,
    /// The `bpf_iter__…` struct that programs get as context.
    pub context: TypeId,
}

impl Btf {
    /// A raw tracepoint by name.
    pub fn raw_tracepoint(&self, name: &str) -> Result<RawTracepoint<'_>> {
        let typedef = self
            .find(Kind::Typedef, &format!("{TRACEPOINT_PREFIX}{name}"))
            .ok_or_else(|| Error::NotFound {
                kind: "raw tracepoint".to_string(),
                name: name.to_string(),
                nearest: suggest::nearest(name, self.raw_tracepoint_names()),
            })?;
        let name = self
            .name(typedef)
            .strip_prefix(TRACEPOINT_PREFIX)
            .unwrap_or_default();
        let args = match self.func_proto(typedef)? {
            Some(proto) => self.named_args(name, proto),
            None => Vec::new(),
        };
        Ok(RawTracepoint {
            name,
            typedef,
            args,
        })
    }

    /// Names of all raw tracepoints of this file (of a module: only its own).
    pub fn raw_tracepoint_names(&self) -> impl std::iter::Iterator<Item = &str> {
        self.names(Kind::Typedef)
            .filter_map(|(_, name)| name.strip_prefix(TRACEPOINT_PREFIX))
    }

    /// The prototype's own parameters after `void *__data`, with names taken from the function that calls the probes: function
    /// pointer types carry no names in BTF.
    fn named_args<'a>(&'a self, name: &str, proto: FuncProto<'a>) -> Vec<RawTracepointArg<'a>> {
        let named: Vec<Param> = ["__probestub_", "__traceiter_", "__bpf_trace_"]
            .into_iter()
            .filter_map(|prefix| self.find(Kind::Func, &format!("{prefix}{name}")))
            .filter_map(|function| self.func_proto(function).ok().flatten())
            .find(|candidate| candidate.params().len() == proto.params().len())
            .map_or_else(Vec::new, |candidate| candidate.params().collect());
        let params = proto.params().enumerate().skip(1);
        params
            .map(|(i, param)| {
                let name = if param.name.is_empty() {
                    named.get(i).map_or("", |n| n.name)
                } else {
                    param.name
                };
                RawTracepointArg {
                    name,
                    type_id: param.type_id,
                }
            })
            .collect()
    }

    /// An iterator by name.
    pub fn iterator(&self, name: &str) -> Result<Iterator<'_>> {
        let found = self
            .find(Kind::Func, &format!("{ITERATOR_PREFIX}{name}"))
            .and_then(|function| self.as_iterator(function));
        found.ok_or_else(|| Error::NotFound {
            kind: "iterator".to_string(),
            name: name.to_string(),
            nearest: suggest::nearest(name, self.iterators().map(|it| it.name)),
        })
    }

    /// All iterators of this file.
    pub fn iterators(&self) -> impl std::iter::Iterator<Item = Iterator<'_>> {
        self.names(Kind::Func)
            .filter_map(|(function, _)| self.as_iterator(function))
    }

    fn as_iterator(&self, function: TypeId) -> Option<Iterator<'_>> {
        let name = self.name(function).strip_prefix(ITERATOR_PREFIX)?;
        // Other functions share the prefix (bpf_iter_run_prog); only real iterators have a context.
        let context = self.find(Kind::Struct, &format!("{ITERATOR_PREFIX}_{name}"))?;
        Some(Iterator {
            name,
            function,
            context,
        })
    }

    /// Own functions, the candidates for fentry and kprobes. Whether the kernel lets them be traced is another matter.
    pub fn functions(&self) -> impl std::iter::Iterator<Item = (TypeId, &str)> {
        self.names(Kind::Func)
    }

    /// A function's prototype by its name.
    pub fn function(&self, name: &str) -> Result<(TypeId, FuncProto<'_>)> {
        let id = self.require(Kind::Func, name)?;
        match self.type_by_id(id)? {
            Type::Func { proto, .. } => {
                let proto = self.func_proto(proto)?;
                Ok((
                    id,
                    proto.ok_or_else(|| {
                        super::raw::malformed(&format!("function {name} has no prototype"))
                    })?,
                ))
            }
            _ => unreachable!("find(Func) gave another kind"),
        }
    }
}
