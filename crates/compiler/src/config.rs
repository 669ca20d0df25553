//! The settings of a script: the `config` block, and the environment, which beats it.
//!
//! A setting is one row in [`SETTINGS`] and one field of [`Config`].

use std::collections::BTreeMap;
use std::fmt;

use crate::features::Features;
use fathom_bpf::layout::StackMode;
use fathom_bpf::object::{MissingProbes, Settings};
use fathom_syntax::ast::{self, ConfigValue};
use fathom_syntax::{Diagnostic, Span, suggest};

/// What a script may set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `cache_user_symbols`
    pub cache_user_symbols: SymbolCache,
    /// `cpp_demangle`
    pub cpp_demangle: bool,
    /// `lazy_symbolication`
    pub lazy_symbolication: bool,
    /// `license`
    pub license: String,
    /// `log_size`: bytes for the verifier's log.
    pub log_size: u64,
    /// `max_bpf_progs`
    pub max_bpf_programs: u64,
    /// `max_cat_bytes`
    pub max_cat_bytes: u64,
    /// `max_map_keys`
    pub max_map_keys: u64,
    /// `max_probes`
    pub max_probes: u64,
    /// `max_strlen`: bytes of a string, the NUL included.
    pub max_strlen: u64,
    /// `missing_probes`
    pub missing_probes: MissingProbes,
    /// `on_stack_limit`: larger values go to a map instead of the stack.
    pub on_stack_limit: u64,
    /// `perf_rb_pages`: pages of the ring buffer; `None` is a size that suits the machine's memory.
    pub ring_buffer_pages: Option<u64>,
    /// `print_maps_on_exit`
    pub print_maps_on_exit: bool,
    /// `show_debug_info`, `use_blazesym`: source lines and inlined functions in stacks.
    pub show_debug_info: bool,
    /// `stack_mode`
    pub stack_mode: StackMode,
    /// `str_trunc_trailer`
    pub str_trunc_trailer: String,
    /// `unstable_tseries`
    pub unstable_tseries: Unstable,
    /// `unstable_dw_ustack`
    pub unstable_dw_ustack: Unstable,
    /// `unstable_typeinfo`
    pub unstable_typeinfo: Unstable,
    /// `unstable_import_statement`
    pub unstable_import_statement: Unstable,
}

/// How long symbols of user programs are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SymbolCache {
    /// For each binary, as far as address space randomization lets it.
    PerProgram,
    /// For each process.
    PerPid,
    /// Not at all.
    None,
}

/// What use of an unstable part of the language leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unstable {
    /// An error that says which setting allows it.
    Error,
    /// A warning.
    Warn,
    /// Nothing.
    Enable,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            cache_user_symbols: SymbolCache::PerProgram,
            cpp_demangle: true,
            lazy_symbolication: true,
            license: "GPL".to_string(),
            log_size: 1_000_000,
            max_bpf_programs: 1024,
            max_cat_bytes: 10240,
            max_map_keys: 4096,
            max_probes: 1024,
            max_strlen: 1024,
            missing_probes: MissingProbes::Error,
            on_stack_limit: 32,
            ring_buffer_pages: None,
            print_maps_on_exit: true,
            show_debug_info: true,
            stack_mode: StackMode::Bpftrace,
            str_trunc_trailer: "..".to_string(),
            unstable_tseries: Unstable::Warn,
            unstable_dw_ustack: Unstable::Warn,
            unstable_typeinfo: Unstable::Error,
            unstable_import_statement: Unstable::Error,
        }
    }
}

/// Default of `max_strlen` where keys may have 512 bytes only: two strings fit.
const MAX_STRLEN_OF_OLD_KERNELS: u64 = 256;
/// Environment variables of this prefix are settings.
const PREFIX: &str = "BPFTRACE_";
/// Keys that did something once.
const DEPRECATED: [&str; 6] = [
    "symbol_source",
    "max_type_res_iterations",
    "unstable_addr",
    "unstable_import",
    "unstable_macro",
    "unstable_map_decl",
];
/// Variables of that prefix that are read elsewhere.
const ENVIRONMENT_ONLY: [&str; 6] = [
    "btf",
    "kernel_source",
    "kernel_build",
    "vmlinux",
    "color",
    "dummy_ts_map",
];

