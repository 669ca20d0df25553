//! Where the x86-64 C ABI puts the members of a struct or union.

/// Places members one after the other.
#[derive(Debug, Default)]
pub(super) struct Placer {
    is_union: bool,
    /// First free bit of a struct; of a union always 0.
    next_bit: u64,
    /// Bits of the largest member of a union, or up to the end of the last member of a struct.
    end_bit: u64,
    align: u64,
}

impl Placer {
    pub(super) fn new(is_union: bool) -> Placer {
        Placer {
            is_union,
            next_bit: 0,
            end_bit: 0,
            align: 1,
        }
    }

    /// A whole member; gives its place in bits.
    pub(super) fn place(&mut self, size: u64, align: u64) -> u64 {
        let at = self.next_bit.next_multiple_of(align * 8);
        self.align = self.align.max(align);
        self.advance(at.saturating_add(size.saturating_mul(8)));
        at
    }

    /// A bit-field of a declared type of `size` bytes. It does not cross a boundary of that type, unless it is packed. A width of
    /// zero only moves on to the next boundary.
    pub(super) fn place_bits(&mut self, field: BitField) -> u64 {
        let unit = field.size.max(1) * 8;
        if field.width == 0 {
            self.next_bit = self.next_bit.next_multiple_of(unit);
            return self.next_bit;
        }
        let mut at = self.next_bit;
        if !field.is_packed && at / unit != (at + field.width - 1) / unit {
            at = at.next_multiple_of(unit);
        }
        if let Some(align) = field.align {
            at = at.next_multiple_of(align * 8);
            self.align = self.align.max(align);
        }
        // Padding without a name does not align the struct.
        if field.is_named && !field.is_packed {
            self.align = self.align.max(field.size);
        }
        self.advance(at + field.width);
        at
    }

    /// Size and alignment in bytes, at least `align`.
    pub(super) fn finish(self, align: u64) -> (u64, u64) {
        let align = self.align.max(align).max(1);
        (self.end_bit.div_ceil(8).next_multiple_of(align), align)
    }

    fn advance(&mut self, end: u64) {
        self.end_bit = self.end_bit.max(end);
        if !self.is_union {
            self.next_bit = end;
        }
    }
}

/// A bit-field to place.
#[derive(Clone, Copy, Debug)]
pub(super) struct BitField {
    /// Bytes of its declared type.
    pub(super) size: u64,
    pub(super) width: u64,
    pub(super) is_packed: bool,
    /// `aligned(N)` on the field.
    pub(super) align: Option<u64>,
    pub(super) is_named: bool,
}
