//! Maps and programs of an object → the kernel.

mod verifier;

pub use verifier::LoadError;

use crate::error::{Error, Result};
use crate::permission::missing_right;
use crate::progress::{Progress, Step};
use crate::sys::bpf::{self, IdKind, LoadTarget, MapSpec, ProgramBtf, ProgramSpec};
use crate::sys::inquiry;
use crate::sys::time::{Clock, now_ns};
use fathom_bpf::btf_writer::ObjectBtf;
use fathom_bpf::insn::PseudoImm;
use fathom_bpf::link::link;
use fathom_bpf::map::MapRole;
use fathom_bpf::object::{BtfTarget, RelocationKind};
use fathom_bpf::{Map, MapKind, Object, Program, ProgramKind};
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// `BPF_OBJ_NAME_LEN` without the NUL.
const NAME_LIMIT: usize = 15;
/// Size of the verifier's log that is asked for first, and at most.
const LOG_SIZES: [usize; 2] = [1 << 20, 16 << 20];

/// An object's parts in the kernel; they go with this value.
#[derive(Debug)]
pub struct Loaded {
    /// Indexed by [`fathom_bpf::MapId`].
    pub maps: Vec<OwnedFd>,
    /// Indexed by [`fathom_bpf::ProgramId`].
    pub programs: Vec<OwnedFd>,
}

/// Creates maps and loads programs; `with_logs` asks for the verifier's log of each.
pub fn load(object: &Object, progress: &Progress, with_logs: bool) -> Result<Loaded> {
    bpf::silence_libbpf();
    let maps: Vec<OwnedFd> = object.maps.iter().map(create_map).collect::<Result<_>>()?;
    let loader = Loader {
        maps: &maps,
        btf: LoadedBtf::new(object),
        license: CString::new(object.license.as_str())
            .map_err(|_| Error::Object("a NUL byte in the license".into()))?,
        progress,
        with_logs,
    };
    let total = object.programs.len();
    let mut programs = Vec::with_capacity(total);
    for (done, program) in object.programs.iter().enumerate() {
        progress.tell(Step::Load {
            program: &program.name,
            done,
            total,
        });
        programs.push(loader.program(program, done)?);
    }
    Ok(Loaded { maps, programs })
}

fn create_map(map: &Map) -> Result<OwnedFd> {
    let max_entries = match (map.kind, map.max_entries) {
        (MapKind::PerfEventArray, 0) => inquiry::possible_cpus().map_err(Error::Events)? as u32,
        (_, entries) => entries,
    };
    let created = bpf::map_create(&MapSpec {
        name: &kernel_name(&map.name),
        kind: map.kind.kernel_type(),
        key_size: map.key_size,
        value_size: map.value_size,
        max_entries,
        flags: map.flags,
    });
    let failed = |source: io::Error| Error::CreateMap {
        name: map.name.clone(),
        reason: map_reason(map, &source),
        source,
    };
    let fd = created.map_err(failed)?;
    if let MapRole::ReadOnly(bytes) = &map.role {
        if bytes.len() != map.value_size as usize {
            return Err(Error::Object(format!(
                "map {} has {} bytes of content",
                map.name,
                bytes.len()
            )));
        }
        bpf::map_update(fd.as_fd(), &0u32.to_ne_bytes(), bytes).map_err(failed)?;
        bpf::map_freeze(fd.as_fd()).map_err(failed)?;
    }
    if map.role == MapRole::StartTime {
        let now = now_ns(Clock::Boot).to_ne_bytes();
        bpf::map_update(fd.as_fd(), &0u32.to_ne_bytes(), &now).map_err(failed)?;
    }
    Ok(fd)
}

/// Bytes of a key that old kernels take.
const OLD_MAX_KEY: u32 = 512;

fn map_reason(map: &Map, error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EPERM) => missing_right().unwrap_or_else(|| {
            "not permitted; on kernels before 5.11 `ulimit -l` may be too small".into()
        }),
        Some(libc::ENOMEM) => "not enough memory for that many entries".into(),
        Some(libc::E2BIG) if map.key_size > OLD_MAX_KEY => format!(
            "its keys of {} bytes are too long, for kernels before 5.11 take {OLD_MAX_KEY}; make strings in them shorter, as in str(x, 128), or set max_strlen",
            map.key_size
        ),
        Some(libc::E2BIG) => format!(
            "{} entries with keys of {} and values of {} bytes are more than the kernel allows",
            map.max_entries, map.key_size, map.value_size
        ),
        Some(libc::EINVAL) if map.kind == MapKind::RingBuf => {
            "this kernel has no ring buffer (Linux 5.8 brings it), or its size is not a power of two".into()
        }
        Some(libc::EINVAL) => "the kernel does not know this kind of map or does not accept its sizes".into(),
        _ => "the kernel refused".into(),
    }
}

/// Names reach the kernel cut and with letters, digits, `_` and `.` only.
pub(crate) fn kernel_name(name: &str) -> CString {
    let clean = name.bytes().take(NAME_LIMIT).map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' => byte,
        _ => b'_',
    });
    CString::new(clean.collect::<Vec<u8>>()).unwrap_or_default()
}

