//! Plots as bpftrace 0.27.1 drew them for the same values.

use crate::map::{MapEntry, MapOptions, MapSnapshot, MapView};
use crate::resolve::NullResolver;
use crate::value_text::TextStyle;
use crate::{DecodeContext, map_json, map_text};
use fathom_bpf::Layout;
use fathom_bpf::layout::SeriesAggregation;
use fathom_bpf::map::{ScriptMap, Storage};

const DAY_NS: u64 = 86_400_000_000_000;

/// The cell of a CPU: what is in it, how many values it is of, and how long after the day's start the newest came.
type Cell = (i64, u64, u64);
const EMPTY: Cell = (0, 0, 0);

fn layout(interval_ns: u64, aggregation: SeriesAggregation) -> Layout {
    Layout::TimeSeries {
        interval_ns,
        buckets: 20,
        aggregation,
        signed: true,
    }
}

/// A map with the cells of its CPUs, one interval after the other.
fn view(layout: Layout, intervals: &[&[Cell]]) -> MapView {
    let bytes = |&(value, count, time_ns): &Cell| {
        let time_ns = if count > 0 { DAY_NS + time_ns } else { 0 };
        let words = [value as u64, count, time_ns];
        words.iter().flat_map(|word| word.to_ne_bytes()).collect()
    };
    let entries = intervals
        .iter()
        .enumerate()
        .map(|(bucket, cells)| MapEntry {
            key: (bucket as u32).to_ne_bytes().to_vec(),
            values: cells.iter().map(bytes).collect(),
        });
    let snapshot = MapSnapshot {
        entries: entries.collect(),
    };
    let map = ScriptMap {
        name: "@".to_owned(),
        key: None,
        value: layout,
        storage: Storage::BucketArray,
    };
    let context = DecodeContext::new(&NullResolver);
    MapView::new(&snapshot, &map, MapOptions::default(), &context).expect("cells are whole")
}

#[track_caller]
fn check(layout: Layout, intervals: &[&[Cell]], plot: &str) {
    let mut out = Vec::new();
    map_text::write_map(&view(layout, intervals), &TextStyle::default(), &mut out);
    assert_eq!(String::from_utf8_lossy(&out), plot);
}

/// Milliseconds.
fn ms(number: u64) -> u64 {
    number * 1_000_000
}

#[test]
fn values_are_marked_between_the_smallest_and_the_largest() {
    let values = [7, 1, 8, 2, 12];
    let cells: Vec<[Cell; 1]> = (values.iter().zip(0..))
        .map(|(value, at)| [(*value, 1, ms(100 * at + 3))])
        .collect();
    let cells: Vec<&[Cell]> = cells.iter().map(|cell| &cell[..]).collect();
    check(
        layout(ms(100), SeriesAggregation::None),
        &cells,
        "@:
             1                                                  12
hh:mm:ss.ms  |___________________________________________________|
00:00:00.000 |                           *                       | 7
00:00:00.100 *                                                   | 1
00:00:00.200 |                                *                  | 8
00:00:00.300 |   *                                               | 2
00:00:00.400 |                                                   * 12
             v___________________________________________________v
             1                                                  12

",
    );
}

#[test]
fn columns_are_those_of_single_precision_and_gaps_are_shown() {
    check(
        layout(ms(100), SeriesAggregation::Sum),
        &[
            &[(1_000_000_000, 1, ms(0))],
            &[(2_000_000_000, 1, ms(100))],
            &[(7_000_000_000, 1, ms(300))],
        ],
        "@:
             1000000000                                 7000000000
hh:mm:ss.ms  |___________________________________________________|
00:00:00.000 *                                                   | 1000000000
00:00:00.100 |       *                                           | 2000000000
00:00:00.200 |                                                   | -
00:00:00.300 |                                                  *| 7000000000
             v___________________________________________________v
             1000000000                                 7000000000

",
    );
}

#[test]
fn the_margin_is_counted_in_bytes() {
    check(
        layout(500_000, SeriesAggregation::None),
        &[&[(8, 1, 0)], &[(17, 1, 500_000)]],
        "@:
                8                                                  17
hh:mm:ss.μs    |___________________________________________________|
00:00:00.000000 *                                                   | 8
00:00:00.000500 |                                                   * 17
                v___________________________________________________v
                8                                                  17

",
    );
}

#[test]
fn a_single_value_has_room_on_both_sides_and_all_digits() {
    check(
        layout(ms(1000), SeriesAggregation::None),
        &[&[(-5, 1, ms(2500))]],
        "@:
                   -6                                                 -4
hh:mm:ss.ns        |___________________________________________________|
00:00:02.000000000 |                         *                         | -5
                   v___________________________________________________v
                   -6                                                 -4

",
    );
}

/// Two CPUs in one interval; on the second one lies an older interval in the same place of the ring.
#[test]
fn cells_of_all_cpus_are_joined_by_interval() {
    for (aggregation, value) in [
        (SeriesAggregation::None, 5),
        (SeriesAggregation::Min, 5),
        (SeriesAggregation::Max, 9),
        (SeriesAggregation::Sum, 14),
        (SeriesAggregation::Avg, 4),
    ] {
        let cells: &[&[Cell]] = &[
            &[(9, 2, ms(30_100)), (5, 1, ms(30_900)), EMPTY],
            &[EMPTY, (100, 1, ms(1000)), EMPTY],
        ];
        let mut out = Vec::new();
        let view = view(layout(ms(1000), aggregation), cells);
        map_json::write_map(&view, &TextStyle::default(), &mut out);
        let wanted = format!(
            "{{\"type\": \"tseries\", \"data\": {{\"@\": [{{\"interval_start\":\"1970-01-02 00:00:30.000000000\",\"value\":{value}}}]}}}}\n"
        );
        assert_eq!(String::from_utf8_lossy(&out), wanted, "{aggregation:?}");
    }
}
