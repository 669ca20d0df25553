//! `test:` and `bench:` probes: run by hand, without anything attached.

use super::{Outcome, Run, Trials};
use crate::error::{Error, Result};
use crate::sys::bpf;
use fathom_bpf::object::{AttachPoint, Place};
use fathom_output::{Message, TestResult};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

/// How often a benchmark runs.
const ITERATIONS: u64 = 20_000;
/// After so many runs the events are thrown away, or the buffer would be full and runs shorter.
const RUNS_PER_DRAIN: u64 = 256;

impl<'a> Run<'a, '_> {
    pub(super) fn trials(&mut self, trials: Trials) -> Result<Outcome> {
        match trials {
            Trials::None => Ok(self.outcome(0)),
            Trials::Tests => self.tests(),
            Trials::Benchmarks => self.benchmarks(),
        }
    }

    fn tests(&mut self) -> Result<Outcome> {
        let object = self.object;
        let points = object.attach_points.iter();
        let tests: Vec<&AttachPoint> = points.filter(|point| point.place == Place::Test).collect();
        self.output.tell(&Message::Tests(tests.len()))?;
        let mut failed = Vec::new();
        for test in &tests {
            let name = own_name(test);
            self.output.tell(&Message::TestStart(name))?;
            if !self.test(test, name)? {
                failed.push(name.to_owned());
            }
        }
        self.output.tell(&Message::TestsEnd {
            count: tests.len(),
            failed: &failed,
        })?;
        self.output.flush()?;
        Ok(self.outcome(i32::from(!failed.is_empty())))
    }

    /// Whether it passed.
    fn test(&mut self, test: &AttachPoint, name: &str) -> Result<bool> {
        let program = self.program_of(test)?;
        self.output.flush()?;
        self.output.hold();
        let started = Instant::now();
        let returned = bpf::program_run(program).map_err(failed(test))?;
        let duration_ns = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        // `exit()` ends nothing here.
        let _ = self.drain()?;
        self.exit_code = None;
        let output = self.output.take_held();
        self.output.tell(&Message::TestResult(TestResult {
            name,
            is_passed: returned == 0,
            duration_ns,
            output: &output,
        }))?;
        Ok(returned == 0)
    }

    fn benchmarks(&mut self) -> Result<Outcome> {
        // The kernel measures while this is open.
        let _clock = bpf::enable_run_time_stats().map_err(Error::Events)?;
        self.output.tell(&Message::Benchmarks)?;
        let object = self.object;
        for point in &object.attach_points {
            if point.place != Place::Bench {
                continue;
            }
            let average_ns = self.benchmark(point)?;
            self.output.tell(&Message::BenchmarkResult {
                name: own_name(point),
                average_ns,
                iterations: ITERATIONS,
            })?;
        }
        self.output.flush()?;
        Ok(self.outcome(0))
    }

    fn benchmark(&mut self, point: &AttachPoint) -> Result<u64> {
        let program = self.program_of(point)?;
        for run in 0..ITERATIONS {
            bpf::program_run(program).map_err(failed(point))?;
            if run % RUNS_PER_DRAIN == 0 {
                self.events.discard();
            }
        }
        let info = bpf::program_info(program).map_err(failed(point))?;
        Ok(info.run_time_ns.checked_div(info.run_cnt).unwrap_or(0))
    }

    fn program_of(&self, point: &AttachPoint) -> Result<BorrowedFd<'a>> {
        let program = self.loaded.programs.get(point.program.0 as usize);
        program
            .map(AsFd::as_fd)
            .ok_or_else(|| Error::Object(format!("no program for {}", point.name)))
    }
}

fn failed(point: &AttachPoint) -> impl FnOnce(std::io::Error) -> Error {
    let name = point.name.clone();
    move |source| Error::Run { name, source }
}

/// `ok` of `test:ok`.
fn own_name(point: &AttachPoint) -> &str {
    let (_, name) = point.name.split_once(':').unwrap_or(("", &point.name));
    name
}
