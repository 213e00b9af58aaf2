//! A plan for people.

use crate::replay::{Pace, Plan, ReplayConfig};
use crate::units;

/// How long the run takes by its schedule, in seconds; none without one. A move is one operation.
pub fn run_s(plan: &Plan, config: &ReplayConfig) -> Option<f64> {
    let facts = &plan.facts;
    match config.pace {
        Pace::Asap => None,
        Pace::Trace => Some(facts.span_s / config.speed),
        Pace::Rate(per_s) => Some(facts.rows.saturating_sub(facts.moves) as f64 / (per_s * facts.share())),
    }
}

/// The same in words.
fn run_line(plan: &Plan, config: &ReplayConfig) -> String {
    let time = |seconds: f64| units::ns(seconds * 1e9);
    match run_s(plan, config) {
        Some(seconds) => {
            let speed = if config.speed == 1.0 { String::new() } else { format!(" --speed {}", config.speed) };
            format!("takes {} by --pace {}{speed}, if the tiers keep up", time(seconds), config.pace)
        }
        None if plan.meta.time_model.is_some() => {
            format!("takes as long as the tiers do (--pace asap); by --pace trace {}", time(plan.facts.span_s))
        }
        None => "takes as long as the tiers do (--pace asap)".to_owned(),
    }
}

/// A plan in a few lines.
pub fn plan_lines(plan: &Plan, config: &ReplayConfig, fits: bool) -> Vec<String> {
    let facts = &plan.facts;
    let mut lines = vec![
        format!(
            "rows: {} over {}, {} objects",
            units::count(facts.rows),
            units::ns(facts.span_s * 1e9),
            units::count(facts.keys)
        ),
        format!("read {}, written {}", units::bytes(facts.read_bytes), units::bytes(facts.write_bytes)),
    ];
    lines.push(run_line(plan, config));
    if let Some(offered) = facts.offered_gb_per_s() {
        let whose =
            if plan.meta.time_model.is_some() { "the trace's own time" } else { "the stamps of a foreign tool" };
        lines.push(format!(
            "offered by {whose}: {} GB/s on average, {} in its busiest second",
            units::three_digits(offered),
            units::bytes(facts.busiest_second_bytes)
        ));
    }
    for tier in 0..3 {
        lines.push(format!(
            "tier {tier} ({}): at most {} live, largest object {}, {} there before the clock starts",
            config.targets[tier],
            units::bytes(facts.peak_bytes[tier]),
            units::bytes(facts.largest_bytes[tier]),
            units::bytes(facts.cold_bytes[tier]),
        ));
    }
    let oddities = [
        (facts.moves, "moves from tier to tier"),
        (facts.cold_keys, "objects read before they are written"),
        (facts.misplaced_reads, "reads from another tier than the object was last put on"),
        (facts.clamped_rows, "rows that name another size than the object has"),
        (facts.idle_deletes, "Delete rows of objects that are not there"),
    ];
    lines.extend(oddities.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", units::count(*n))));
    lines.push(format!("fits: {}", if fits { "yes" } else { "no" }));
    lines
}
