//! An object running: from loading to the maps at the end.
//!
//! ```text
//! load ─ begin ─ attach ─ release the child ─ events … ─ detach ─ the rest of the events ─ end ─ maps
//! ```

mod events;
mod helper_errors;
mod misses;
mod options;
mod startup;
mod trials;
mod watch;

use crate::actions::{Actions, Asked};
use crate::attach::{Attached, Attacher, Attachment};
use crate::error::{Error, Result};
use crate::load::{Loaded, load};
use crate::maps::Table;
use crate::output::Output;
use crate::progress::{Progress, Step};
use crate::symbols::Symbols;
use crate::sys::bpf;
use crate::sys::inquiry;
use crate::sys::poll::Wake;
use crate::unwind::Unwinder;
use events::Events;
use fathom_bpf::map::MapRole;
use fathom_bpf::object::{AttachPoint, MissingProbes, Place};
use fathom_bpf::{MapId, Object};
use fathom_machine::Machine;
use fathom_output::Message;
use helper_errors::HelperErrors;
use misses::Misses;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::sync::Arc;
use watch::{News, Watch};

pub use options::{HelperErrorLevel, Options, Outcome, ProgramCost, Target, Trials};

/// Ends a session from another thread.
#[derive(Clone, Debug)]
pub struct Stop {
    wake: Arc<Wake>,
}

impl Stop {
    /// The session detaches, runs `end`, prints its maps and returns.
    pub fn stop(&self) {
        self.wake.set();
    }
}

/// A loaded object. Dropping it, in whatever way the process ends, takes everything out of the kernel.
#[derive(Debug)]
pub struct Session<'m> {
    object: Object,
    loaded: Loaded,
    machine: &'m Machine,
    options: Options,
    stop: Stop,
}

impl<'m> Session<'m> {
    /// Creates the maps and loads the programs.
    pub fn load(object: Object, machine: &'m Machine, options: Options) -> Result<Session<'m>> {
        let loaded = load(&object, &options.progress, options.verifier_logs)?;
        let wake = Arc::new(Wake::new().map_err(Error::Events)?);
        Ok(Session {
            object,
            loaded,
            machine,
            options,
            stop: Stop { wake },
        })
    }

    /// A handle that ends the session.
    pub fn stop_handle(&self) -> Stop {
        self.stop.clone()
    }

    /// Runs to the end.
    pub fn run(mut self, output: &mut Output<'_>) -> Result<Outcome> {
        let possible_cpus = inquiry::possible_cpus().map_err(Error::Events)?;
        let object = &self.object;
        let tables: Vec<Table<'_>> = object
            .maps
            .iter()
            .zip(&self.loaded.maps)
            .map(|(map, fd)| Table::new(fd.as_fd(), map, possible_cpus))
            .collect();
        let symbols = Symbols::new(object, self.machine, &tables);
        let mut run = Run {
            object,
            loaded: &self.loaded,
            machine: self.machine,
            tables: &tables,
            symbols: &symbols,
            actions: Actions::new(
                object,
                &tables,
                &symbols,
                self.options.allow_unsafe,
                self.options.dynamic_types.clone(),
            )?,
            events: Events::new(object, &self.loaded, self.machine)?,
            helper_errors: HelperErrors::new(object, self.options.helper_errors),
            lost: 0,
            misses: Misses::default(),
            attached: Attached::default(),
            exit_code: None,
            output,
            unwinder: Unwinder::new(object, &tables).map_err(Error::Events)?,
            costs: Vec::new(),
        };
        run.all(&mut self.options, &self.stop)
    }
}

/// The parts of a running session.
struct Run<'a, 'o> {
    object: &'a Object,
    loaded: &'a Loaded,
    machine: &'a Machine,
    tables: &'a [Table<'a>],
    symbols: &'a Symbols<'a>,
    actions: Actions<'a>,
    events: Events,
    helper_errors: HelperErrors,
    /// Lost events that were told.
    lost: u64,
    misses: Misses,
    attached: Attached,
    /// Set by `exit()`.
    exit_code: Option<i32>,
    output: &'a mut Output<'o>,
    /// For `dw_ustack`.
    unwinder: Option<Unwinder<'a>>,
    /// What programs cost, at the end.
    costs: Vec<ProgramCost>,
}

impl Run<'_, '_> {
    fn all(&mut self, options: &mut Options, stop: &Stop) -> Result<Outcome> {
        let pid = options.target.pid();
        // Before anything is attached: what comes too early waits in the pipe.
        let mut watch = Watch::new(self.object, options, &stop.wake, &self.events)?;
        if options.trials != Trials::None {
            return self.trials(options.trials);
        }
        self.output.hold();
        let clock = match options.measure_cost {
            true => Some(bpf::enable_run_time_stats().map_err(Error::Events)?),
            false => None,
        };
        if !options.dry_run {
            self.run_by_hand(|place| *place == Place::Begin)?;
        }
        let is_over = self.exit_code.is_some();
        if !is_over {
            // The first events already have stacks that can be walked.
            for pid in options.watched_pids() {
                self.look_at(pid)?;
            }
            if let Some(pid) = pid {
                self.look_at(pid)?;
            }
            self.attach(pid, &options.progress)?;
        }
        options.progress.tell(Step::Running);
        let count = match is_over {
            true => self.object.attach_points.len(),
            false => self.probe_count(),
        };
        self.output.attached(count)?;
        if !is_over && !options.dry_run && self.waits_for_events() {
            if let Target::Child(child) = &mut options.target {
                self.release(child)?;
            }
            self.watch_events(&mut watch)?;
        }
        if clock.is_some() {
            self.costs = self.measured();
        }
        self.finish(options)
    }

