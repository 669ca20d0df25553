//! The kinds of probes: one row each.

use fathom_syntax::ast::AttachPattern;

use super::expand::{Expander, Failure, Found, Mode, Request};
use super::providers::{
    event, iterator, kprobe, network, own, rawtracepoint, timer, tracepoint, trampoline, uprobe,
    usdt, watchpoint,
};

/// A kind of probe.
pub(super) struct Provider {
    pub(super) name: &'static str,
    /// Short and old names.
    pub(super) aliases: &'static [&'static str],
    /// How it is written, for messages.
    pub(super) usage: &'static str,
    /// Whether a pattern for the provider finds it too.
    pub(super) in_wildcards: bool,
    pub(super) expand: ExpandFn,
}

/// Turns a pattern into concrete places: at least one, or a failure.
pub(super) type ExpandFn = fn(&mut Expander<'_>, &Request<'_>) -> Result<Vec<Found>, Failure>;

macro_rules! providers {
    ($($name:literal [$($alias:literal),*] $wild:literal $expand:path, $usage:literal;)*) => {
        static PROVIDERS: &[Provider] = &[$(Provider {
            name: $name,
            aliases: &[$($alias),*],
            usage: $usage,
            in_wildcards: $wild,
            expand: $expand,
        }),*];
    };
}

providers! {
    "begin" [] false own::begin, "`begin`";
    "end" [] false own::end, "`end`";
    "self" [] false own::signal, "`self:signal:SIGUSR1`";
    "test" [] false own::test, "`test:NAME`";
    "bench" [] false own::bench, "`bench:NAME`";
    "interval" ["i"] false timer::interval, "`interval:1s`, `interval:ms:100` or `interval:hz:10`";
    "profile" ["p"] false timer::profile, "`profile:hz:99`, `profile:ms:10` or `profile:10ms`";
    "software" ["s"] true event::software, "`software:EVENT:` or `software:EVENT:COUNT`";
    "hardware" ["h"] true event::hardware, "`hardware:EVENT:` or `hardware:EVENT:COUNT`";
    "tracepoint" ["t"] true tracepoint::expand, "`tracepoint:SUBSYSTEM:EVENT`";
    "rawtracepoint" ["rt"] true rawtracepoint::expand, "`rawtracepoint:EVENT` or `rawtracepoint:MODULE:EVENT`";
    "uprobe" ["u"] true uprobe::entry, "`uprobe:BINARY:FUNCTION`, with `+OFFSET` if wanted, or `uprobe:BINARY@FILE:LINE`";
    "uretprobe" ["ur"] true uprobe::result, "`uretprobe:BINARY:FUNCTION`";
    "usdt" ["U"] true usdt::expand, "`usdt:BINARY:PROBE` or `usdt:BINARY:PROVIDER:PROBE`";
    "kprobe" ["k"] true kprobe::entry, "`kprobe:FUNCTION` or `kprobe:MODULE:FUNCTION`, with `+OFFSET` if wanted";
    "kretprobe" ["kr"] true kprobe::result, "`kretprobe:FUNCTION` or `kretprobe:MODULE:FUNCTION`";
    "fentry" ["f", "kfunc"] true trampoline::entry, "`fentry:FUNCTION`, `fentry:MODULE:FUNCTION` or `fentry:bpf:PROGRAM`";
    "fexit" ["fr", "kretfunc"] true trampoline::result, "`fexit:FUNCTION`, `fexit:MODULE:FUNCTION` or `fexit:bpf:PROGRAM`";
    "iter" ["it"] false iterator::expand, "`iter:NAME` or `iter:NAME:PIN`";
    "watchpoint" ["w"] false watchpoint::expand, "`watchpoint:ADDRESS:LENGTH:MODE`";
    "xdp" [] false network::xdp, "`xdp:DEVICE`";
    "tc" [] false network::tc, "`tc:DEVICE:ingress` or `tc:DEVICE:egress`";
}

/// Providers that are gone, and what to do instead.
const GONE: [(&str, &str); 5] = [
    (
        "asyncwatchpoint",
        "use `watchpoint:ADDRESS:LENGTH:MODE` with -p or -c",
    ),
    ("aw", "use `watchpoint:ADDRESS:LENGTH:MODE` with -p or -c"),
    (
        "lsm",
        "use `fentry` on the hook's function, such as `fentry:security_file_open`",
    ),
    ("syscall", "use `tracepoint:syscalls:sys_enter_NAME`"),
    ("dtrace", "use `usdt:BINARY:PROBE`"),
];

/// All kinds, in the order in which they are listed.
pub(super) fn all() -> impl Iterator<Item = &'static Provider> {
    PROVIDERS.iter()
}

/// Names and aliases of all kinds.
pub fn names() -> impl Iterator<Item = &'static str> {
    PROVIDERS.iter().map(|provider| provider.name)
}

/// A kind by name: as written, else whatever its case (`BEGIN`). `U` is not `u`.
pub(super) fn find(name: &str) -> Option<&'static Provider> {
    let exact = PROVIDERS
        .iter()
        .find(|provider| provider.name == name || provider.aliases.contains(&name));
    exact.or_else(|| {
        let lower = name.to_ascii_lowercase();
        PROVIDERS
            .iter()
            .find(|provider| provider.name == lower || provider.aliases.contains(&lower.as_str()))
    })
}

/// The full name of the kind of a pattern, if it names one.
pub fn provider_name(pattern: &AttachPattern) -> Option<&'static str> {
    find(&pattern.provider.text).map(|provider| provider.name)
}

/// What to do instead of using a provider that is gone.
pub(super) fn replacement(name: &str) -> Option<&'static str> {
    GONE.iter()
        .find(|(gone, _)| *gone == name)
        .map(|(_, instead)| *instead)
}

impl Provider {
    /// `test` and `bench` probes run alone, and only when asked for.
    pub(super) fn runs_in(&self, mode: Mode) -> bool {
        match mode {
            Mode::Trace => self.name != "test" && self.name != "bench",
            Mode::Test => self.name == "test",
            Mode::Bench => self.name == "bench",
        }
    }
}
