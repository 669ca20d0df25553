//! Reading, writing and deleting in maps.

use fathom_bpf::helper::Helper;
use fathom_bpf::map::Storage;
use fathom_bpf::{Layout, MapId};

use super::tables::Side;
use super::{Lowerer, Place, Rvalue, is_register};
use crate::hir::{Expr, MapRef};
use crate::ir::{AtomicOp, BinaryOp, Compare, Memory, Op, Value, Width};
use crate::ty::Type;

/// `BPF_ANY`
const ANY: i64 = 0;

/// A key as the kernel takes it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MapKey {
    /// Its bytes.
    pub place: Place,
    /// Address of the kernel map it belongs to, where that depends on the key.
    pub table: Option<Value>,
}

impl From<Place> for MapKey {
    fn from(place: Place) -> MapKey {
        MapKey { place, table: None }
    }
}

impl Lowerer<'_, '_> {
    /// The kernel map of a script map.
    pub fn map_id(&self, map: MapRef) -> MapId {
        MapId(map.0)
    }

    /// How the map's values are stored.
    pub fn map_storage(&self, map: MapRef) -> Storage {
        self.out.storage(self.map_id(map))
    }

    /// The type of the map's values.
    pub fn map_type(&self, map: MapRef) -> Type {
        self.env.maps.maps[map.0 as usize].value.clone()
    }

    /// The type of the map's keys.
    pub fn key_type(&self, map: MapRef) -> Type {
        self.env.maps.maps[map.0 as usize]
            .key
            .clone()
            .unwrap_or(Type::None)
    }

    /// The key's bytes in the program's memory, all bytes defined. Bucket storages get room for the bucket behind.
    pub fn key(&mut self, map: MapRef, key: Option<&Expr>) -> MapKey {
        let info = &self.env.maps.maps[map.0 as usize];
        let (name, ty) = (
            format!("key of @{}", info.name),
            info.key.clone().unwrap_or(Type::None),
        );
        let kernel_size = self.out.key_size(self.map_id(map));
        let Some(key) = key else {
            let place = self.temporary(4, &name);
            self.b
                .store(Width::B4, place.memory, place.base, place.offset, 0);
            return place.into();
        };
        if let Some(Side::ShortTexts(short)) = self.out.side(self.map_id(map)) {
            return self.text_key(map, key, short);
        }
        if let Some(place) = self.key_in_place(key, &ty, kernel_size) {
            return place.into();
        }
        let place = self.temporary(kernel_size, &name);
        let layout = self.layout(&ty);
        if !is_dense(&layout) || layout.size() != kernel_size {
            self.zero(place, kernel_size);
        }
        self.store(key, place, &ty);
        place.into()
    }

    /// A key that already lies in the program's memory in the right form (`$kv.0`) need not be copied.
    fn key_in_place(&mut self, key: &Expr, ty: &Type, kernel_size: u32) -> Option<Place> {
        use crate::hir::ExprKind;
        let is_tuple_part = matches!(key.kind, ExprKind::Element { .. });
        if !is_tuple_part || key.ty != *ty || is_register(ty) {
            return None;
        }
        let layout = self.layout(ty);
        if !is_dense(&layout) || layout.size() != kernel_size {
            return None;
        }
        match self.rvalue(key) {
            Rvalue::Bytes(place) => Some(place),
            _ => None,
        }
    }

    /// The address of a key's value, null if it is not there. For an aggregation: of this CPU's cell in the hash map.
    pub fn look_up(&mut self, map: MapRef, key: MapKey) -> Value {
        match self.thread_slots(map) {
            Some(slots) => self.find_thread_entry(map, slots, key),
            None => self.look_up_in_hash(map, key),
        }
    }

    /// `bpf_map_lookup_elem`
    pub(super) fn look_up_in_hash(&mut self, map: MapRef, key: MapKey) -> Value {
        let table = self.table(map, key);
        let key = self.address(key.place);
        self.b.call(Helper::MAP_LOOKUP_ELEM, &[table, key])
    }

    /// The address of the kernel map that holds this key.
    pub fn table(&mut self, map: MapRef, key: MapKey) -> Value {
        let id = self.map_id(map);
        key.table.unwrap_or_else(|| self.b.map(id))
    }