    /// What the programs have cost so far.
    fn measured(&self) -> Vec<ProgramCost> {
        let programs = self.loaded.programs.iter().enumerate();
        let costs = programs.filter_map(|(number, program)| {
            let mut points = self.object.attach_points.iter();
            let first = points.find(|point| point.program.0 as usize == number)?;
            let info = bpf::program_info(program.as_fd()).ok()?;
            Some(ProgramCost {
                probe: first.name.clone(),
                runs: info.run_cnt,
                run_time_ns: info.run_time_ns,
            })
        });
        costs.collect()
    }

    /// Whether anything can still happen: not when all is left behind in pins, and not when only `begin` and `end` are there.
    fn waits_for_events(&self) -> bool {
        let can_fire = |point: &AttachPoint| !matches!(point.place, Place::Begin | Place::End);
        self.attached.pins.is_empty() && self.object.attach_points.iter().any(can_fire)
    }

    fn attach(&mut self, pid: Option<u32>, progress: &Progress) -> Result<()> {
        let attacher = Attacher::new(self.object, self.loaded, self.machine, pid);
        self.attached = attacher.attach_all(progress);
        let failures = &self.attached.failures;
        if failures.is_empty() {
            return Ok(());
        }
        match self.object.settings.missing_probes {
            MissingProbes::Ignore => Ok(()),
            MissingProbes::Warn => {
                for failure in failures {
                    self.output.warn(&failure.to_string())?;
                }
                Ok(())
            }
            MissingProbes::Error if self.attached.may_go_on => {
                for failure in failures {
                    self.output.warn(&failure.to_string())?;
                }
                Ok(())
            }
            MissingProbes::Error => {
                progress.tell(Step::Detach(self.attached.attachments.len()));
                self.attached.detach();
                Err(Error::Attach(std::mem::take(&mut self.attached.failures)))
            }
        }
    }

    fn probe_count(&self) -> usize {
        let points = self.object.attach_points.iter();
        let by_hand = points.filter(|point| {
            matches!(
                point.place,
                Place::Begin | Place::End | Place::Signal { .. }
            )
        });
        self.attached.count + by_hand.count()
    }

    /// Runs the programs of some places, showing what each printed before the next starts.
    fn run_by_hand(&mut self, is_wanted: impl Fn(&Place) -> bool) -> Result<()> {
        let object = self.object;
        for point in &object.attach_points {
            if !is_wanted(&point.place) {
                continue;
            }
            let failed = |source| Error::Run {
                name: point.name.clone(),
                source,
            };
            let Some(program) = self.loaded.programs.get(point.program.0 as usize) else {
                return Err(Error::Object(format!("no program for {}", point.name)));
            };
            bpf::program_run(program.as_fd()).map_err(failed)?;
            if self.drain()?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The event loop: returns when the session is to end.
    fn watch_events(&mut self, watch: &mut Watch) -> Result<()> {
        watch.read_iterators(self.attached.take_iterators())?;
        loop {
            for news in watch.wait()? {
                match news {
                    News::Events => {
                        if self.drain()?.is_break() {
                            return Ok(());
                        }
                    }
                    News::Signal(number) => {
                        self.run_by_hand(|place| *place == Place::Signal { number })?
                    }
                    News::LookAtTarget(pid) => self.look_at(pid)?,
                    News::End => return Ok(()),
                }
                if self.output.is_closed() || self.exit_code.is_some() {
                    return Ok(());
                }
            }
            self.tell_losses(Urgency::WhenDue)?;
        }
    }

    /// Sees what a process has mapped now.
    fn look_at(&mut self, pid: u32) -> Result<()> {
        self.symbols.look_at(pid);
        walk(&mut self.unwinder, self.machine, pid, self.output)
    }

    /// Shows the events that are there. Breaks when the session is to end at one of them.
    fn drain(&mut self) -> Result<ControlFlow<()>> {
        let Run {
            events,
            actions,
            output,
            attached,
            exit_code,
            object,
            unwinder,
            machine,
            ..
        } = self;
        let mut failure = None;
        let drained = events.drain(|event| match actions.handle(event, output) {
            Ok(Asked::Nothing) if output.is_closed() => ControlFlow::Break(()),
            Ok(Asked::Nothing) => ControlFlow::Continue(()),
            Ok(Asked::Exit(code)) => {
                *exit_code = Some(code);
                ControlFlow::Break(())
            }
            Ok(Asked::Unwatch(address)) => {
                attached.unwatch(object, address);
                ControlFlow::Continue(())
            }
            Ok(Asked::Walk(pid)) => match walk(unwinder, machine, pid, output) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failure = Some(error);
                    ControlFlow::Break(())
                }
            },
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        });
        output.end_of_batch()?;
        match failure {
            Some(error) => Err(error),
            None if drained.is_stopped => Ok(ControlFlow::Break(())),
            None => Ok(ControlFlow::Continue(())),
        }
    }

