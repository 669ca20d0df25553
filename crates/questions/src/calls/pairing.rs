//! Joins a call with its return: both carry the frame, which no other call of the same thread or goroutine has meanwhile.

use fathom_bpf::object::CallMoment;
use fathom_output::CallRecord;
use std::collections::HashMap;

/// Calls under way that are remembered.
const MAX_OPEN: usize = 100_000;

/// A call, with its return if it was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The function's entry.
    pub entry: CallRecord,
    /// Its return.
    pub exit: Option<CallRecord>,
}

impl Call {
    /// From entry to return.
    pub fn duration_ns(&self) -> Option<u64> {
        let exit = self.exit.as_ref()?;
        Some(exit.time_ns.saturating_sub(self.entry.time_ns))
    }
}

/// A thread or goroutine of a process, and a function's name.
type Place = (u32, u64, String);

/// Calls that have not returned yet.
#[derive(Debug, Default)]
pub struct Pairing {
    open: HashMap<Place, Vec<CallRecord>>,
    count: usize,
    /// Calls that ended without a return that could be seen: `longjmp`, exceptions, panics, and the limits of return probes.
    pub unreturned: u64,
    /// Returns of calls that began before.
    pub begun_before: u64,
    /// Calls that were too many to be remembered.
    pub forgotten: u64,
}

impl Pairing {
    /// Takes what was seen at a function of that name; gives the calls that are over by it.
    pub fn add(&mut self, function: &str, record: CallRecord) -> Vec<Call> {
        let thread = match record.goroutine {
            0 => u64::from(record.tid),
            goroutine => goroutine,
        };
        let place = (record.pid, thread, function.to_owned());
        match record.moment {
            CallMoment::Line => vec![Call {
                entry: record,
                exit: None,
            }],
            CallMoment::Entry => self.enter(place, record),
            CallMoment::Return => self.leave(&place, record),
        }
    }

    /// Calls that are still under way, with their functions, in order of time.
    pub fn take_open(&mut self) -> Vec<(String, Call)> {
        self.count = 0;
        let mut calls = Vec::new();
        for ((_, _, function), open) in std::mem::take(&mut self.open) {
            let open = open.into_iter().map(|entry| Call { entry, exit: None });
            calls.extend(open.map(|call| (function.clone(), call)));
        }
        calls.sort_by_key(|(_, call)| call.entry.time_ns);
        calls
    }

    fn enter(&mut self, place: Place, record: CallRecord) -> Vec<Call> {
        // Stacks grow down, and frames count from above: whoever lies at or below a new frame's place is gone.
        let open = self.open.entry(place).or_default();
        let gone = open.partition_point(|call| is_outside(call, &record));
        let ended = open.split_off(gone);
        self.count -= ended.len();
        self.unreturned += ended.len() as u64;
        if self.count >= MAX_OPEN {
            self.forgotten += 1;
        } else {
            open.push(record);
            self.count += 1;
        }
        unreturned(ended)
    }

    fn leave(&mut self, place: &Place, record: CallRecord) -> Vec<Call> {
        let Some(open) = self.open.get_mut(place) else {
            self.begun_before += 1;
            return Vec::new();
        };
        let Some(at) = open.iter().rposition(|call| call.frame == record.frame) else {
            self.begun_before += 1;
            return Vec::new();
        };
        // What was called later in the same thread ended without a return.
        let ended = open.split_off(at + 1);
        self.count -= ended.len() + 1;
        self.unreturned += ended.len() as u64;
        let entry = open.pop();
        if open.is_empty() {
            self.open.remove(place);
        }
        let mut calls = unreturned(ended);
        calls.extend(entry.map(|entry| Call {
            entry,
            exit: Some(record),
        }));
        calls
    }
}

/// Whether a call is under way when another begins: its frame lies further out.
fn is_outside(call: &CallRecord, inner: &CallRecord) -> bool {
    match inner.goroutine {
        0 => call.frame > inner.frame,
        // Go's frames are told by their distance from the stack's upper end.
        _ => call.frame < inner.frame,
    }
}

fn unreturned(ended: Vec<CallRecord>) -> Vec<Call> {
    let calls = ended.into_iter();
    calls.map(|entry| Call { entry, exit: None }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(moment: CallMoment, frame: u64, time_ns: u64) -> CallRecord {
        CallRecord {
            moment,
            time_ns,
            pid: 1,
            tid: 1,
            goroutine: 0,
            frame,
            point: 0,
            comm: String::new(),
            stack: Vec::new(),
            values: Vec::new(),
        }
    }

    /// Feeds (moment, frame) pairs; gives (frame, returned at) of the calls that came out.
    fn feed(pairing: &mut Pairing, events: &[(CallMoment, u64)]) -> Vec<(u64, Option<u64>)> {
        let mut out = Vec::new();
        for (time, (moment, frame)) in events.iter().enumerate() {
            let calls = pairing.add("f", record(*moment, *frame, time as u64));
            out.extend(calls.iter().map(|call| {
                let exit = call.exit.as_ref().map(|exit| exit.time_ns);
                (call.entry.frame, exit)
            }));
        }
        out
    }

    #[test]
    fn recursion_is_paired_by_frame() {
        use CallMoment::{Entry, Return};
        let mut pairing = Pairing::default();
        let events = [(Entry, 900), (Entry, 800), (Return, 800), (Return, 900)];
        let calls = feed(&mut pairing, &events);
        assert_eq!(calls, [(800, Some(2)), (900, Some(3))]);
        assert_eq!(pairing.unreturned, 0);
    }

    #[test]
    fn a_longjmp_ends_calls_without_return() {
        use CallMoment::{Entry, Return};
        let mut pairing = Pairing::default();
        let events = [
            (Entry, 900),
            (Entry, 800),
            // Back in the outer one, which calls again.
            (Entry, 850),
            (Return, 850),
            (Return, 900),
            (Return, 700),
        ];
        let calls = feed(&mut pairing, &events);
        assert_eq!(calls, [(800, None), (850, Some(3)), (900, Some(4))]);
        assert_eq!((pairing.unreturned, pairing.begun_before), (1, 1));
        assert_eq!(pairing.take_open(), []);
    }
}