    /// Sets a key's value; a failure is counted at the place in the script.
    pub fn update(&mut self, map: MapRef, key: MapKey, value: Place) {
        let Some(slots) = self.thread_slots(map) else {
            return self.update_in_hash(map, key, value);
        };
        let (known, new, done) = (self.b.block(), self.b.block(), self.b.block());
        let address = self.find_thread_entry(map, slots, key);
        self.b.branch(Compare::Ne, address, 0, known, new);
        self.b.enter(known);
        let width = Width::from_bytes(slots.1.value_size).unwrap_or(Width::B8);
        let word = self.b.load(width, value.memory, value.base, value.offset);
        self.b.store(width, Memory::Map, address, 0, word);
        self.b.jump(done);
        self.b.enter(new);
        self.insert_thread_entry(map, slots, key, value);
        self.b.jump(done);
        self.b.enter(done);
    }

    /// `bpf_map_update_elem`
    pub(super) fn update_in_hash(&mut self, map: MapRef, key: MapKey, value: Place) {
        let table = self.table(map, key);
        let (key, value) = (self.address(key.place), self.address(value));
        let flags = self.b.constant(ANY);
        let result = self
            .b
            .call(Helper::MAP_UPDATE_ELEM, &[table, key, value, flags]);
        let (failed, done) = (self.b.block(), self.b.block());
        self.b.branch(Compare::Eq, result, 0, done, failed);
        self.b.enter(failed);
        self.count_error("map_update_elem", result);
        self.b.jump(done);
        self.b.enter(done);
    }

    /// Counts a helper's failure at this place in the script.
    pub(super) fn count_error(&mut self, helper: &str, result: Value) {
        let site = self.error_site(helper, true);
        let errors = self.out.errors();
        let slot = self.b.slot(4, 4, "number of an error");
        let key = self.b.slot_address(slot);
        self.b.store(Width::B4, Memory::Stack, key, 0, site as i32);
        let map = self.b.map(errors);
        let cell = self.b.call(Helper::MAP_LOOKUP_ELEM, &[map, key]);
        let (found, done) = (self.b.block(), self.b.block());
        self.b.branch(Compare::Ne, cell, 0, found, done);
        self.b.enter(found);
        let count = self.b.load(Width::B8, Memory::Map, cell, 0);
        let count = self.b.binary(BinaryOp::Add, count, 1);
        self.b.store(Width::B8, Memory::Map, cell, 0, count);
        self.b.store(Width::B8, Memory::Map, cell, 8, result);
        self.b.jump(done);
        self.b.enter(done);
    }

    /// Where a plain scalar map's value lies: no look-up is needed.
    fn scalar_cell(&mut self, map: MapRef) -> Place {
        let map = self.map_id(map);
        let base = self.b.emit(Op::MapValue { map, offset: 0 });
        Place {
            base,
            offset: 0,
            memory: Memory::Map,
        }
    }

    /// `@x[key] = value`
    pub(super) fn set_map(&mut self, map: MapRef, key: Option<&Expr>, value: &Expr) {
        let ty = self.map_type(map);
        if self.map_storage(map) == Storage::Scalar {
            // The value first: it may read the map itself.
            if is_register(&ty) {
                let value = self.scalar(value);
                let cell = self.scalar_cell(map);
                self.store_scalar(cell.plus(8), &ty, value);
                self.b.store(Width::B8, Memory::Map, cell.base, 0, 1);
                return;
            }
            let cell = self.scalar_cell(map);
            self.replace(value, cell.plus(8), &ty);
            self.b.store(Width::B8, Memory::Map, cell.base, 0, 1);
            return;
        }
        let size = self.size_of(&ty);
        let name = format!("value of @{}", self.env.maps.maps[map.0 as usize].name);
        let place = self.temporary(size, &name);
        let layout = self.layout(&ty);
        if matches!(layout, Layout::Tuple { .. } | Layout::Record { .. }) && !is_dense(&layout) {
            self.zero(place, size);
        }
        self.store(value, place, &ty);
        let key = self.key(map, key);
        self.update(map, key, place);
    }

    /// The value of `@x[key]`, zero if missing.
    pub(super) fn map_value(&mut self, map: MapRef, key: Option<&Expr>, ty: &Type) -> Rvalue {
        let value_ty = self.map_type(map);
        if value_ty.is_aggregation() {
            return Rvalue::Scalar(self.aggregate_value(map, key));
        }
        if self.map_storage(map) == Storage::Scalar {
            let cell = self.scalar_cell(map).plus(8);
            return match is_register(ty) {
                true => Rvalue::Scalar(self.load_scalar(cell, ty)),
                false => Rvalue::Bytes(cell),
            };
        }
        if !is_register(ty) {
            let size = self.size_of(ty);
            let place = self.temporary(size, "a value read from a map");
            self.map_value_into(map, key, place, ty);
            return Rvalue::Bytes(place);
        }
        let key = self.key(map, key);
        let pointer = self.look_up(map, key);
        let result = self.b.variable();
        let zero = self.b.constant(0);
        self.b.write(result, zero);
        let (found, done) = (self.b.block(), self.b.block());
        self.b.branch(Compare::Ne, pointer, 0, found, done);
        self.b.enter(found);
        let place = Place {
            base: pointer,
            offset: 0,
            memory: Memory::Map,
        };
        let value = self.load_scalar(place, ty);
        self.b.write(result, value);
        self.b.jump(done);
        self.b.enter(done);
        Rvalue::Scalar(self.b.read(result))
    }

