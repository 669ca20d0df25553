//! Copies between layouts of types that go together: texts of other lengths, tuples, records.

use fathom_bpf::Layout;
use fathom_bpf::helper::Helper;

use super::{Lowerer, Place};
use crate::ir::Compare;
use crate::ty::Type;

impl Lowerer<'_, '_> {
    /// Copies between layouts of types that go together.
    pub(super) fn convert(&mut self, from: Place, from_ty: &Type, to: Place, ty: &Type) {
        match (from_ty, ty) {
            (Type::String { size: a }, Type::String { size: b }) => {
                self.copy_string(from, *a, to, *b)
            }
            (Type::Array { element, len }, Type::String { size })
                if self.env.types.size_of(element) == 1 =>
            {
                self.copy_string(from, *len, to, *size);
            }
            (Type::Tuple(a), Type::Tuple(b)) if a != b => {
                let (a, b) = (a.to_vec(), b.to_vec());
                self.convert_elements(from, from_ty, &a, to, ty, &b);
            }
            (Type::Record(a), Type::Record(b)) if a != b => {
                self.convert_records(from, from_ty, a, to, ty, b)
            }
            (Type::Buffer { size: a }, Type::Buffer { size: b }) => {
                self.copy(to, from, 4 + (*a).min(*b), 4)
            }
            (a, b) if super::is_register(a) && super::is_register(b) => {
                let value = self.load_scalar(from, a);
                self.store_scalar(to, b, value);
            }
            _ => {
                let layout = self.layout(ty);
                self.copy(to, from, layout.size(), layout.align());
            }
        }
    }

    /// Copies up to the NUL. What lies behind it in a variable that was used before must not come along: in a key it would count.
    fn copy_string(&mut self, from: Place, from_size: u32, to: Place, size: u32) {
        let (target, source) = (self.address(to), self.address(from));
        let len = self.b.constant(i64::from(from_size.min(size)));
        let length = self
            .b
            .call(Helper::PROBE_READ_KERNEL_STR, &[target, len, source]);
        if from_size != size || u64::from(size) != self.env.config.max_strlen {
            return;
        }
        // A text without any NUL is one that was cut: it stays one.
        let (full, done) = (self.b.block(), self.b.block());
        self.b.branch(Compare::Eq, length, size as i32, full, done);
        self.b.enter(full);
        self.copy(to.plus(size - 1), from.plus(size - 1), 1, 1);
        self.b.jump(done);
        self.b.enter(done);
    }

    fn convert_elements(
        &mut self,
        from: Place,
        from_ty: &Type,
        a: &[Type],
        to: Place,
        ty: &Type,
        b: &[Type],
    ) {
        let (from_layout, layout) = (self.layout(from_ty), self.layout(ty));
        let offsets = |layout: &Layout| -> Vec<u32> {
            match layout {
                Layout::Tuple { fields, .. } | Layout::Record { fields, .. } => {
                    fields.iter().map(|field| field.offset).collect()
                }
                _ => Vec::new(),
            }
        };
        for (index, (from_offset, offset)) in offsets(&from_layout)
            .into_iter()
            .zip(offsets(&layout))
            .enumerate()
        {
            self.convert(
                from.plus(from_offset),
                &a[index],
                to.plus(offset),
                &b[index],
            );
        }
    }

    fn convert_records(
        &mut self,
        from: Place,
        from_ty: &Type,
        a: &[(String, Type)],
        to: Place,
        ty: &Type,
        b: &[(String, Type)],
    ) {
        let (from_layout, layout) = (self.layout(from_ty), self.layout(ty));
        let (
            Layout::Record {
                fields: from_fields,
                ..
            },
            Layout::Record { fields, .. },
        ) = (&from_layout, &layout)
        else {
            unreachable!("lower: a record without record layout");
        };
        for (field, (name, ty)) in fields.iter().zip(b) {
            let Some(index) = a.iter().position(|(candidate, _)| candidate == name) else {
                continue;
            };
            self.convert(
                from.plus(from_fields[index].offset),
                &a[index].1,
                to.plus(field.offset),
                ty,
            );
        }
    }
}
