//! Arguments of the probe: from the context, from registers, from the stack.

use fathom_bpf::helper::Helper;
use fathom_bpf::object::{Place as AttachPlace, UprobeSite};

use super::{Lowerer, Place, Rvalue, is_register};
use crate::ir::{BinaryOp, Compare, Memory, Op, Value, Width};
use crate::probes::context::ContextKind;
use crate::probes::{ArgSource, Argument};
use crate::ty::{Space, Type};

/// Offset of the system call number among the words of the raw `sys_enter` tracepoint.
const SYSCALL_NUMBER_WORD: i32 = 8;

impl Lowerer<'_, '_> {
    pub(super) fn argument(&mut self, argument: &Argument) -> Rvalue {
        let context = self.context();
        match &argument.source {
            ArgSource::Context { offset, size } => {
                let value = self.context_field(*offset, *size, &argument.ty);
                match (&argument.ty, value) {
                    (Type::Pointer { .. }, Rvalue::Scalar(pointer))
                        if self.group.context.kind == ContextKind::Iter =>
                    {
                        Rvalue::Scalar(self.null_checked(pointer))
                    }
                    (_, value) => value,
                }
            }
            ArgSource::Word { index } => {
                let value = self
                    .b
                    .load(Width::B8, Memory::Context, context, *index as i32 * 8);
                Rvalue::Scalar(self.narrowed(value, &argument.ty))
            }
            ArgSource::PointedRegisters { offset } => {
                let registers = self.b.load(Width::B8, Memory::Context, context, 0);
                let address = self.b.binary(BinaryOp::Add, registers, *offset as i32);
                let value = self.read_remote_scalar(address, Space::Kernel, 8, false);
                Rvalue::Scalar(self.narrowed(value, &argument.ty))
            }
            ArgSource::DataLocation { offset, relative } => {
                let word = self
                    .b
                    .load(Width::B4, Memory::Context, context, *offset as i32);
                let at = self.b.binary(BinaryOp::And, word, 0xffff);
                let base = if *relative { *offset as i32 + 4 } else { 0 };
                // The context pointer may not be moved by a variable amount: its address is taken as a number.
                let start = self.context_address();
                let address = self.b.binary(BinaryOp::Add, start, at);
                let address = if base == 0 {
                    address
                } else {
                    self.b.binary(BinaryOp::Add, address, base)
                };
                match is_register(&argument.ty) {
                    true => Rvalue::Scalar(address),
                    false => Rvalue::Remote {
                        address,
                        space: Space::Kernel,
                    },
                }
            }
            ArgSource::Memory { .. } => self.memory_argument(argument),
            ArgSource::Pieces(pieces) => self.pieces(pieces, &argument.ty),
            ArgSource::Located { location, site } => self.located(location, *site, &argument.ty),
            ArgSource::Unreadable(why) => unreachable!("lower: {}: {why}", argument.name),
            ArgSource::Register {
                offset,
                size,
                signed,
            } => {
                let word = self
                    .b
                    .load(Width::B8, Memory::Context, context, *offset as i32);
                Rvalue::Scalar(self.extended(word, *size, *signed))
            }
            ArgSource::Constant(value) => Rvalue::Scalar(self.b.constant(*value)),
        }
    }

    /// An iterator's pointers may be null, and the verifier lets nobody calculate with them before they were compared.
    fn null_checked(&mut self, pointer: Value) -> Value {
        let result = self.b.variable();
        let zero = self.b.constant(0);
        self.b.write(result, zero);
        let (there, done) = (self.b.block(), self.b.block());
        self.b.branch(Compare::Ne, pointer, 0, there, done);
        self.b.enter(there);
        self.b.write(result, pointer);
        self.b.jump(done);
        self.b.enter(done);
        self.b.read(result)
    }

    /// The context's address as a plain number (a spilled and reloaded pointer would stay one, so a helper reads it back).
    fn context_address(&mut self) -> Value {
        self.context()
    }

    fn context_field(&mut self, offset: u32, size: u32, ty: &Type) -> Rvalue {
        let context = self.context();
        if !is_register(ty) {
            let address = self.b.binary(BinaryOp::Add, context, offset as i32);
            return Rvalue::Remote {
                address,
                space: Space::Kernel,
            };
        }
        let (_, signed) = self.scalar_size(ty);
        match Width::from_bytes(size) {
            Some(width) if offset.is_multiple_of(size) => Rvalue::Scalar(self.b.emit(Op::Load {
                width,
                signed,
                memory: Memory::Context,
                base: context,
                offset: offset as i32,
            })),
            _ => {
                let address = self.b.binary(BinaryOp::Add, context, offset as i32);
                Rvalue::Scalar(self.read_remote_scalar(
                    address,
                    Space::Kernel,
                    size.clamp(1, 8),
                    signed,
                ))
            }
        }
    }

    /// A value whose parts are in several places.
    fn pieces(&mut self, pieces: &[(u32, ArgSource)], ty: &Type) -> Rvalue {
        let size = self.size_of(ty);
        let place = self.temporary(size, "an argument");
        self.zero(place, size);
        for (offset, source) in pieces {
            let bytes = match source {
                ArgSource::Register { size, .. } | ArgSource::Memory { size, .. } => *size,
                other => unreachable!("lower: a piece of {other:?}"),
            };
            let piece = Argument {
                name: String::new(),
                ty: Type::U64,
                source: source.clone(),
            };
            let value = self.argument(&piece);
            let value = self.word(value, &Type::U64);
            let width = Width::from_bytes(bytes).unwrap_or(Width::B8);
            let to = place.plus(*offset);
            self.b.store(width, to.memory, to.base, to.offset, value);
        }
        Rvalue::Bytes(place)
    }

