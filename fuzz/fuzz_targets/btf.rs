//! Any bytes are taken as BTF: every question about them ends with an answer or an error.
#![no_main]

use fathom_machine::btf::{Btf, Kind};
use libfuzzer_sys::fuzz_target;

/// Types asked about for one input.
const MAX_TYPES: usize = 500;

fuzz_target!(|data: &[u8]| {
    let Ok(btf) = Btf::new(data.to_vec(), None) else {
        return;
    };
    for id in btf.own_ids().take(MAX_TYPES) {
        let _ = btf.type_by_id(id);
        let _ = btf.size_of(id);
        let _ = btf.field(id, "nothing");
        let _ = btf.c_definition(id);
        let _ = btf.func_proto(id);
    }
    let _ = btf.find(Kind::Struct, "task_struct");
    let _ = btf.enumerator("NOTHING");
    let _ = btf.iterators().count();
    for name in btf.raw_tracepoint_names().take(MAX_TYPES) {
        let _ = btf.raw_tracepoint(name);
    }
});
