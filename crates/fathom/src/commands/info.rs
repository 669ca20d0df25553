//! `fathom info`: what this kernel and this user can do, and what is missing for what.

use std::fmt::Write;

use fathom_machine::Machine;
use fathom_machine::tracefs::Origin;
use fathom_runtime::{Feature, FeatureSet, missing_right};
use serde_json::{Value, json};

/// Flags of `fathom info`.
#[derive(clap::Args)]
#[command(
    after_help = "Without the right to load programs the kernel's abilities cannot be tried: they are `unknown` then.

Examples:
  sudo fathom info
  sudo fathom info -o json"
)]
pub struct Args {
    /// Output format: text or json
    #[arg(short = 'o', long = "output", value_name = "FORMAT", default_value = "text", value_parser = ["text", "json"], hide_possible_values = true, hide_default_value = true)]
    format: String,
}

/// What was found out.
struct Report {
    kernel: String,
    right: Option<String>,
    sources: Vec<Source>,
    /// `None` when the kernel cannot be asked.
    features: Option<FeatureSet>,
}

/// Something that is read.
struct Source {
    name: &'static str,
    is_there: bool,
    /// Where, or why not and what is missing without it.
    note: String,
}

/// Kinds of probes and what each needs.
const PROBES: [(&str, &[Feature]); 9] = [
    ("begin, end, self", &[Feature::TestRun]),
    ("tracepoint", &[]),
    ("rawtracepoint", &[Feature::TracepointBtf]),
    ("uprobe, uretprobe, usdt", &[Feature::Uprobe]),
    ("interval, profile, software", &[]),
    ("kprobe, kretprobe", &[Feature::Kprobe]),
    ("fentry, fexit", &[Feature::Trampoline]),
    ("iter", &[Feature::Iterator]),
    ("xdp, tc", &[]),
];

/// Probes each feature of the kernel.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let report = Report::new(&fathom::this_machine());
    let text = match args.format.as_str() {
        "json" => format!("{:#}\n", report.json()),
        _ => report.text(),
    };
    super::print(text.as_bytes())
}

/// Rows of `bpftrace --info`.
type Rows = [(&'static str, Feature)];

const HELPERS: &Rows = &[
    ("loop", Feature::BpfLoop),
    ("for_each_map_elem", Feature::ForEachMapElem),
    ("get_tai_ns", Feature::KtimeTai),
    ("get_attach_cookie", Feature::AttachCookie),
];
const KINDS: &Rows = &[
    ("kprobe", Feature::Kprobe),
    ("kprobe_multi", Feature::KprobeMulti),
    ("kprobe_session", Feature::KprobeSession),
    ("uprobe", Feature::Uprobe),
    ("uprobe_multi", Feature::UprobeMulti),
    ("fentry", Feature::Trampoline),
    ("iter", Feature::Iterator),
];

/// `bpftrace --info`: the same under the headings that bpftrace has.
pub fn bpftrace(version: &str) -> anyhow::Result<u8> {
    let report = Report::new(&fathom::this_machine());
    let own = env!("CARGO_PKG_VERSION");
    let mut sources = report.sources.iter();
    let btf = sources.any(|source| source.name == "BTF" && source.is_there);
    let section = |rows: &Rows| -> String {
        rows.iter()
            .map(|(name, feature)| format!("  {name}: {}\n", report.answer(*feature)))
            .collect()
    };
    let text = format!(
        "System\n  OS: Linux {}\n  Arch: x86_64\n\nBuild\n  version: {version} (fathom v{own})\n  LLVM: none, own compiler\n\n\
         Kernel helpers\n{}\nKernel features\n  btf: {}\n\nProbe types\n{}\n",
        report.kernel,
        section(HELPERS),
        yes_or_no(btf),
        section(KINDS)
    );
    super::print(text.as_bytes())
}

impl Report {
    fn new(machine: &Machine) -> Report {
        let right = missing_right();
        let may_load = right.is_none();
        Report {
            kernel: machine.kernel_release().unwrap_or_else(|| "unknown".into()),
            sources: sources(machine),
            features: may_load.then(|| FeatureSet::probe(Feature::ALL, machine)),
            right,
        }
    }

    fn answer(&self, feature: Feature) -> &'static str {
        match &self.features {
            Some(found) => yes_or_no(found.has(feature)),
            None => "unknown",
        }
    }

    /// What stands in the way of a kind of probe.
    fn obstacle(&self, needs: &[Feature]) -> Option<String> {
        let found = self.features.as_ref()?;
        let lacking = needs.iter().find(|feature| !found.has(**feature))?;
        let since = lacking.since();
        Some(format!(
            "no {} (Linux {since} brings it, where it is configured)",
            lacking.description()
        ))
    }

    fn text(&self) -> String {
        let mut text = format!("kernel    {}\n", self.kernel);
        let right = self
            .right
            .as_deref()
            .unwrap_or("may load programs and trace");
        let _ = writeln!(text, "user      {right}");
        for source in &self.sources {
            let answer = if source.is_there { "" } else { "missing: " };
            let _ = writeln!(text, "{:<9} {answer}{}", source.name, source.note);
        }
        text += "\nprobes\n";
        for (kinds, needs) in PROBES {
            let answer = match (&self.right, self.obstacle(needs)) {
                (Some(_), _) => "needs root, or CAP_BPF and CAP_PERFMON".to_owned(),
                (None, Some(obstacle)) => obstacle,
                (None, None) => "yes".to_owned(),
            };
            let _ = writeln!(text, "  {kinds:<28} {answer}");
        }
        text += "\nkernel features                                since\n";
        for feature in Feature::ALL {
            let _ = writeln!(
                text,
                "  {:<8} {:<35} {}",
                self.answer(*feature),
                feature.description(),
                feature.since()
            );
        }
        text
    }

    fn json(&self) -> Value {
        let sources = self.sources.iter().map(|source| {
            let entry = json!({"available": source.is_there, "note": source.note});
            (source.name.to_ascii_lowercase(), entry)
        });
        let probes = PROBES.iter().flat_map(|(kinds, needs)| {
            let is_there = self
                .features
                .is_some()
                .then(|| self.obstacle(needs).is_none());
            let obstacle = self.obstacle(needs);
            let entry = json!({"available": is_there, "obstacle": obstacle});
            kinds
                .split(", ")
                .map(move |kind| (kind.to_owned(), entry.clone()))
        });
        let features = Feature::ALL.iter().map(|feature| {
            let is_there = self.features.as_ref().map(|found| found.has(*feature));
            json!({"name": feature.description(), "available": is_there, "since": feature.since()})
        });
        json!({
            "fathom": env!("CARGO_PKG_VERSION"),
            "kernel": self.kernel,
            "user": {"may_trace": self.right.is_none(), "obstacle": self.right},
            "sources": sources.collect::<serde_json::Map<_, _>>(),
            "probes": probes.collect::<serde_json::Map<_, _>>(),
            "features": features.collect::<Vec<_>>(),
        })
    }
}

fn yes_or_no(is_so: bool) -> &'static str {
    if is_so { "yes" } else { "no" }
}