/// Functions and lines of all programs, so that the verifier and bpftool name them. Kernels without BTF do without; only
/// callbacks need it there.
struct LoadedBtf {
    fd: OwnedFd,
    /// By program: `func_info` and `line_info` as bytes.
    programs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl LoadedBtf {
    fn new(object: &Object) -> Option<LoadedBtf> {
        let btf = ObjectBtf::new(object);
        let fd = bpf::btf_load(&btf.btf).ok()?;
        let programs = btf.programs.iter().map(|program| {
            let functions = program.func_info.as_flattened().iter();
            let lines = program.line_info.as_flattened().iter();
            let bytes = |words: std::slice::Iter<'_, u32>| {
                words.flat_map(|word| word.to_ne_bytes()).collect()
            };
            (bytes(functions), bytes(lines))
        });
        Some(LoadedBtf {
            fd,
            programs: programs.collect(),
        })
    }

    fn program(&self, index: usize) -> Option<ProgramBtf<'_>> {
        let (functions, lines) = self.programs.get(index)?;
        Some(ProgramBtf {
            fd: self.fd.as_fd(),
            functions,
            lines,
        })
    }
}

struct Loader<'a> {
    maps: &'a [OwnedFd],
    btf: Option<LoadedBtf>,
    license: CString,
    progress: &'a Progress,
    with_logs: bool,
}

impl Loader<'_> {
    fn program(&self, program: &Program, index: usize) -> Result<OwnedFd> {
        let insns = self.linked(program)?;
        let target =
            Target::find(&program.kind).map_err(|source| self.failure(program, &source, ""))?;
        let (kind, attach_type) = kernel_type(&program.kind);
        let spec = ProgramSpec {
            name: &kernel_name(&program.name),
            kind,
            attach_type,
            license: &self.license,
            insns: &insns,
            flags: if program.sleepable {
                libbpf_sys::BPF_F_SLEEPABLE
            } else {
                0
            },
            btf: self.btf.as_ref().and_then(|btf| btf.program(index)),
            attach_btf_id: target.btf_id,
            target: target.load_target(),
        };
        if self.with_logs {
            self.tell_log(program, &spec);
        }
        match bpf::program_load(&spec, None) {
            Ok(fd) => Ok(fd),
            Err(error) => Err(self.explain(program, &spec, &error)),
        }
    }

    /// Loads for the log alone; a refusal is explained by the load that follows.
    fn tell_log(&self, program: &Program, spec: &ProgramSpec<'_>) {
        for size in LOG_SIZES {
            let mut log = vec![0; size];
            if bpf::program_load(spec, Some(&mut log)).is_ok() {
                return self.progress.tell(Step::Verified {
                    program: &program.name,
                    log: &text_of(&log),
                });
            }
        }
    }

    /// Loads once more, with the verifier's log.
    fn explain(&self, program: &Program, spec: &ProgramSpec<'_>, first: &io::Error) -> Error {
        let mut log = Vec::new();
        for size in LOG_SIZES {
            log = vec![0; size];
            match bpf::program_load(spec, Some(&mut log)) {
                // The first refusal must have been for want of memory or time.
                Ok(_) => return self.failure(program, first, ""),
                // Cut: newer kernels then keep the end of the log, which has the judgement.
                Err(again) if again.raw_os_error() == Some(libc::ENOSPC) => {}
                Err(again) => return self.failure(program, &again, &text_of(&log)),
            }
        }
        self.failure(program, first, &text_of(&log))
    }

    fn failure(&self, program: &Program, error: &io::Error, log: &str) -> Error {
        Box::new(LoadError::new(program, error, log)).into()
    }

    /// Encoded instructions with the numbers that only the kernel knows.
    fn linked(&self, program: &Program) -> Result<Vec<u8>> {
        let known = program
            .relocations
            .iter()
            .all(|relocation| match relocation.kind {
                RelocationKind::Map(map) | RelocationKind::MapValue { map, .. } => {
                    (map.0 as usize) < self.maps.len()
                }
                RelocationKind::FunctionAddress(_) | RelocationKind::FunctionCall(_) => true,
            });
        if !known {
            return Err(Error::Object(format!(
                "program {} names a map that is not there",
                program.name
            )));
        }
        let insns = link(program, |map, offset| {
            let fd = self.maps[map.0 as usize].as_raw_fd();
            match offset {
                None => PseudoImm::MapFd(fd),
                Some(offset) => PseudoImm::MapValue { fd, offset },
            }
        });
        let insns =
            insns.map_err(|error| Error::Object(format!("program {}: {error}", program.name)))?;
        Ok(fathom_bpf::insn::to_bytes(&insns))
    }
}

fn text_of(log: &[u8]) -> String {
    let text = CStr::from_bytes_until_nul(log).unwrap_or_default();
    text.to_string_lossy().into_owned()
}

