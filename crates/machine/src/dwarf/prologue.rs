//! Where a function's prologue is over, so that parameters are where unoptimised code keeps them.

use super::DebugInfo;
use super::question::Question;
use crate::{Address, Result};

impl DebugInfo {
    /// The first instruction behind the prologue of the function that starts at an address: the compiler's mark (clang, rustc,
    /// Go), else where the second line of the function starts, as debuggers take it. `None` when lines do not tell.
    pub fn after_prologue(&self, function: Address) -> Result<Option<Address>> {
        let question = Question::new(self)?;
        let Some(unit) = question.unit_at(function)? else {
            return Ok(None);
        };
        let functions = self.outline(&question, &unit);
        let Some(end) = functions.map_err(self.malformed())?.end_of(function) else {
            return Ok(None);
        };
        let Some(program) = unit.with_lines().unit.line_program.clone() else {
            return Ok(None);
        };
        let mut rows = program.rows();
        let (mut marked, mut second) = (None, None);
        while let Some((_, row)) = rows.next_row().map_err(self.malformed())? {
            question.budget.spend(1).map_err(self.malformed())?;
            let address = row.address();
            if row.end_sequence() || address < function.0 || address >= end.0 {
                continue;
            }
            if row.prologue_end() {
                marked = Some(marked.map_or(address, |known: u64| known.min(address)));
            }
            if address > function.0 && row.is_stmt() {
                second = Some(second.map_or(address, |known: u64| known.min(address)));
            }
        }
        Ok(marked.or(second).map(Address))
    }
}
