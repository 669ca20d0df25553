//! `--cost`: what the probes cost the program that is watched.

use fathom_output::{Align, Table, TableStyle};
use fathom_runtime::ProgramCost;

/// Says it: as a table on standard error, or as one object a program on standard output.
pub fn tell(costs: &[ProgramCost], is_json: bool) {
    if is_json {
        for cost in costs {
            let told = serde_json::json!({
                "type": "cost",
                "probe": cost.probe,
                "runs": cost.runs,
                "run_time_ns": cost.run_time_ns,
            });
            println!("{told}");
        }
        return;
    }
    let columns = [
        ("RUNS", Align::Right),
        ("NS A RUN", Align::Right),
        ("TOTAL US", Align::Right),
        ("PROBE", Align::Left),
    ];
    let mut table = Table::new(&columns);
    for cost in costs {
        let average = cost.run_time_ns.checked_div(cost.runs);
        table.row([
            cost.runs.to_string(),
            average.map_or_else(|| "-".to_owned(), |average| average.to_string()),
            (cost.run_time_ns / 1000).to_string(),
            cost.probe.clone(),
        ]);
    }
    eprint!(
        "{}",
        table.render(TableStyle {
            width: None,
            has_color: false
        })
    );
    eprintln!("in the programs; the kernel's way to them and back comes on top, see docs/calls.md");
}