/// `enum bpf_prog_type` and `enum bpf_attach_type`.
fn kernel_type(kind: &ProgramKind) -> (u32, u32) {
    use libbpf_sys as raw;
    match kind {
        ProgramKind::TestRun | ProgramKind::RawTracepoint => (raw::BPF_PROG_TYPE_RAW_TRACEPOINT, 0),
        ProgramKind::Tracepoint => (raw::BPF_PROG_TYPE_TRACEPOINT, 0),
        ProgramKind::TracepointBtf(_) => (raw::BPF_PROG_TYPE_TRACING, raw::BPF_TRACE_RAW_TP),
        ProgramKind::Kprobe => (raw::BPF_PROG_TYPE_KPROBE, 0),
        ProgramKind::KprobeMulti => (raw::BPF_PROG_TYPE_KPROBE, raw::BPF_TRACE_KPROBE_MULTI),
        ProgramKind::KprobeSession => (raw::BPF_PROG_TYPE_KPROBE, raw::BPF_TRACE_KPROBE_SESSION),
        ProgramKind::UprobeMulti => (raw::BPF_PROG_TYPE_KPROBE, raw::BPF_TRACE_UPROBE_MULTI),
        ProgramKind::UprobeSession => (raw::BPF_PROG_TYPE_KPROBE, raw::BPF_TRACE_UPROBE_SESSION),
        ProgramKind::PerfEvent => (raw::BPF_PROG_TYPE_PERF_EVENT, 0),
        ProgramKind::Fentry(_) => (raw::BPF_PROG_TYPE_TRACING, raw::BPF_TRACE_FENTRY),
        ProgramKind::Fexit(_) => (raw::BPF_PROG_TYPE_TRACING, raw::BPF_TRACE_FEXIT),
        ProgramKind::Iter(_) => (raw::BPF_PROG_TYPE_TRACING, raw::BPF_TRACE_ITER),
        ProgramKind::Xdp => (raw::BPF_PROG_TYPE_XDP, raw::BPF_XDP),
        ProgramKind::SchedCls => (raw::BPF_PROG_TYPE_SCHED_CLS, 0),
    }
}

/// What a program is bound to when it is loaded.
struct Target {
    btf_id: u32,
    module: Option<OwnedFd>,
    program: Option<OwnedFd>,
}

impl Target {
    fn find(kind: &ProgramKind) -> io::Result<Target> {
        let (ProgramKind::TracepointBtf(target)
        | ProgramKind::Fentry(target)
        | ProgramKind::Fexit(target)
        | ProgramKind::Iter(target)) = kind
        else {
            return Ok(Target {
                btf_id: 0,
                module: None,
                program: None,
            });
        };
        match target {
            BtfTarget::Kernel {
                module: None,
                btf_id,
                ..
            } => Ok(Target {
                btf_id: *btf_id,
                module: None,
                program: None,
            }),
            BtfTarget::Kernel {
                module: Some(module),
                btf_id,
                ..
            } => Ok(Target {
                btf_id: *btf_id,
                module: Some(module_btf(module)?),
                program: None,
            }),
            BtfTarget::Bpf { name, program_id } => loaded_program(name, *program_id),
        }
    }

    fn load_target(&self) -> LoadTarget<'_> {
        match (&self.module, &self.program) {
            (Some(module), _) => LoadTarget::Module(module.as_fd()),
            (_, Some(program)) => LoadTarget::Program(program.as_fd()),
            _ => LoadTarget::Kernel,
        }
    }
}

fn module_btf(module: &str) -> io::Result<OwnedFd> {
    let mut id = 0;
    while let Some(next) = bpf::next_id(IdKind::Btf, id)? {
        id = next;
        // It may be gone since.
        let Ok(fd) = bpf::fd_by_id(IdKind::Btf, id) else {
            continue;
        };
        if bpf::kernel_btf_name(fd.as_fd())?.as_deref() == Some(module) {
            return Ok(fd);
        }
    }
    Err(io::Error::from_raw_os_error(libc::ENOENT))
}

/// A loaded program that has a function of that name, the one with that number if one is given.
fn loaded_program(name: &str, program_id: Option<u32>) -> io::Result<Target> {
    let function = CString::new(name).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let look_at = |id: u32| -> io::Result<Target> {
        let program = bpf::fd_by_id(IdKind::Program, id)?;
        let btf = bpf::program_info(program.as_fd())?.btf_id;
        let btf_id = bpf::btf_function(btf, &function)?;
        Ok(Target {
            btf_id,
            module: None,
            program: Some(program),
        })
    };
    if let Some(id) = program_id {
        return look_at(id);
    }
    let mut id = 0;
    while let Some(next) = bpf::next_id(IdKind::Program, id)? {
        id = next;
        if let Ok(target) = look_at(id) {
            return Ok(target);
        }
    }
    Err(io::Error::from_raw_os_error(libc::ENOENT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_and_cleaned() {
        let cases = [
            ("@count", "_count"),
            ("", ""),
            ("a_very_long_map_name", "a_very_long_map"),
            ("é", "__"),
        ];
        for (name, expected) in cases {
            assert_eq!(kernel_name(name).to_str(), Ok(expected), "{name}");
        }
    }
}