    /// Copies the value of `@x[key]` into memory, zeros if missing.
    pub(super) fn map_value_into(&mut self, map: MapRef, key: Option<&Expr>, to: Place, ty: &Type) {
        let value_ty = self.map_type(map);
        if self.map_storage(map) == Storage::Scalar {
            let cell = self.scalar_cell(map).plus(8);
            return self.store_rvalue(&Rvalue::Bytes(cell), &value_ty, to, ty);
        }
        let key = self.key(map, key);
        let pointer = self.look_up(map, key);
        let (found, missing, done) = (self.b.block(), self.b.block(), self.b.block());
        self.b.branch(Compare::Ne, pointer, 0, found, missing);
        self.b.enter(found);
        let place = Place {
            base: pointer,
            offset: 0,
            memory: Memory::Map,
        };
        self.store_rvalue(&Rvalue::Bytes(place), &value_ty, to, ty);
        self.b.jump(done);
        self.b.enter(missing);
        let size = self.size_of(ty);
        self.zero(to, size);
        self.b.jump(done);
        self.b.enter(done);
    }

    /// Address of the value of `@x[key]`, null if missing.
    pub(super) fn map_pointer(&mut self, map: MapRef, key: Option<&Expr>) -> Value {
        if self.map_storage(map) == Storage::Scalar {
            let cell = self.scalar_cell(map).plus(8);
            return self.address(cell);
        }
        let key = self.key(map, key);
        self.look_up(map, key)
    }

    /// `@x[key] += value`, atomically; a missing value starts at zero.
    pub(super) fn add_map(
        &mut self,
        map: MapRef,
        key: Option<&Expr>,
        value: &Expr,
        is_subtraction: bool,
    ) {
        let ty = self.map_type(map);
        if ty.is_aggregation() {
            return self.aggregate(map, key, Some(value));
        }
        let value = self.scalar(value);
        let value = if is_subtraction {
            self.b.emit(Op::Negate { value })
        } else {
            value
        };
        self.add_value(map, key, value, false);
    }

    /// `++` and `--` whose value is used.
    pub(super) fn step_map(
        &mut self,
        map: MapRef,
        key: Option<&Expr>,
        delta: i64,
        is_prefix: bool,
    ) -> Value {
        let delta_value = self.b.constant(delta);
        let old = self.add_value(map, key, delta_value, true);
        if !is_prefix {
            return old;
        }
        self.b.binary(BinaryOp::Add, old, delta as i32)
    }

    /// Adds atomically and gives the old value if that is wanted.
    fn add_value(
        &mut self,
        map: MapRef,
        key: Option<&Expr>,
        value: Value,
        wants_old: bool,
    ) -> Value {
        if self.map_storage(map) == Storage::Scalar {
            let cell = self.scalar_cell(map);
            self.b.store(Width::B8, Memory::Map, cell.base, 0, 1);
            return self.atomic_add(cell.plus(8), value, wants_old);
        }
        let key = self.key(map, key);
        let pointer = self.look_up(map, key);
        let old = self.b.variable();
        let (found, missing, done) = (self.b.block(), self.b.block(), self.b.block());
        self.b.branch(Compare::Ne, pointer, 0, found, missing);
        self.b.enter(found);
        let cell = Place {
            base: pointer,
            offset: 0,
            memory: Memory::Map,
        };
        let before = self.atomic_add(cell, value, wants_old);
        self.b.write(old, before);
        self.b.jump(done);
        self.b.enter(missing);
        self.insert_or_add(map, key, value);
        let zero = self.b.constant(0);
        self.b.write(old, zero);
        self.b.jump(done);
        self.b.enter(done);
        self.b.read(old)
    }