/// One setting.
struct Setting {
    key: &'static str,
    /// What it takes, for messages.
    takes: &'static str,
    set: fn(&mut Config, &Given) -> Option<()>,
    get: fn(&Config) -> Shown,
}

/// A setting's value as the `config` builtin shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// A truth value.
    Bool(bool),
    /// A number.
    Int(u64),
    /// Text or a word.
    Text(String),
}

macro_rules! settings {
    ($($key:literal $field:ident : $kind:ident;)*) => {
        const SETTINGS: &[Setting] = &[$(Setting {
            key: $key,
            takes: $kind::TAKES,
            set: |config, given| {
                config.$field = $kind::read(given)?;
                Some(())
            },
            get: |config| $kind::show(&config.$field),
        }),*];
    };
}

// In the order in which `config` shows them.
settings! {
    "cpp_demangle" cpp_demangle: Flag;
    "lazy_symbolication" lazy_symbolication: Flag;
    "print_maps_on_exit" print_maps_on_exit: Flag;
    "use_blazesym" show_debug_info: Flag;
    "show_debug_info" show_debug_info: Flag;
    "log_size" log_size: Size;
    "max_bpf_progs" max_bpf_programs: Size;
    "max_cat_bytes" max_cat_bytes: Size;
    "max_map_keys" max_map_keys: Size;
    "max_probes" max_probes: Size;
    "max_strlen" max_strlen: Size;
    "on_stack_limit" on_stack_limit: Number;
    "perf_rb_pages" ring_buffer_pages: Pages;
    "str_trunc_trailer" str_trunc_trailer: Text;
    "unstable_import_statement" unstable_import_statement: UnstableWord;
    "unstable_tseries" unstable_tseries: UnstableWord;
    "unstable_typeinfo" unstable_typeinfo: UnstableWord;
    "unstable_dw_ustack" unstable_dw_ustack: UnstableWord;
    "missing_probes" missing_probes: MissingWord;
    "stack_mode" stack_mode: ModeWord;
    "license" license: License;
    "cache_user_symbols" cache_user_symbols: CacheWord;
}

impl Config {
    /// Settings of a script's block and of the environment, with what is wrong with them.
    pub fn read(
        block: Option<&ast::Config>,
        environment: &BTreeMap<String, String>,
        features: &Features,
    ) -> (Config, Vec<Diagnostic>) {
        let mut config = Config::of_kernel(features);
        let mut problems = Vec::new();
        for entry in block.map_or(&[][..], |block| &block.entries) {
            let given = Given::of(&entry.value);
            if let Some(given) = given {
                config.set(
                    &entry.key.text,
                    &given,
                    (entry.key.span, entry.value_span),
                    &mut problems,
                );
            }
        }
        let nowhere = block.map_or_else(Span::default, |block| block.span.before());
        for (name, value) in environment {
            let Some(key) = name.strip_prefix(PREFIX) else {
                continue;
            };
            if ENVIRONMENT_ONLY.contains(&key.to_ascii_lowercase().as_str()) {
                continue;
            }
            config.set_from_environment(name, value, nowhere, &mut problems);
        }
        (config, problems)
    }

    /// What holds without any setting. A string of the usual size would be too long a key for older kernels.
    fn of_kernel(features: &Features) -> Config {
        let mut config = Config::default();
        if !features.long_keys {
            config.max_strlen = MAX_STRLEN_OF_OLD_KERNELS;
        }
        config
    }

    /// A value of the environment that is wrong is no fault of the script: it is named as what it is.
    fn set_from_environment(
        &mut self,
        name: &str,
        value: &str,
        place: Span,
        problems: &mut Vec<Diagnostic>,
    ) {
        let mut found = Vec::new();
        self.set(
            name,
            &Given::Text(value.to_string()),
            (place, place),
            &mut found,
        );
        for mut problem in found {
            problem.message = format!("environment variable {name}={value}: {}", problem.message);
            problem.label.clear();
            problem.help.retain(|help| help.edit.is_none());
            problems.push(problem);
        }
    }