    fn memory_argument(&mut self, argument: &Argument) -> Rvalue {
        let ArgSource::Memory {
            register_offset,
            index_register_offset,
            scale,
            displacement,
            size,
            signed,
            user,
        } = &argument.source
        else {
            return Rvalue::Nothing;
        };
        let context = self.context();
        let base = self
            .b
            .load(Width::B8, Memory::Context, context, *register_offset as i32);
        let mut address = match i32::try_from(*displacement) {
            Ok(displacement) => self.b.binary(BinaryOp::Add, base, displacement),
            Err(_) => {
                let displacement = self.b.constant(*displacement);
                self.b.binary(BinaryOp::Add, base, displacement)
            }
        };
        if let Some(index) = index_register_offset {
            let index = self
                .b
                .load(Width::B8, Memory::Context, context, *index as i32);
            let index = self.b.binary(BinaryOp::Mul, index, (*scale).max(1) as i32);
            address = self.b.binary(BinaryOp::Add, address, index);
        }
        let space = if *user { Space::User } else { Space::Kernel };
        if !is_register(&argument.ty) {
            return Rvalue::Remote { address, space };
        }
        Rvalue::Scalar(self.read_remote_scalar(address, space, *size, *signed))
    }

    /// A word of the context cut to what its type says: upper bits of narrow arguments are not defined.
    fn narrowed(&mut self, value: Value, ty: &Type) -> Value {
        match ty {
            Type::Int { .. } | Type::Enum(_) | Type::Bool => {
                let (size, signed) = self.scalar_size(ty);
                self.extended(value, size, signed)
            }
            _ => value,
        }
    }

    pub(super) fn extended(&mut self, value: Value, size: u32, signed: bool) -> Value {
        match Width::from_bytes(size) {
            Some(Width::B8) | None => value,
            Some(from) => self.b.emit(Op::Extend {
                value,
                from,
                signed,
            }),
        }
    }

    /// Leaves unless the system call is one of the group's.
    pub(super) fn filter_syscalls(&mut self) {
        let Some(table) = &self.group.context.syscalls else {
            return;
        };
        let mut bytes = Vec::new();
        for (number, point) in table {
            let at = *number as usize * 4;
            if bytes.len() < at + 4 {
                bytes.resize(at + 4, 0);
            }
            bytes[at..at + 4]
                .copy_from_slice(&((self.first_point as u32 + point) + 1).to_le_bytes());
        }
        let count = bytes.len() as i32 / 4;
        let map = self.out.read_only(bytes);
        let context = self.context();
        let number = self.syscall_number(context);
        let (inside, go_on) = (self.b.block(), self.b.block());
        let exit = self.function.exit;
        self.b.branch(Compare::Lt, number, count, inside, exit);
        self.b.enter(inside);
        let base = self.b.emit(Op::MapValue { map, offset: 0 });
        let offset = self.b.binary(BinaryOp::Shl, number, 2);
        let cell = self.b.binary(BinaryOp::Add, base, offset);
        let place = Place {
            base: cell,
            offset: 0,
            memory: Memory::Map,
        };
        let point = self
            .b
            .load(Width::B4, place.memory, place.base, place.offset);
        self.b.branch(Compare::Ne, point, 0, go_on, exit);
        self.b.enter(go_on);
        self.syscall_point = Some(self.b.binary(BinaryOp::Sub, point, 1));
    }

    /// `sys_enter(regs, id)` has the number as its second word; `sys_exit(regs, ret)` only in the registers.
    fn syscall_number(&mut self, context: Value) -> Value {
        const ORIG_RAX: i32 = 120;
        let is_exit = self.group.points.iter().any(|point| {
            matches!(&point.place, fathom_bpf::object::Place::RawTracepoint { name } if name == "sys_exit")
        });
        if !is_exit {
            return self
                .b
                .load(Width::B8, Memory::Context, context, SYSCALL_NUMBER_WORD);
        }
        let registers = self.b.load(Width::B8, Memory::Context, context, 0);
        let address = self.b.binary(BinaryOp::Add, registers, ORIG_RAX);
        self.read_remote_scalar(address, Space::Kernel, 8, false)
    }

    /// Index of the attach point at hand among the object's: the value of `probe`.
    pub fn attach_point(&mut self) -> Value {
        if let Some(point) = self.syscall_point {
            return point;
        }
        let count: usize = self
            .group
            .points
            .iter()
            .map(|point| point.names.len())
            .sum();
        if count <= 1 {
            return self.b.constant(self.first_point as i64);
        }
        let cookie = self.cookie();
        let has_inside = self.sites().any(|site| site.inside != 0);
        match has_inside {
            true => self.extended(cookie, 4, false),
            false => cookie,
        }
    }

    fn cookie(&mut self) -> Value {
        let context = self.context();
        self.b.call(Helper::GET_ATTACH_COOKIE, &[context])
    }

    fn sites(&self) -> impl Iterator<Item = &UprobeSite> {
        let places = self.group.points.iter().map(|point| &point.place);
        places.flat_map(|place| match place {
            AttachPlace::Uprobe { site, .. } => std::slice::from_ref(site),
            AttachPlace::UprobeMulti { sites, .. } => sites.as_slice(),
            _ => &[],
        })
    }

    /// How far inside of its function the program runs.
    pub fn inside_function(&mut self) -> Option<crate::ir::Operand> {
        let first = self.sites().next()?.inside;
        if self.sites().all(|site| site.inside == first) {
            return i32::try_from(first).ok().map(Into::into);
        }
        let cookie = self.cookie();
        let inside = self
            .b
            .binary(BinaryOp::Shr, cookie, crate::object::INSIDE_SHIFT as i32);
        Some(inside.into())
    }
}
