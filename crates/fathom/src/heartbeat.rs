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
    /// What is being done; `None` while the session runs.
    text: Option<String>,
    since: Instant,
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
                text: Some(text.to_owned()),
                since: Instant::now(),
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
                shared.say(format!("loading program {} of {total}", done + 1));
            }
            Step::Attach { done, total, .. } => {
                shared.say(format!("attaching probe {} of {total}", done + 1));
            }
            Step::Detach(count) => shared.say(format!("detaching {count} probes")),
            Step::Verified { .. } => {}
            Step::Running | Step::Detached => shared.hush(),
        }
    }

    /// No more of it.
    pub fn end(&self) {
        if let Some(shared) = &self.0 {
            shared.hush();
            shared.lock().is_over = true;
            shared.changed.notify_all();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn beat(&self) {
        let mut state = self.lock();
        while !state.is_over {
            let waited = match &state.text {
                None => self.changed.wait(state),
                Some(_) => {
                    let waited = self.changed.wait_timeout(state, EVERY);
                    waited
                        .map(|(state, _)| state)
                        .map_err(|error| PoisonError::new(error.into_inner().0))
                }
            };
            state = waited.unwrap_or_else(PoisonError::into_inner);
            state.show();
        }
    }

    fn say(&self, text: String) {
        let mut state = self.lock();
        if state.text.is_none() {
            state.since = Instant::now();
            self.changed.notify_all();
        }
        state.text = Some(text);
    }

    /// The line is gone when this returns.
    fn hush(&self) {
        let mut state = self.lock();
        state.text = None;
        if std::mem::take(&mut state.is_shown) {
            write("\r\x1b[K");
        }
    }
}

impl State {
    fn show(&mut self) {
        let elapsed = self.since.elapsed();
        if let Some(text) = self.text.as_ref().filter(|_| elapsed >= PATIENCE) {
            write(&format!("\r\x1b[K{text} … {} s", elapsed.as_secs()));
            self.is_shown = true;
        }
    }
}

/// Nobody to tell is no reason to stop.
fn write(text: &str) {
    let mut err = std::io::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}