    fn set(
        &mut self,
        written: &str,
        given: &Given,
        places: (Span, Span),
        problems: &mut Vec<Diagnostic>,
    ) {
        let (key_place, value_place) = places;
        let lower = written.to_ascii_lowercase();
        let key = lower.strip_prefix("bpftrace_").unwrap_or(&lower);
        if DEPRECATED.contains(&key) {
            let message = format!("the setting `{key}` has no effect any more");
            problems.push(
                Diagnostic::warning("deprecated-config", key_place, message).help("leave it out"),
            );
            return;
        }
        let Some(setting) = SETTINGS.iter().find(|setting| setting.key == key) else {
            problems.push(unknown_key(key, key_place));
            return;
        };
        if (setting.set)(self, given).is_none() {
            let message = format!("`{key}` takes {}, not {given}", setting.takes);
            problems.push(
                Diagnostic::error("bad-config-value", value_place, message)
                    .label(format!("not {}", setting.takes)),
            );
        }
    }

    /// Settings by name, as the `config` builtin shows them: how symbols are kept is not among them.
    pub fn entries(&self) -> impl Iterator<Item = (&'static str, Shown)> + '_ {
        SETTINGS
            .iter()
            .filter(|setting| setting.key != "cache_user_symbols")
            .map(|setting| (setting.key, (setting.get)(self)))
    }

    /// What the running side needs of it.
    pub fn settings(&self) -> Settings {
        Settings {
            print_maps_on_exit: self.print_maps_on_exit,
            string_trailer: self.str_trunc_trailer.clone(),
            max_cat_bytes: self.max_cat_bytes,
            missing_probes: self.missing_probes,
            demangle: self.cpp_demangle,
            show_debug_info: self.show_debug_info,
            ..Settings::default()
        }
    }
}

fn unknown_key(key: &str, place: Span) -> Diagnostic {
    let problem = Diagnostic::error(
        "unknown-config",
        place,
        format!("there is no setting `{key}`"),
    )
    .label("not a setting");
    if ENVIRONMENT_ONLY.contains(&key) {
        return problem.help(format!(
            "set it in the environment: {PREFIX}{}=…",
            key.to_ascii_uppercase()
        ));
    }
    match suggest(key, SETTINGS.iter().map(|setting| setting.key)) {
        Some(best) => problem.fix(format!("did you mean `{best}`?"), place, best),
        None => {
            let all: Vec<&str> = SETTINGS.iter().map(|setting| setting.key).collect();
            problem.note(format!("settings: {}", all.join(", ")))
        }
    }
}

/// A value as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Given {
    Int(u64),
    Bool(bool),
    Word(String),
    Quoted(String),
    /// Of the environment: of any type.
    Text(String),
}

impl Given {
    /// `None` for a value that could not be read, which was reported.
    fn of(value: &ConfigValue) -> Option<Given> {
        Some(match value {
            ConfigValue::Int(value) => Given::Int(*value),
            ConfigValue::Str(text) => Given::Quoted(text.to_text().into_owned()),
            ConfigValue::Bool(value) => Given::Bool(*value),
            ConfigValue::Word(word) => Given::Word(word.clone()),
            ConfigValue::Error => return None,
        })
    }

    fn int(&self) -> Option<u64> {
        match self {
            Given::Int(value) => Some(*value),
            Given::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// A word, whatever its quotes and case.
    fn word(&self) -> Option<String> {
        match self {
            Given::Word(text) | Given::Quoted(text) | Given::Text(text) => {
                Some(text.trim().to_ascii_lowercase())
            }
            _ => None,
        }
    }
}

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Given::Int(value) => write!(f, "{value}"),
            Given::Bool(value) => write!(f, "{value}"),
            Given::Word(text) | Given::Text(text) => write!(f, "`{text}`"),
            Given::Quoted(text) => write!(f, "{text:?}"),
        }
    }
}

/// How values of one kind are read and shown.
trait ValueKind {
    type Value;
    const TAKES: &'static str;
    fn read(given: &Given) -> Option<Self::Value>;
    fn show(value: &Self::Value) -> Shown;
}

struct Flag;

impl ValueKind for Flag {
    type Value = bool;
    const TAKES: &'static str = "true or false";

    fn read(given: &Given) -> Option<bool> {
        match given {
            Given::Bool(value) => Some(*value),
            Given::Int(value @ (0 | 1)) => Some(*value == 1),
            other => match other.word()?.as_str() {
                "1" | "true" => Some(true),
                "0" | "false" => Some(false),
                _ => None,
            },
        }
    }

    fn show(value: &bool) -> Shown {
        Shown::Bool(*value)
    }
}

struct Number;

