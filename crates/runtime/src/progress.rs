//! Steps on the way to a running session, for those who wait for it or want to know what was done.

use std::fmt;
use std::sync::Arc;

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// A program goes to the kernel.
    Load {
        /// Its name.
        program: &'a str,
        /// How many went before it.
        done: usize,
        /// How many there are.
        total: usize,
    },
    /// What the verifier wrote about a program that it accepted.
    Verified {
        /// The program.
        program: &'a str,
        /// All of it.
        log: &'a str,
    },
    /// A place gets its program.
    Attach {
        /// The full name of the place.
        place: &'a str,
        /// How many went before it.
        done: usize,
        /// How many there are.
        total: usize,
    },
    /// Everything is in place.
    Running,
    /// So many places lose their programs, which takes the kernel a while when they are many.
    Detach(usize),
    /// Everything is off.
    Detached,
}

type Listener = dyn Fn(Step<'_>) + Send + Sync;

/// Who is told; nobody by default.
#[derive(Clone, Default)]
pub struct Progress(Option<Arc<Listener>>);

impl Progress {
    /// Each step is given to this function.
    pub fn to(listener: impl Fn(Step<'_>) + Send + Sync + 'static) -> Progress {
        Progress(Some(Arc::new(listener)))
    }

    pub(crate) fn tell(&self, step: Step<'_>) {
        if let Some(listener) = &self.0 {
            listener(step);
        }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Some(_) => "Progress(told)",
            None => "Progress(silent)",
        })
    }
}
