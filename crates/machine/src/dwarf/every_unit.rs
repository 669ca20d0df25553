//! Work on all units of a file, dealt out to all processors.

use super::DebugInfo;
use super::question::{Budget, File, OpenUnit, Question, Spot};
use crate::{Error, Result};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Threads at most.
const MAX_THREADS: usize = 16;

impl DebugInfo {
    /// Works on each unit, and joins what that gives in any order. A broken unit, or one whose file is missing, does not spoil
    /// the others.
    pub(super) fn in_every_unit<T: Default + Send>(
        &self,
        work: impl for<'a> Fn(&Question<'a>, &Rc<OpenUnit<'a>>) -> gimli::Result<T> + Sync,
        join: impl Fn(&mut T, T) + Sync,
    ) -> Result<T> {
        let question = Question::new(self)?;
        let starts = self.all_units(&question);
        let next = AtomicUsize::new(0);
        let available = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = available.min(MAX_THREADS).min(starts.len().max(1));
        let size = self.main.get(gimli::SectionId::DebugInfo)?.len();
        let one_thread = || -> Result<T> {
            let mut question = Question::new(self)?;
            question.budget = Budget::for_all_of(size);
            let mut all = T::default();
            while let Some(start) = starts.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Ok(Some(unit)) = question.unit_of(*start)
                    && let Ok(unit) = question.whole(unit)
                    && let Ok(found) = work(&question, &unit)
                {
                    join(&mut all, found);
                }
                if question.budget.is_spent() {
                    return Err(self.gave_up());
                }
                question.forget_units();
            }
            Ok(all)
        };
        let mut all = T::default();
        std::thread::scope(|scope| -> Result<()> {
            let started: Vec<_> = (0..threads).map(|_| scope.spawn(one_thread)).collect();
            for thread in started {
                join(&mut all, thread.join().map_err(|_| self.gave_up())??);
            }
            Ok(())
        })?;
        Ok(all)
    }

    /// Units of the file itself and of what is shared between files.
    pub(super) fn all_units(&self, question: &Question<'_>) -> Vec<Spot> {
        let in_file = |file| {
            move |offset: &usize| Spot {
                file,
                offset: *offset,
            }
        };
        let own = self.unit_starts(&question.dwarf).iter();
        let mut all: Vec<Spot> = own.map(in_file(File::Main)).collect();
        if let Some(dwarf) = question.supplement_dwarf() {
            let shared = self.supplement_starts(&dwarf).iter();
            all.extend(shared.map(in_file(File::Supplement)));
        }
        all
    }

    fn gave_up(&self) -> Error {
        Error::malformed(
            format!("debug information of {}", self.path().display()),
            "it could not be searched",
        )
    }
}
