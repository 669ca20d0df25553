//! How the programs of a script use each of its maps: decides where a map's entries are kept.

use super::walk::{Visitor, walk};
use super::{Body, Data, Expr, ExprKind, MapRef, Stmt, StmtKind};

/// The uses of one map, over all programs. Showing it (`print`), `clear` and `zero` are done by user space and do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapUse {
    /// A program goes over all its entries: `for`, `len`.
    pub is_walked: bool,
    /// A program does more than aggregate into it: it reads a value, asks for a key or deletes one.
    pub is_read: bool,
    /// Every key is `tid`, the id of the thread at hand.
    pub is_by_thread: bool,
}

/// One [`MapUse`] for each map of the script.
pub fn uses(bodies: &[Body], map_count: usize) -> Vec<MapUse> {
    let unused = MapUse {
        is_walked: false,
        is_read: false,
        is_by_thread: true,
    };
    let mut collector = Collector {
        uses: vec![unused; map_count],
    };
    for body in bodies {
        walk(body, &mut collector);
    }
    collector.uses
}

struct Collector {
    uses: Vec<MapUse>,
}

impl Collector {
    fn note(&mut self, map: MapRef, change: impl FnOnce(&mut MapUse)) {
        if let Some(of_map) = self.uses.get_mut(map.0 as usize) {
            change(of_map);
        }
    }

    fn key(&mut self, map: MapRef, key: Option<&Expr>) {
        if !key.is_some_and(is_thread_id) {
            self.note(map, |of_map| of_map.is_by_thread = false);
        }
    }
}

impl Visitor for Collector {
    fn statement(&mut self, statement: &Stmt) {
        match &statement.kind {
            StmtKind::Aggregate { map, key, .. } => self.key(*map, key.as_ref()),
            StmtKind::SetMap { map, key, .. } | StmtKind::AddMap { map, key, .. } => {
                self.key(*map, key.as_ref());
            }
            StmtKind::ForMap { map, .. } => self.note(*map, |of_map| of_map.is_walked = true),
            _ => {}
        }
    }

    fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Map { map, key } => {
                self.key(*map, key.as_deref());
                self.note(*map, |of_map| of_map.is_read = true);
            }
            ExprKind::Builtin {
                builtin,
                args,
                data: Data::Map(map),
            } => match builtin.name {
                "clear" | "zero" => {}
                "len" => self.note(*map, |of_map| of_map.is_walked = true),
                // `delete`, `has_key` and whatever takes a map and a key.
                _ => {
                    self.key(*map, args.first());
                    self.note(*map, |of_map| of_map.is_read = true);
                }
            },
            _ => {}
        }
    }
}

fn is_thread_id(key: &Expr) -> bool {
    match &key.kind {
        ExprKind::Builtin { builtin, args, .. } => builtin.name == "tid" && args.is_empty(),
        ExprKind::Cast(inner) => is_thread_id(inner),
        _ => false,
    }
}
