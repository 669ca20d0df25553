//! Statements.

use super::{Loop, Lowerer};
use crate::hir::{Block, Expr, Stmt, StmtKind};

impl Lowerer<'_, '_> {
    /// The statements of a block, not its value.
    pub(super) fn block_statements(&mut self, block: &Block) {
        for statement in &block.statements {
            self.at(statement.span, |lower| lower.statement(statement));
        }
    }

    /// A block for its effect.
    pub(super) fn block(&mut self, block: &Block) {
        self.block_statements(block);
        if let Some(value) = &block.value {
            self.effect(value);
        }
    }

    fn statement(&mut self, statement: &Stmt) {
        match &statement.kind {
            StmtKind::Expr(expr) => self.effect(expr),
            StmtKind::SetVariable { variable, value } => self.write_variable(*variable, value),
            StmtKind::ZeroVariable(variable) => self.zero_variable(*variable),
            StmtKind::SetMap { map, key, value } => self.set_map(*map, key.as_ref(), value),
            StmtKind::Aggregate { map, key, value } => {
                self.aggregate(*map, key.as_ref(), value.as_ref())
            }
            StmtKind::AddMap {
                map,
                key,
                value,
                is_subtraction,
            } => {
                self.add_map(*map, key.as_ref(), value, *is_subtraction);
            }
            StmtKind::While { condition, body } => self.while_loop(condition, body),
            StmtKind::ForMap {
                variable,
                map,
                body,
            } => self.for_map(*variable, *map, body),
            StmtKind::ForRange {
                variable,
                start,
                end,
                body,
            } => self.for_range(*variable, start, end, body),
            StmtKind::Unroll { count, body } => self.unroll(*count, body),
            StmtKind::Break => self.jump_in_loop(true),
            StmtKind::Continue => self.jump_in_loop(false),
            StmtKind::Return(value) => {
                if let Some(value) = value {
                    let value = self.scalar(value);
                    if !self.function.is_callback {
                        self.b.write(self.function.result, value);
                    }
                }
                self.leave();
            }
        }
    }

    pub(super) fn if_statement(
        &mut self,
        condition: &Expr,
        then: &Block,
        otherwise: Option<&Block>,
    ) {
        let (yes, done) = (self.b.block(), self.b.block());
        let no = match otherwise {
            Some(_) => self.b.block(),
            None => done,
        };
        self.branch_on(condition, yes, no);
        self.b.enter(yes);
        self.block(then);
        self.b.jump(done);
        if let Some(otherwise) = otherwise {
            self.b.enter(no);
            self.block(otherwise);
            self.b.jump(done);
        }
        self.b.enter(done);
    }

    fn while_loop(&mut self, condition: &Expr, body: &Block) {
        let (head, inside, done) = (self.b.block(), self.b.block(), self.b.block());
        self.b.jump(head);
        self.b.switch_to(head);
        self.branch_on(condition, inside, done);
        self.b.enter(inside);
        self.function.loops.push(Loop::Blocks { next: head, done });
        self.block(body);
        self.function.loops.pop();
        self.b.jump(head);
        self.b.seal(head);
        self.b.enter(done);
    }

    fn unroll(&mut self, count: u32, body: &Block) {
        let done = self.b.block();
        for _ in 0..count {
            let next = self.b.block();
            self.function.loops.push(Loop::Blocks { next, done });
            self.block(body);
            self.function.loops.pop();
            self.b.jump(next);
            self.b.enter(next);
        }
        self.b.jump(done);
        self.b.enter(done);
    }

    fn jump_in_loop(&mut self, is_break: bool) {
        match self.function.loops.last().copied() {
            Some(Loop::Blocks { next, done }) => self.b.jump(if is_break { done } else { next }),
            Some(Loop::Callback) => {
                let result = self.b.constant(i64::from(is_break));
                self.b.write(self.function.result, result);
                let exit = self.function.exit;
                self.b.jump(exit);
            }
            None => unreachable!("lower: break or continue outside of a loop"),
        }
        self.dead_code();
    }
}
