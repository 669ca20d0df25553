//! Keys that are one long string: kept in two kernel maps, one for short texts and one for all others.
//!
//! A kernel map hashes and compares the whole key, so a key of 1,024 bytes costs the same for `/bin/sh` as for a text that
//! fills it. A text that fits [`SHORT_TEXT`] bytes with its NUL goes to a map with keys of that size, the others to the
//! map with full keys; a text is never in both. User space shows the two as one map.
//!
//! ```text
//! scratch memory of a key:  text, NUL, zeros … | as many bytes again, so that clearing has a fixed length
//! ```

use fathom_bpf::MapId;
use fathom_bpf::helper::Helper;
use fathom_bpf::map::SHORT_TEXT;

use super::map::MapKey;
use super::{Lowerer, Place, Rvalue};
use crate::builtins::strings;
use crate::hir::{Expr, ExprKind, MapRef};
use crate::ir::{BinaryOp, Compare, Value};
use crate::ty::Type;

impl Lowerer<'_, '_> {
    /// The key's bytes, and which of the two maps they belong to.
    pub(super) fn text_key(&mut self, map: MapRef, key: &Expr, short: MapId) -> MapKey {
        let full = self.out.key_size(self.map_id(map));
        let place = self.temporary(2 * full, "text of a key");
        self.zero(place, SHORT_TEXT);
        let length = self.text_into(key, place, full);
        let table = self.b.variable();
        let short = self.b.map(short);
        self.b.write(table, short);
        let (long, clear, done) = (self.b.block(), self.b.block(), self.b.block());
        // A failed read is negative: it leaves an empty text.
        self.b
            .branch(Compare::Sle, length, SHORT_TEXT as i32, done, long);
        self.b.enter(long);
        self.b.branch(Compare::Le, length, full as i32, clear, done);
        self.b.enter(clear);
        self.clear_behind(place, length, full);
        let id = self.map_id(map);
        let long_table = self.b.map(id);
        self.b.write(table, long_table);
        self.b.jump(done);
        self.b.enter(done);
        MapKey {
            place,
            table: Some(self.b.read(table)),
        }
    }

    /// Writes a text and gives its length with the NUL, as the kernel's helpers count it.
    fn text_into(&mut self, key: &Expr, to: Place, size: u32) -> Value {
        if let ExprKind::Builtin {
            builtin,
            args,
            data,
        } = &key.kind
            && builtin.name == "str"
        {
            let used = crate::builtins::Use {
                args,
                data,
                ty: &key.ty,
                span: key.span,
            };
            if let Some(length) = strings::read_text(self, &used, to) {
                return length;
            }
        }
        match self.rvalue(key) {
            Rvalue::Literal(text) => {
                let kept = text.len().min(size as usize - 1);
                let mut bytes = text[..kept].to_vec();
                bytes.push(0);
                self.store_bytes(&bytes, to);
                self.b.constant(bytes.len() as i64)
            }
            Rvalue::Remote { address, space } => {
                let len = self.text_limit(&key.ty, size);
                self.read_string(to, len, address, space)
            }
            Rvalue::Bytes(place) => {
                let len = self.text_limit(&key.ty, size);
                let (to, from) = (self.address(to), self.address(place));
                self.b.call(Helper::PROBE_READ_KERNEL_STR, &[to, len, from])
            }
            Rvalue::Scalar(_) | Rvalue::Nothing => self.b.constant(1),
        }
    }

    /// Bytes that a text of this type can have at most.
    fn text_limit(&mut self, ty: &Type, size: u32) -> Value {
        let own = match ty {
            Type::String { size } | Type::Array { len: size, .. } => *size,
            _ => size,
        };
        self.b.constant(i64::from(own.clamp(1, size)))
    }

    /// Zeroes `full` bytes from `length` on: the rest of the key, and room that nobody reads.
    fn clear_behind(&mut self, place: Place, length: Value, full: u32) {
        let zeros = self.zero_bytes(full);
        let from = self.address(zeros);
        let start = self.address(place);
        let start = self.b.binary(BinaryOp::Add, start, length);
        let len = self.b.constant(i64::from(full));
        self.b.call(Helper::PROBE_READ_KERNEL, &[start, len, from]);
    }

    /// Scratch memory that nothing ever writes to.
    fn zero_bytes(&mut self, len: u32) -> Place {
        let location = match self.zeros {
            Some((location, known)) if known >= len => location,
            _ => {
                let location = self.scratch_location(len);
                self.zeros = Some((location, len));
                location
            }
        };
        self.place(location)
    }
}