    /// First value of a key. Another CPU may have been quicker: then its value is added to.
    fn insert_or_add(&mut self, map: MapRef, key: MapKey, value: Value) {
        const NO_EXIST: i64 = 1;
        const ALREADY_THERE: i32 = -17;
        let first = self.temporary(8, "first value of a key");
        self.b
            .store(Width::B8, first.memory, first.base, first.offset, value);
        if let Some(slots) = self.thread_slots(map) {
            return self.insert_thread_entry(map, slots, key, first);
        }
        let map_address = self.table(map, key);
        let (key_address, first_address) = (self.address(key.place), self.address(first));
        let flags = self.b.constant(NO_EXIST);
        let result = self.b.call(
            Helper::MAP_UPDATE_ELEM,
            &[map_address, key_address, first_address, flags],
        );
        let (failed, raced, lost, done) = (
            self.b.block(),
            self.b.block(),
            self.b.block(),
            self.b.block(),
        );
        self.b.branch(Compare::Eq, result, 0, done, failed);
        self.b.enter(failed);
        self.b
            .branch(Compare::Eq, result, ALREADY_THERE, raced, lost);
        self.b.enter(raced);
        let pointer = self.look_up(map, key);
        let found = self.b.block();
        self.b.branch(Compare::Ne, pointer, 0, found, done);
        self.b.enter(found);
        let cell = Place {
            base: pointer,
            offset: 0,
            memory: Memory::Map,
        };
        self.atomic_add(cell, value, false);
        self.b.jump(done);
        self.b.enter(lost);
        self.count_error("map_update_elem", result);
        self.b.jump(done);
        self.b.enter(done);
    }

    fn atomic_add(&mut self, cell: Place, value: Value, wants_old: bool) -> Value {
        if !wants_old {
            self.b.effect(Op::Atomic {
                op: AtomicOp::Add,
                width: Width::B8,
                base: cell.base,
                offset: cell.offset,
                value,
            });
            return value;
        }
        if self.env.features.atomic_fetch {
            return self.b.emit(Op::Atomic {
                op: AtomicOp::FetchAdd,
                width: Width::B8,
                base: cell.base,
                offset: cell.offset,
                value,
            });
        }
        let old = self.b.load(Width::B8, cell.memory, cell.base, cell.offset);
        self.b.effect(Op::Atomic {
            op: AtomicOp::Add,
            width: Width::B8,
            base: cell.base,
            offset: cell.offset,
            value,
        });
        old
    }

    /// `delete(@x[key])`: 1 if the key was there.
    pub fn delete(&mut self, map: MapRef, key: Option<&Expr>) -> Value {
        let ty = self.map_type(map);
        match self.map_storage(map) {
            Storage::Scalar => {
                let cell = self.scalar_cell(map);
                let was_set = self.b.load(Width::B8, Memory::Map, cell.base, 0);
                let size = self.size_of(&ty);
                self.zero(cell, 8 + size);
                self.b.compare(Compare::Ne, was_set, 0)
            }
            Storage::Plain | Storage::PerCpu => {
                let key = self.key(map, key);
                match self.thread_slots(map) {
                    Some(slots) => self.delete_thread_entry(map, slots, key),
                    None => self.delete_in_hash(map, key),
                }
            }
            Storage::PerCpuScalar | Storage::Buckets | Storage::BucketArray => {
                self.delete_cells(map, key)
            }
        }
    }

    /// `bpf_map_delete_elem`
    pub(super) fn delete_in_hash(&mut self, map: MapRef, key: MapKey) -> Value {
        let table = self.table(map, key);
        let key = self.address(key.place);
        let result = self.b.call(Helper::MAP_DELETE_ELEM, &[table, key]);
        self.b.compare(Compare::Eq, result, 0)
    }

    /// `has_key(@x, key)`
    pub fn has_key(&mut self, map: MapRef, key: &Expr) -> Value {
        let key = self.key(map, Some(key));
        let pointer = self.look_up(map, key);
        let result = self.b.variable();
        let zero = self.b.constant(0);
        self.b.write(result, zero);
        let (found, done) = (self.b.block(), self.b.block());
        self.b.branch(Compare::Ne, pointer, 0, found, done);
        self.b.enter(found);
        let one = self.b.constant(1);
        self.b.write(result, one);
        self.b.jump(done);
        self.b.enter(done);
        self.b.read(result)
    }
}

/// Whether storing a value of this layout defines every byte of it.
pub(super) fn is_dense(layout: &Layout) -> bool {
    match layout {
        Layout::String { .. } | Layout::Buffer { .. } => false,
        Layout::Tuple { size, fields } | Layout::Record { size, fields, .. } => {
            let mut next = 0;
            for field in fields.iter() {
                if field.offset != next || field.bits.is_some() || !is_dense(&field.layout) {
                    return false;
                }
                next += field.layout.size();
            }
            next == *size
        }
        _ => true,
    }
}
