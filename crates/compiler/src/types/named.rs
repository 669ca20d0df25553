//! Type names: what each means without looking at the machine, and types as written in a script.

use std::sync::Arc;

use fathom_bpf::layout::{SeriesAggregation, StackMode, TimeMode};
use fathom_syntax::ast::c::CRecordKind;
use fathom_syntax::ast::{TypeExpr, TypeKind, TypeOrExpr};
use fathom_syntax::{Diagnostic, Span};

use super::Types;
use crate::ty::{Space, Type};

/// Frames of a stack whose length nothing says.
pub const DEFAULT_STACK_LIMIT: u32 = 127;

/// Answers what `typeof` means; only the checker knows types of expressions.
pub type TypeofFn<'a> = dyn FnMut(&TypeOrExpr) -> Result<Type, Diagnostic> + 'a;

impl Types<'_> {
    /// A type as written. Pointers get [`Space::Unknown`]; `T[]` gets length 0, `string` and `buffer` without a size get size 0.
    pub fn resolve(&self, ty: &TypeExpr, typeof_: &mut TypeofFn<'_>) -> Result<Type, Diagnostic> {
        match &ty.kind {
            TypeKind::Named(name) => self.resolve_name(name, ty.span),
            TypeKind::Sized { name, len } => {
                let size = self.array_len(len, &Type::U8)?;
                Ok(match name.as_str() {
                    "string" => Type::String { size },
                    "buffer" => Type::Buffer { size },
                    _ => Type::Inet,
                })
            }
            TypeKind::Struct(name) => self.struct_named(CRecordKind::Struct, &name.text, ty.span),
            TypeKind::Union(name) => self.struct_named(CRecordKind::Union, &name.text, ty.span),
            TypeKind::Enum(name) => self.enum_named(&name.text, ty.span),
            TypeKind::Pointer(to) => Ok(Type::pointer(
                self.resolve_pointee(to, typeof_)?,
                Space::Unknown,
            )),
            TypeKind::Array { of, len } => {
                let element = self.resolve(of, typeof_)?;
                let len = len
                    .as_ref()
                    .map_or(Ok(0), |len| self.array_len(len, &element))?;
                Ok(Type::Array {
                    element: Arc::new(element),
                    len,
                })
            }
            TypeKind::Typeof(of) => typeof_(of),
            TypeKind::Error => Ok(Type::Error),
        }
    }

    fn resolve_pointee(
        &self,
        to: &TypeExpr,
        typeof_: &mut TypeofFn<'_>,
    ) -> Result<Type, Diagnostic> {
        match &to.kind {
            TypeKind::Named(name) if name == "void" => Ok(Type::Opaque("void".into())),
            _ => self.resolve(to, typeof_),
        }
    }

    /// A type by a bare name: the language's own, the script's typedefs, C's usual ones, the kernel's.
    pub fn resolve_name(&self, name: &str, span: Span) -> Result<Type, Diagnostic> {
        match self.script.typedef(name) {
            Some(target) => Ok(self.c_type(target, 0)),
            None => self.bare_name(name, span),
        }
    }

    /// Like [`Types::resolve_name`] without the script's typedefs.
    pub(super) fn bare_name(&self, name: &str, span: Span) -> Result<Type, Diagnostic> {
        if let Some(known) = language_type(name).or_else(|| c_type_name(name)) {
            return Ok(known);
        }
        let kernel = self.machine.btf();
        let found = match kernel {
            Ok(btf) => btf.find_bare(name).map(|id| (btf.clone(), id)),
            Err(_) => None,
        };
        if let Some((btf, id)) = found {
            return Ok(self.kernel_type(&btf, id, Space::Unknown));
        }
        match self
            .machine
            .find_type(fathom_machine::btf::Kind::Typedef, name)
        {
            Ok((btf, id)) => Ok(self.kernel_type(&btf, id, Space::Unknown)),
            Err(error) => Err(self.unknown_type("type", name, span, &error)),
        }
    }

    /// A type that needs no BTF.
    pub(super) fn near_name(&self, name: &str) -> Option<Type> {
        match self.script.typedef(name) {
            Some(target) => Some(self.c_type(target, 0)),
            None => c_type_name(name).or_else(|| language_type(name)),
        }
    }

    /// Whether a bare name is a type, without an error if it is not.
    pub fn is_type_name(&self, name: &str) -> bool {
        self.script.typedef(name).is_some()
            || language_type(name).is_some()
            || c_type_name(name).is_some()
            || self
                .machine
                .btf()
                .is_ok_and(|btf| btf.find_bare(name).is_some())
    }
}

