//! Says what is being done when it takes longer than a second: one line on a terminal, gone when the session runs.

use std::io::{IsTerminal, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fathom_runtime::Step;

/// What is faster than this needs no words.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often the line is written anew.
const EVERY: Duration = Duration::from_millis(250);

/// A line on standard error, or nothing when that is no terminal. Dropping it takes the line away.
#[derive(Clone, Default)]
pub struct Heartbeat(Option<Arc<Shared>>);

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    text: String,
    is_shown: bool,
    is_over: bool,
}

impl Heartbeat {
    /// Starts with what is done first.
    pub fn start(text: &str) -> Heartbeat {
        if !std::io::stderr().is_terminal() {
            return Heartbeat::default();
        }
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                text: text.to_owned(),
                is_shown: false,
                is_over: false,
            }),
            changed: Condvar::new(),
        });
        let watched = shared.clone();
        let spawned = std::thread::Builder::new()
            .name("fathom-heart".into())
            .spawn(move || watched.beat());
        // Without the thread there is no line, and nothing else is missing.
        Heartbeat(spawned.ok().map(|_| shared))
    }

    /// Takes note of a step.
    pub fn note(&self, step: Step<'_>) {
        let Some(shared) = &self.0 else { return };
        match step {
            Step::Load { done, total, .. } => {
                shared.lock().text = format!("loading program {} of {total}", done + 1);
            }
            Step::Attach { done, total, .. } => {
                shared.lock().text = format!("attaching probe {} of {total}", done + 1);
            }
            Step::Verified { .. } => {}
            Step::Running => shared.end(),
        }
    }

    /// No more of it.
    pub fn end(&self) {
        if let Some(shared) = &self.0 {
            shared.end();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn beat(&self) {
        let started = Instant::now();
        let mut state = self.lock();
        let mut pause = PATIENCE;
        while !state.is_over {
            let waited = self.changed.wait_timeout(state, pause);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            if state.is_over {
                return;
            }
            pause = EVERY;
            state.is_shown = true;
            let seconds = started.elapsed().as_secs();
            write(&format!("\r\x1b[K{} … {seconds} s", state.text));
        }
    }

    /// The line is gone when this returns.
    fn end(&self) {
        let mut state = self.lock();
        state.is_over = true;
        if std::mem::take(&mut state.is_shown) {
            write("\r\x1b[K");
        }
        self.changed.notify_all();
    }
}

/// Nobody to tell is no reason to stop.
fn write(text: &str) {
    let mut err = std::io::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}
