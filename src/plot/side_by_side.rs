//! Several replays in one table: a row for each figure, a column for each file.

use crate::measure::ReplayResult;
use crate::measure::replay::Latency;
use crate::trace::{Op, Tier};
use crate::units;

use super::html::{paragraph, table};
use super::report::Replayed;
use super::sections::time;

/// The table; empty for fewer than two.
pub fn table_of(replays: &[Replayed]) -> String {
    if replays.len() < 2 {
        return String::new();
    }
    let mut head = vec![""];
    head.extend(replays.iter().map(|replayed| replayed.file));
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut row = |name: &str, value: &dyn Fn(&ReplayResult) -> String| {
        let cells = replays.iter().map(|replayed| value(replayed.replay));
        rows.push(std::iter::once(name.to_owned()).chain(cells).collect());
    };
    row("bound by", &|r| r.verdict.bound.clone());
    row("valid", &|r| if r.valid && r.complete { "yes".to_owned() } else { "NO".to_owned() });
    row("trace", &|r| format!("{} ({}…)", r.trace.file, r.trace.sha256.get(..8).unwrap_or("")));
    row("pacing", &|r| r.timing.pacing.clone());
    row("rows", &|r| units::count(r.totals.ops));
    row("wall time", &|r| units::ns(r.totals.wall_s * 1e9));
    row("storage read", &|r| rate(r.storage_gb_per_s().map(|rates| rates.0)));
    row("storage written", &|r| rate(r.storage_gb_per_s().map(|rates| rates.1)));
    row("processor time for 1e9 B", &|r| {
        r.cpu.s_per_gb.map_or("-".to_owned(), |s| format!("{} s", units::three_digits(s)))
    });
    for (op, word) in [(Op::Read, "reads"), (Op::Write, "writes")] {
        for (name, q) in [("P50", 0.5), ("P99", 0.99)] {
            row(&format!("storage {word}, service {name}"), &|r| time(storage(r, op, q)));
        }
    }
    row("requests, end to end P99", &|r| time(r.requests.as_ref().and_then(|all| all.end_to_end.carried(0.99))));
    row("wrong reads", &|r| units::count(r.verify.failure_count));
    let out = table(&head, 1, &rows);
    let same = |of: fn(&ReplayResult) -> &String| replays.iter().all(|r| of(r.replay) == of(replays[0].replay));
    let load = match same(|r| &r.trace.sha256) && same(|r| &r.timing.pacing) {
        true => "",
        false => "Their loads DIFFER (trace or pacing): these columns cannot be ranked. ",
    };
    out + &paragraph(&format!(
        "{load}Whether differences are more than noise, `kvtrace analyze compare --base … --new …` tells."
    ))
}

fn rate(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |value| format!("{} GB/s", units::three_digits(value)))
}

/// The quantile over all phases.
fn storage(replay: &ReplayResult, op: Op, q: f64) -> Option<f64> {
    let mut rows =
        replay.latency.iter().filter(|l: &&Latency| l.tier == Tier::Storage && l.op == op && l.service.count > 0);
    let mut all = rows.next()?.service.clone();
    rows.for_each(|latency| all.merge(&latency.service));
    all.carried(q)
}