impl ValueKind for Number {
    type Value = u64;
    const TAKES: &'static str = "a number";

    fn read(given: &Given) -> Option<u64> {
        given.int()
    }

    fn show(value: &u64) -> Shown {
        Shown::Int(*value)
    }
}

/// Largest size that is taken: larger ones are mistakes, and would overflow what is computed from them.
const MAX_SIZE: u64 = 1 << 30;

struct Size;

impl ValueKind for Size {
    type Value = u64;
    const TAKES: &'static str = "a number from 1 to 2^30";

    fn read(given: &Given) -> Option<u64> {
        given.int().filter(|value| (1..=MAX_SIZE).contains(value))
    }

    fn show(value: &u64) -> Shown {
        Shown::Int(*value)
    }
}

struct Pages;

impl ValueKind for Pages {
    type Value = Option<u64>;
    const TAKES: &'static str = "a number of pages from 1 to 2^20";

    fn read(given: &Given) -> Option<Option<u64>> {
        // The kernel wants a power of two.
        given
            .int()
            .filter(|pages| (1..=1 << 20).contains(pages))
            .map(|pages| Some(pages.next_power_of_two()))
    }

    fn show(value: &Option<u64>) -> Shown {
        Shown::Int(value.unwrap_or(0))
    }
}

struct Text;

impl ValueKind for Text {
    type Value = String;
    const TAKES: &'static str = "a string";

    fn read(given: &Given) -> Option<String> {
        match given {
            Given::Quoted(text) | Given::Text(text) | Given::Word(text) => Some(text.clone()),
            _ => None,
        }
    }

    fn show(value: &String) -> Shown {
        Shown::Text(value.clone())
    }
}

struct License;

/// Licenses that the kernel takes for compatible with its own.
const LICENSES: [&str; 6] = [
    "GPL",
    "GPL v2",
    "GPL and additional rights",
    "Dual BSD/GPL",
    "Dual MIT/GPL",
    "Dual MPL/GPL",
];

impl ValueKind for License {
    type Value = String;
    const TAKES: &'static str =
        "GPL, GPL v2, GPL and additional rights, Dual BSD/GPL, Dual MIT/GPL or Dual MPL/GPL";

    fn read(given: &Given) -> Option<String> {
        let text = Text::read(given)?;
        LICENSES.contains(&text.as_str()).then_some(text)
    }

    fn show(value: &String) -> Shown {
        Shown::Text(value.clone())
    }
}

macro_rules! words {
    ($kind:ident -> $value:ty, $takes:literal: $($word:literal = $variant:expr,)*) => {
        struct $kind;

        impl ValueKind for $kind {
            type Value = $value;
            const TAKES: &'static str = $takes;

            fn read(given: &Given) -> Option<$value> {
                let word = given.word()?;
                [$(($word, $variant)),*].into_iter().find(|(known, _)| *known == word).map(|(_, value)| value)
            }

            fn show(value: &$value) -> Shown {
                let known = [$(($word, $variant)),*].into_iter().find(|(_, known)| known == value);
                Shown::Text(known.map_or_else(String::new, |(word, _)| word.to_string()))
            }
        }
    };
}

words! { CacheWord -> SymbolCache, "PER_PROGRAM, PER_PID or NONE":
    "per_program" = SymbolCache::PerProgram,
    "per_pid" = SymbolCache::PerPid,
    "none" = SymbolCache::None,
    "1" = SymbolCache::PerProgram,
    "0" = SymbolCache::None,
}

words! { MissingWord -> MissingProbes, "error, warn or ignore":
    "error" = MissingProbes::Error,
    "warn" = MissingProbes::Warn,
    "ignore" = MissingProbes::Ignore,
}

words! { ModeWord -> StackMode, "bpftrace, perf, raw or build_id":
    "bpftrace" = StackMode::Bpftrace,
    "perf" = StackMode::Perf,
    "raw" = StackMode::Raw,
    "build_id" = StackMode::BuildId,
}

words! { UnstableWord -> Unstable, "enable, warn or error":
    "enable" = Unstable::Enable,
    "warn" = Unstable::Warn,
    "error" = Unstable::Error,
    "1" = Unstable::Enable,
    "true" = Unstable::Enable,
    "0" = Unstable::Error,
    "false" = Unstable::Error,
}

#[cfg(test)]
mod tests;
