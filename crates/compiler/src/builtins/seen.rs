//! Processes whose addresses will be shown: user space remembers what they have mapped while they are still there.

use fathom_bpf::helper::Helper;
use fathom_bpf::object::ActionKind;
use fathom_syntax::ast::c::CRecordKind;

use crate::hir::{Expr, ExprKind};
use crate::ir::{BinaryOp, Compare, Memory, Width};
use crate::lower::Lowerer;
use crate::ty::Type;

/// `BPF_NOEXIST`
const NEW_ONLY: i64 = 1;

/// Tells user space once for each process, and once more when it executes another program.
pub(super) fn remember_process(lowerer: &mut Lowerer<'_, '_>) {
    let map = lowerer.out.processes();
    let key = lowerer.temporary(16, "the process at hand");
    let id = lowerer.b.call(Helper::GET_CURRENT_PID_TGID, &[]);
    let pid = lowerer.b.binary(BinaryOp::Shr, id, 32);
    let b = &mut lowerer.b;
    b.store(Width::B8, key.memory, key.base, key.offset, pid);
    let space = match address_space_offset(lowerer) {
        Some(offset) => {
            let task = lowerer.b.call(Helper::GET_CURRENT_TASK_BTF, &[]);
            lowerer.b.load(Width::B8, Memory::Kernel, task, offset)
        }
        None => lowerer.b.constant(0),
    };
    let b = &mut lowerer.b;
    b.store(Width::B8, key.memory, key.base, key.offset + 8, space);
    let (table, address) = (lowerer.b.map(map), lowerer.address(key));
    let known = lowerer.b.call(Helper::MAP_LOOKUP_ELEM, &[table, address]);
    let (new, done) = (lowerer.b.block(), lowerer.b.block());
    lowerer.b.branch(Compare::Eq, known, 0, new, done);
    lowerer.b.enter(new);
    let (table, flags) = (lowerer.b.map(map), lowerer.b.constant(NEW_ONLY));
    lowerer
        .b
        .call(Helper::MAP_UPDATE_ELEM, &[table, address, address, flags]);
    tell(lowerer);
    lowerer.b.jump(done);
    lowerer.b.enter(done);
}

fn tell(lowerer: &mut Lowerer<'_, '_>) {
    let Some(builtin) = super::find("pid") else {
        unreachable!("builtins: no pid");
    };
    let pid = Expr {
        kind: ExprKind::Builtin {
            builtin,
            args: Vec::new(),
            data: Default::default(),
        },
        ty: Type::U32,
        span: lowerer.b.span(),
    };
    lowerer.send(&[pid], |mut fields| ActionKind::LookAt {
        pid: fields.remove(0),
    });
}

/// Where `mm` lies in `struct task_struct`; `None` when programs of this kind get no typed pointer to the task.
fn address_space_offset(lowerer: &Lowerer<'_, '_>) -> Option<i32> {
    if !lowerer.env.features.current_task_btf {
        return None;
    }
    let types = lowerer.env.types;
    let task = types.struct_named(CRecordKind::Struct, "task_struct", Default::default());
    let Ok(Type::Struct(task)) = task else {
        return None;
    };
    let (offset, _, _) = types.member(task, "mm")?;
    i32::try_from(offset).ok()
}
