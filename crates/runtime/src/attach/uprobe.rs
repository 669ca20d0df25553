//! Places in files: one by a perf event, many by a uprobe.multi link.

use super::failure::{ENOTSUPP, Refusal};
use super::multi::{Bisected, FATAL, bisect};
use super::perf::put_program;
use super::{Attacher, Attachment, Outcome};
use crate::sys::bpf::{self, LinkDetail, c_path};
use crate::sys::perf::{self, Attributes, Scope};
use fathom_bpf::ProgramKind;
use fathom_bpf::object::{AttachPoint, Place, UprobeSite};
use fathom_machine::tracefs::ProbePmu;
use libbpf_sys::{BPF_TRACE_UPROBE_MULTI, BPF_TRACE_UPROBE_SESSION};
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// uprobe, uretprobe, usdt.
pub(super) fn one(
    attacher: &Attacher<'_>,
    program: BorrowedFd<'_>,
    point: &AttachPoint,
) -> Result<Outcome, Refusal> {
    let Place::Uprobe {
        path,
        site,
        on_return,
        pid,
    } = &point.place
    else {
        unreachable!("attach: {:?} is no uprobe", point.place);
    };
    let pmu = attacher.machine.probe_pmu("uprobe").map_err(|_| {
        match attacher.machine.path("/sys/bus/event_source").exists() {
            true => Refusal::new(
                "this kernel has no uprobes (CONFIG_UPROBES is off, or Linux is older than 4.17)",
            ),
            false => Refusal::with_hint(
                "/sys is not mounted, and only there the number of the uprobe PMU is told",
                "mount it with `mount -t sysfs nodev /sys`",
            ),
        }
    })?;
    let attributes = Attributes {
        kind: pmu.kind,
        config: u64::from(*on_return) << pmu.retprobe_bit | semaphore_bits(site, &pmu)?,
        config2: site.offset,
        sample_period: 1,
        wakeup: 1,
        ..Attributes::default()
    };
    let scope = match pid {
        Some(pid) => Scope::Thread(*pid),
        None => Scope::Cpu(attacher.any_cpu()),
    };
    let path = c_path(Path::new(path))?;
    let event = perf::open_named(&attributes, &path, scope).map_err(refusal)?;
    Ok(Outcome::one(
        put_program(event, program, point.cookie).map_err(refusal)?,
    ))
}

fn semaphore_bits(site: &UprobeSite, pmu: &ProbePmu) -> Result<u64, Refusal> {
    match (site.semaphore, pmu.ref_ctr_shift) {
        (0, _) => Ok(0),
        (_, None) => Err(Refusal::new(
            "this kernel cannot switch USDT probes on (Linux 4.20 brings it)",
        )),
        (offset, Some(shift)) => match u32::try_from(offset) {
            Ok(offset) => Ok(u64::from(offset) << shift),
            Err(_) => Err(Refusal::new("its semaphore lies beyond 4 GiB of the file")),
        },
    }
}

fn refusal(error: io::Error) -> Refusal {
    match error.raw_os_error() {
        Some(ENOTSUPP | libc::EOPNOTSUPP) => Refusal::with_hint(
            "its first instruction cannot be probed (a lock prefix, or one that the kernel does not know)",
            "probe a few bytes further: `function+offset`",
        ),
        Some(libc::ENOENT) => Refusal::new("the file does not exist"),
        // Also: the kernel keeps one semaphore for each place.
        Some(libc::EINVAL) => Refusal::new(
            "there is no instruction at that offset of the file, or it is probed already with another semaphore",
        ),
        Some(libc::EIO) => Refusal::new("the offset is beyond the end of the file"),
        _ => error.into(),
    }
}

/// uprobe.multi and uprobe.session.
pub(super) fn many(
    program: BorrowedFd<'_>,
    kind: &ProgramKind,
    place: &Place,
) -> Result<Outcome, Refusal> {
    let Place::UprobeMulti {
        path,
        sites,
        cookies,
        on_return,
        pid,
    } = place
    else {
        unreachable!("attach: {place:?} is no uprobe.multi");
    };
    let link = MultiLink {
        program,
        attach_type: match kind {
            ProgramKind::UprobeSession => BPF_TRACE_UPROBE_SESSION,
            _ => BPF_TRACE_UPROBE_MULTI,
        },
        path: c_path(Path::new(path))?,
        on_return: *on_return,
        pid: *pid,
    };
    let mut columns = Columns::of(sites, cookies);
    // ESRCH is about the process.
    let fatal: Vec<i32> = FATAL.into_iter().chain([libc::ESRCH]).collect();
    let split = columns.put_suspects_last(Path::new(path));
    let mut result =
        bisect(0..split, &fatal, |range| link.create(&columns, range)).map_err(refusal)?;
    let suspects = bisect(split..sites.len(), &fatal, |range| {
        link.create(&columns, range)
    })
    .map_err(refusal)?;
    add(&mut result, suspects);
    let mut bad: Vec<(u32, io::Error)> = result
        .bad
        .into_iter()
        .map(|(row, error)| (columns.site[row], error))
        .collect();
    bad.sort_by_key(|(site, _)| *site);
    let failures = bad
        .into_iter()
        .map(|(site, error)| (sites[site as usize].name.clone(), refusal(error)));
    Ok(Outcome {
        attachments: result.links.into_iter().map(Attachment::Link).collect(),
        count: result.count,
        failures: failures.collect(),
        pin: None,
    })
}