/// Types that the language adds to C.
pub fn language_type(name: &str) -> Option<Type> {
    Some(match name {
        "bool" => Type::Bool,
        "int8" => Type::I8,
        "int16" => Type::Int {
            size: 2,
            signed: true,
        },
        "int32" => Type::I32,
        "int64" => Type::I64,
        "uint8" => Type::U8,
        "uint16" => Type::U16,
        "uint32" => Type::U32,
        "uint64" => Type::U64,
        "none" | "void" => Type::None,
        "string" => Type::String { size: 0 },
        "buffer" => Type::Buffer { size: 0 },
        "inet" => Type::Inet,
        "mac_address" => Type::Mac,
        "username_t" | "username" => Type::Username,
        "timestamp" => Type::Timestamp {
            mode: TimeMode::Boot,
            format: "%H:%M:%S".into(),
        },
        "timestamp_mode" => Type::TimestampMode(TimeMode::Boot),
        "cgroup_path_t" => Type::CgroupPath { filter: "".into() },
        "kstack_t" => Type::KernelStack {
            mode: StackMode::Bpftrace,
            limit: DEFAULT_STACK_LIMIT,
        },
        "ustack_t" => Type::UserStack {
            mode: StackMode::Bpftrace,
            limit: DEFAULT_STACK_LIMIT,
        },
        "ksym_t" => Type::KernelSymbol,
        "usym_t" => Type::UserSymbol,
        "strerror_t" => Type::ErrorName,
        "signal_name_t" => Type::SignalName,
        "syscall_name_t" => Type::SyscallName,
        _ => return aggregation(name),
    })
}

fn aggregation(name: &str) -> Option<Type> {
    let signed = true;
    Some(match name {
        "count_t" => Type::Count,
        "sum_t" => Type::Sum { signed },
        "min_t" => Type::Min { signed },
        "max_t" => Type::Max { signed },
        "avg_t" => Type::Avg { signed },
        "stats_t" => Type::Stats { signed },
        "usum_t" => Type::Sum { signed: false },
        "umin_t" => Type::Min { signed: false },
        "umax_t" => Type::Max { signed: false },
        "uavg_t" => Type::Avg { signed: false },
        "ustats_t" => Type::Stats { signed: false },
        "hist_t" => Type::Hist { bits: 0 },
        "lhist_t" => Type::Lhist {
            min: 0,
            max: 0,
            step: 1,
        },
        "tseries_t" => Type::TimeSeries {
            interval_ns: 0,
            buckets: 0,
            aggregation: SeriesAggregation::None,
            signed,
        },
        _ => return None,
    })
}

/// Base types of C, and typedefs that mean the same on every x86-64 Linux; so common ones do not need BTF.
fn c_type_name(name: &str) -> Option<Type> {
    let (size, signed) = match name {
        "_Bool" => return Some(Type::Bool),
        "float" | "double" | "long double" => return Some(Type::Opaque(name.into())),
        "__int128" | "unsigned __int128" => {
            return Some(Type::Array {
                element: Arc::new(Type::U64),
                len: 2,
            });
        }
        "char" | "signed char" | "int8_t" | "s8" | "__s8" => (1, true),
        "unsigned char" | "uint8_t" | "u8" | "__u8" | "u_char" | "u_int8_t" => (1, false),
        "short" | "signed short" | "int16_t" | "s16" | "__s16" => (2, true),
        "unsigned short" | "uint16_t" | "u16" | "__u16" | "u_short" | "u_int16_t" | "__be16"
        | "__le16" | "__sum16" | "sa_family_t" | "in_port_t" | "umode_t" => (2, false),
        "int" | "signed" | "signed int" | "int32_t" | "s32" | "__s32" | "pid_t" | "key_t"
        | "clockid_t" | "wchar_t" => (4, true),
        "unsigned" | "unsigned int" | "uint32_t" | "u32" | "__u32" | "u_int" | "u_int32_t"
        | "uid_t" | "gid_t" | "__be32" | "__le32" | "__wsum" | "socklen_t" | "in_addr_t"
        | "mode_t" => (4, false),
        "long" | "signed long" | "long long" | "signed long long" | "int64_t" | "s64" | "__s64"
        | "ssize_t" | "off_t" | "loff_t" | "time_t" | "time64_t" | "ktime_t" | "clock_t"
        | "suseconds_t" | "intptr_t" | "ptrdiff_t" => (8, true),
        "unsigned long" | "unsigned long long" | "uint64_t" | "u64" | "__u64" | "u_long"
        | "u_int64_t" | "size_t" | "uintptr_t" | "ino_t" | "__be64" | "__le64" => (8, false),
        _ => return None,
    };
    Some(Type::Int { size, signed })
}