    fn finish(&mut self, options: &mut Options) -> Result<Outcome> {
        let count = self.attached.attachments.len();
        options.progress.tell(Step::Detach(count));
        if !options.dry_run {
            self.tell_misses()?;
        }
        self.attached.take_programs_off();
        options.progress.tell(Step::Detached);
        options.target = Target::None;
        if options.dry_run {
            self.output.flush()?;
            self.let_events_go(options);
            return Ok(self.outcome(0));
        }
        let exit_code = match self.exit_code.take() {
            // What came after `exit()` is not shown.
            Some(code) => {
                self.events.discard();
                code
            }
            None => {
                while self.drain()?.is_continue() && self.events.has_more() {}
                self.exit_code.take().unwrap_or(0)
            }
        };
        self.run_by_hand(|place| *place == Place::End)?;
        let exit_code = self.exit_code.unwrap_or(exit_code);
        self.tell_losses(Urgency::Now)?;
        self.print_maps()?;
        self.output.flush()?;
        self.let_events_go(options);
        Ok(self.outcome(exit_code))
    }

    /// Closes what programs were attached to: with many tracepoints slow enough that results come before it.
    fn let_events_go(&mut self, options: &Options) {
        let count = self.attached.attachments.len();
        options.progress.tell(Step::Detach(count));
        self.attached.detach();
        options.progress.tell(Step::Detached);
    }

    fn outcome(&mut self, exit_code: i32) -> Outcome {
        Outcome {
            exit_code,
            lost_events: self.lost,
            missed_hits: self.misses.total(),
            malformed_events: self.actions.malformed,
            failures: std::mem::take(&mut self.attached.failures),
            pins: std::mem::take(&mut self.attached.pins),
            costs: std::mem::take(&mut self.costs),
        }
    }

    fn print_maps(&mut self) -> Result<()> {
        self.output.tell(&Message::End)?;
        if !self.object.settings.print_maps_on_exit {
            return Ok(());
        }
        let maps = self.object.maps.iter().enumerate();
        let mut by_name: Vec<(&str, MapId)> = maps
            .filter_map(|(index, map)| match &map.role {
                MapRole::Script(script) => Some((script.name.as_str(), MapId(index as u32))),
                _ => None,
            })
            .collect();
        by_name.sort();
        for (_, id) in by_name {
            self.actions.print_map_at_end(id, self.output)?;
        }
        Ok(())
    }

    /// Lost events and failed helpers: counted by programs, told from time to time and at the end.
    fn tell_losses(&mut self, urgency: Urgency) -> Result<()> {
        if urgency == Urgency::WhenDue {
            if !self.helper_errors.is_due() {
                return Ok(());
            }
            self.tell_misses()?;
        }
        let lost = self.events.lost(self.tables)?;
        if lost > self.lost {
            self.output.tell(&Message::LostEvents(lost - self.lost))?;
            self.lost = lost;
        }
        self.helper_errors
            .tell(self.object, self.tables, self.output)
    }

    /// Hits of probes at which no program ran: as long as the probes are on.
    fn tell_misses(&mut self) -> Result<()> {
        self.misses
            .tell(self.object, self.loaded, &self.attached, self.output)
    }
}

/// Lets programs walk the stacks of a process, and says where they cannot.
fn walk(
    unwinder: &mut Option<Unwinder<'_>>,
    machine: &Machine,
    pid: u32,
    output: &mut Output<'_>,
) -> Result<()> {
    let Some(unwinder) = unwinder else {
        return Ok(());
    };
    let left_out = unwinder.look_at(machine, pid);
    let left_out = left_out.map_err(|source| Error::Process { pid, source })?;
    left_out.iter().try_for_each(|text| output.warn(text))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Urgency {
    WhenDue,
    Now,
}

impl Attached {
    /// Takes the iterators out, to be read.
    fn take_iterators(&mut self) -> Vec<std::os::fd::OwnedFd> {
        let is_iterator =
            |(_, attachment): &mut (usize, Attachment)| matches!(attachment, Attachment::Iter(_));
        let iterators = self.attachments.extract_if(.., is_iterator);
        iterators
            .filter_map(|(_, attachment)| match attachment {
                Attachment::Iter(reader) => Some(reader),
                _ => None,
            })
            .collect()
    }

    /// Detaches the watchpoints of an address.
    fn unwatch(&mut self, object: &Object, wanted: u64) {
        self.attachments.retain(|(index, _)| {
            let place = object.attach_points.get(*index).map(|point| &point.place);
            !matches!(place, Some(Place::Watchpoint { address, .. }) if *address == wanted)
        });
    }
}
