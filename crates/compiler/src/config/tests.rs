use super::*;
use crate::features::Features;
use expect_test::{Expect, expect};

/// Reads a config block and an environment; shows what differs from the defaults, and what is wrong.
fn check(block: &str, environment: &[(&str, &str)], expected: Expect) {
    let parsed = fathom_syntax::parse(
        &format!("config = {{ {block} }} begin {{}}"),
        &Default::default(),
    );
    assert!(!parsed.has_errors(), "{:?}", parsed.diagnostics);
    let environment = environment
        .iter()
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect();
    let (config, problems) =
        Config::read(parsed.script.config(), &environment, &Features::default());
    let defaults: Vec<_> = Config::default().entries().collect();
    let mut shown: Vec<String> = config
        .entries()
        .filter(|entry| !defaults.contains(entry))
        .map(|(key, value)| format!("{key}: {value:?}"))
        .collect();
    for problem in problems {
        let help: Vec<_> = problem
            .help
            .iter()
            .map(|help| help.message.clone())
            .collect();
        shown.push(format!(
            "{:?}[{}] {}; {}",
            problem.severity,
            problem.code,
            problem.message,
            help.join("; ")
        ));
    }
    expected.assert_eq(&shown.join("\n"));
}

#[test]
fn keys_are_taken_in_each_spelling() {
    check(
        "stack_mode = perf; MAX_STRLEN = 200; BPFTRACE_MAX_MAP_KEYS = 10",
        &[],
        expect![[r#"
            max_map_keys: Int(10)
            max_strlen: Int(200)
            stack_mode: Text("perf")"#]],
    );
}

#[test]
fn values_of_every_kind() {
    check(
        r#"license = "GPL v2"; cpp_demangle = false; str_trunc_trailer = "…"; missing_probes = "warn"; perf_rb_pages = 100"#,
        &[],
        expect![[r#"
            cpp_demangle: Bool(false)
            perf_rb_pages: Int(128)
            str_trunc_trailer: Text("…")
            missing_probes: Text("warn")
            license: Text("GPL v2")"#]],
    );
}

#[test]
fn environment_beats_the_block() {
    check(
        "max_strlen = 200; print_maps_on_exit = true",
        &[
            ("BPFTRACE_MAX_STRLEN", "64"),
            ("BPFTRACE_PRINT_MAPS_ON_EXIT", "0"),
            ("BPFTRACE_COLOR", "never"),
            ("HOME", "/"),
        ],
        expect![[r#"
            print_maps_on_exit: Bool(false)
            max_strlen: Int(64)"#]],
    );
}

#[test]
fn mistakes_are_named() {
    check(
        "max_strln = 4; max_probes = 0; stack_mode = fancy; symbol_source = dwarf; btf = x; on_stack_limit = \"much\"",
        &[("BPFTRACE_MAX_PROBES", "many")],
        expect![[r#"
            Error[unknown-config] there is no setting `max_strln`; did you mean `max_strlen`?
            Error[bad-config-value] `max_probes` takes a number from 1 to 2^30, not 0; 
            Error[bad-config-value] `stack_mode` takes bpftrace, perf, raw or build_id, not `fancy`; 
            Warning[deprecated-config] the setting `symbol_source` has no effect any more; leave it out
            Error[unknown-config] there is no setting `btf`; set it in the environment: BPFTRACE_BTF=…
            Error[bad-config-value] `on_stack_limit` takes a number, not "much"; 
            Error[bad-config-value] environment variable BPFTRACE_MAX_PROBES=many: `max_probes` takes a number from 1 to 2^30, not `many`; "#]],
    );
}