fn sources(machine: &Machine) -> Vec<Source> {
    let source = |name, found: fathom_machine::Result<String>, needed_for: &str| match found {
        Ok(note) => Source {
            name,
            is_there: true,
            note,
        },
        Err(problem) => Source {
            name,
            is_there: false,
            note: format!("{problem} (needed for {needed_for})"),
        },
    };
    let btf = machine.btf().map(|_| {
        let modules = machine.btf_modules().map_or(0, |modules| modules.len());
        format!("/sys/kernel/btf/vmlinux and {modules} modules")
    });
    let tracefs = machine.tracefs().and_then(|tracefs| {
        let count = tracefs.events()?.len();
        Ok(match tracefs.origin() {
            Origin::Mounted => format!("{count} events in {}", tracefs.folder().display()),
            Origin::Private => format!("{count} events, mounted for this process alone"),
        })
    });
    let kallsyms = machine.kallsyms().map(|symbols| {
        let count = symbols.iter().count();
        format!("{count} symbols in /proc/kallsyms")
    });
    vec![
        source(
            "BTF",
            btf,
            "types of the kernel, rawtracepoint, fentry, iter",
        ),
        source("tracefs", tracefs, "tracepoint"),
        source("symbols", kallsyms, "kprobe, kernel stacks, ksym, kaddr"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(features: Option<FeatureSet>) -> Report {
        Report {
            kernel: "6.1".into(),
            right: features.is_none().then(|| "tracing needs root".into()),
            sources: vec![Source {
                name: "BTF",
                is_there: false,
                note: "no BTF".into(),
            }],
            features,
        }
    }

    #[test]
    fn what_is_missing_is_said_for_each_kind() {
        let all: FeatureSet = Feature::ALL.iter().copied().collect();
        let report = report(Some(all.without(Feature::Trampoline)));
        let text = report.text();
        assert!(
            text.contains("fentry, fexit                no fentry and fexit (Linux 5.5"),
            "{text}"
        );
        assert!(text.contains("kprobe, kretprobe            yes"), "{text}");
        assert!(text.contains("BTF       missing: no BTF"), "{text}");
        let json = report.json();
        assert_eq!(json["probes"]["fexit"]["available"], false);
        assert_eq!(json["probes"]["kprobe"]["available"], true);
        assert_eq!(json["sources"]["btf"]["available"], false);
    }

    #[test]
    fn nothing_is_claimed_that_could_not_be_tried() {
        let report = report(None);
        assert!(
            report.text().contains("unknown  ring buffer maps"),
            "{}",
            report.text()
        );
        let json = report.json();
        assert!(json["probes"]["kprobe"]["available"].is_null());
        assert_eq!(json["user"]["may_trace"], false);
    }
}