fn add(all: &mut Bisected, more: Bisected) {
    all.links.extend(more.links);
    all.count += more.count;
    all.bad.extend(more.bad);
}

struct MultiLink<'a> {
    program: BorrowedFd<'a>,
    attach_type: u32,
    path: CString,
    on_return: bool,
    pid: Option<u32>,
}

impl MultiLink<'_> {
    fn create(
        &self,
        columns: &Columns,
        range: std::ops::Range<usize>,
    ) -> io::Result<std::os::fd::OwnedFd> {
        let detail = LinkDetail::UprobeMulti {
            path: &self.path,
            offsets: &columns.offsets[range.clone()],
            semaphores: columns.semaphores.get(range.clone()).unwrap_or_default(),
            cookies: columns.cookies.get(range).unwrap_or_default(),
            on_return: self.on_return,
            pid: self.pid,
        };
        bpf::link_create(self.program, 0, self.attach_type, &detail)
    }
}

/// The sites as the kernel wants them: one array for each property.
struct Columns {
    /// Row → index of the site.
    site: Vec<u32>,
    offsets: Vec<u64>,
    /// Empty when no site has one.
    semaphores: Vec<u64>,
    /// Empty when the program does not ask.
    cookies: Vec<u64>,
}

impl Columns {
    fn of(sites: &[UprobeSite], cookies: &[u64]) -> Columns {
        let has_semaphores = sites.iter().any(|site| site.semaphore != 0);
        Columns {
            site: (0..sites.len() as u32).collect(),
            offsets: sites.iter().map(|site| site.offset).collect(),
            semaphores: match has_semaphores {
                true => sites.iter().map(|site| site.semaphore).collect(),
                false => Vec::new(),
            },
            cookies: if cookies.len() == sites.len() {
                cookies.to_vec()
            } else {
                Vec::new()
            },
        }
    }

    /// Reorders so that sites which the kernel will hardly take come last: how many come before them.
    ///
    /// A link of thousands that fails at its last site costs as much as one that holds; the suspects are few.
    fn put_suspects_last(&mut self, path: &Path) -> usize {
        let Ok(file) = File::open(path) else {
            return self.offsets.len();
        };
        let is_suspect: Vec<bool> = self
            .offsets
            .iter()
            .map(|offset| is_suspect(&file, *offset))
            .collect();
        let good = is_suspect.iter().filter(|suspect| !**suspect).count();
        if good == is_suspect.len() {
            return good;
        }
        let mut order: Vec<usize> = (0..is_suspect.len()).collect();
        order.sort_by_key(|row| is_suspect[*row]);
        let reorder = |column: &mut Vec<u64>| {
            if !column.is_empty() {
                *column = order.iter().map(|row| column[*row]).collect();
            }
        };
        reorder(&mut self.offsets);
        reorder(&mut self.semaphores);
        reorder(&mut self.cookies);
        self.site = order.iter().map(|row| *row as u32).collect();
        good
    }
}

/// Whether the instruction there begins with a prefix that x86 uprobes refuse: `lock` or a segment (`is_prefix_bad` in
/// arch/x86/kernel/uprobes.c). Only a guess; the kernel has the last word.
fn is_suspect(file: &File, offset: u64) -> bool {
    let mut bytes = [0u8; 4];
    let Ok(count) = file.read_at(&mut bytes, offset) else {
        return true;
    };
    let prefixes = bytes[..count]
        .iter()
        .take_while(|byte| is_legacy_prefix(**byte));
    count == 0
        || (cfg!(target_arch = "x86_64")
            && prefixes.into_iter().any(|byte| is_refused_prefix(*byte)))
}

fn is_legacy_prefix(byte: u8) -> bool {
    matches!(byte, 0x66 | 0x67 | 0xf2 | 0xf3 | 0x64 | 0x65) || is_refused_prefix(byte)
}

fn is_refused_prefix(byte: u8) -> bool {
    matches!(byte, 0xf0 | 0x26 | 0x2e | 0x36 | 0x3e)
}
