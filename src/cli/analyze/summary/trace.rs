//! The summary of traces, as CSV and as a table.

use std::fmt::Write as _;

use crate::analyze::summary::{Amplification, Arrivals, Flow, InputFacts, Summary};
use crate::units;

/// The groups, a line each.
pub fn csv(summary: &Summary) -> Vec<u8> {
    let mut text = "tier,op,phase,count,bytes,min_bytes,mean_bytes,max_bytes\n".to_owned();
    for g in &summary.by {
        let (tier, op, phase) = (g.tier, g.op, g.phase);
        let (count, bytes, min, mean, max) = (g.count, g.bytes, g.min_bytes, g.mean_bytes, g.max_bytes);
        let _ = writeln!(text, "{tier},{op},{phase},{count},{bytes},{min},{mean},{max}");
    }
    text.into_bytes()
}

/// The summary for people, within 80 columns.
pub fn table(summary: &Summary) -> String {
    let mut text = String::new();
    for input in &summary.inputs {
        let model = input.model.as_deref().map_or(String::new(), |model| format!(", {model}"));
        let span = input.span_s.map_or(String::new(), |span| format!(" over {}", units::ns(span * 1e9)));
        let parts = if input.parts > 1 { format!(" ({} files)", units::count(input.parts)) } else { String::new() };
        let _ = writeln!(text, "{}{parts}: {} rows{span}{model}", input.file, units::count(input.rows));
    }
    push_names(&mut text, summary);
    push_groups(&mut text, summary);
    let _ = writeln!(
        text,
        "\n{:<6}  {:>12}  {:>12}  {:>12}  {:>14}",
        "tier", "read", "written", "read:write", "offered GB/s"
    );
    for tier in &summary.tiers {
        push_flow(&mut text, tier.tier.word(), &tier.flow);
    }
    push_flow(&mut text, "all", &summary.total);
    push_amplification(&mut text, &summary.amplification);
    for input in &summary.inputs {
        if summary.inputs.len() > 1 && input.burstiness.is_some() {
            let _ = writeln!(text, "\n{}", input.file);
        }
        push_input(&mut text, input);
    }
    text
}

fn push_names(text: &mut String, summary: &Summary) {
    let mut who = Vec::new();
    if let Some(keys) = summary.keys {
        let about = summary.keys_error.map_or(String::new(), |e| format!(" (estimated, +-{:.1} %)", e * 100.0));
        who.push(format!("{} keys{about}", units::count(keys)));
    }
    for (count, name) in [(summary.conversations, "conversations"), (summary.requests, "requests")] {
        who.extend(count.map(|count| format!("{} {name}", units::count(count))));
    }
    if !who.is_empty() {
        let _ = writeln!(text, "{}", who.join(", "));
    }
    text.push('\n');
}

fn push_groups(text: &mut String, summary: &Summary) {
    let _ = writeln!(
        text,
        "{:<6}  {:<6}  {:<7}  {:>10}  {:>10}  {:>8}  {:>8}  {:>8}",
        "tier", "op", "phase", "rows", "bytes", "min", "mean", "max"
    );
    for g in &summary.by {
        let _ = writeln!(
            text,
            "{:<6}  {:<6}  {:<7}  {:>10}  {:>10}  {:>8}  {:>8}  {:>8}",
            g.tier.word(),
            g.op.word(),
            g.phase.word(),
            units::count(g.count),
            units::bytes(g.bytes),
            units::bytes(g.min_bytes),
            units::bytes(g.mean_bytes.round() as u64),
            units::bytes(g.max_bytes)
        );
    }
}

fn push_flow(text: &mut String, name: &str, flow: &Flow) {
    let ratio = flow.read_write_ratio.map_or("-".to_owned(), |ratio| format!("{} : 1", units::three_digits(ratio)));
    let offered = flow.offered_gb_per_s.map_or("-".to_owned(), units::three_digits);
    let (read, written) = (units::bytes(flow.read_bytes), units::bytes(flow.write_bytes));
    let _ = writeln!(text, "{name:<6}  {read:>12}  {written:>12}  {ratio:>12}  {offered:>14}");
}

fn push_amplification(text: &mut String, of: &Amplification) {
    let times = |value: Option<f64>| value.map_or("-".to_owned(), units::three_digits);
    if of.new_bytes == 0 {
        return;
    }
    let _ = writeln!(text, "\nfor each of {} new bytes", units::bytes(of.new_bytes));
    for (name, all, storage) in [
        ("written", of.written, Some(of.written_to_storage)),
        ("read", of.read, Some(of.read_from_storage)),
        ("evicted", of.evicted, None),
    ] {
        let storage = storage.map_or(String::new(), |storage| format!(", storage {}", times(storage)));
        let _ = writeln!(text, "  {name:<8}  {}{storage}", times(all));
    }
}

fn push_input(text: &mut String, input: &InputFacts) {
    for sizes in input.sizes.iter().flatten().filter(|sizes| sizes.count > 0) {
        let at = |q: f64| sizes.quantile(q).map_or("-".to_owned(), |bytes| units::bytes(bytes as u64));
        let op = sizes.op.as_deref().unwrap_or_default();
        let _ = writeln!(text, "size of a {op:<5}  p50 {}, p90 {}, p99 {}", at(0.5), at(0.9), at(0.99));
    }
    if let Some(turns) = &input.turns {
        let mean = units::three_digits(turns.mean);
        let _ = writeln!(text, "conversations   {mean} turns in the mean, {} at most", units::count(turns.max.into()));
    }
    if let Some(peak) = input.peak_second_gb {
        let _ = writeln!(text, "busiest second  {} GB", units::three_digits(peak));
    }
    push_arrivals(text, input.burstiness.as_deref().unwrap_or_default());
    let Some(occupancy) = input.occupancy.as_ref().filter(|tiers| !tiers.is_empty()) else { return };
    let _ =
        writeln!(text, "\n{:<6}  {:>12}  {:>12}  {:>12}  {:>10}", "tier", "peak", "at the end", "objects", "demoted");
    for tier in occupancy {
        let _ = writeln!(
            text,
            "{:<6}  {:>12}  {:>12}  {:>12}  {:>10}",
            tier.tier.word(),
            units::bytes(tier.peak_bytes),
            units::bytes(tier.end_bytes),
            units::count(tier.end_objects),
            units::count(tier.demoted)
        );
    }
    if !input.deletes {
        text.push_str("no row deletes anything: what is in the last tier is an upper bound\n");
    }
}

/// The index of dispersion by length of the window, a line for each thing that comes.
pub fn push_arrivals(text: &mut String, arrivals: &[Arrivals]) {
    for of in arrivals.iter().filter(|of| !of.windows.is_empty()) {
        let one = |window: &crate::analyze::summary::Burstiness| {
            let index = window.index_of_dispersion.map_or("-".to_owned(), units::three_digits);
            format!("{} {index}", units::ns(window.window_s * 1e9))
        };
        let windows: Vec<_> = of.windows.iter().map(one).collect();
        let _ = writeln!(text, "dispersion of {:<8}  {}", of.of, windows.join(", "));
    }
}
