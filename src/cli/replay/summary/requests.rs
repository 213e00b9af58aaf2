//! Requests and the targets of their classes.

use crate::measure::ReplayResult;
use crate::measure::replay::{QosReport, QosTarget};
use crate::measure::sample::quantile_name;
use crate::units;

use super::latency::{head, times};
use super::wrapped;

/// Requests in a few lines; none when nothing is known of them.
pub fn lines(result: &ReplayResult) -> Vec<String> {
    let Some(requests) = &result.requests else {
        return result.requests_absent.iter().flat_map(|why| wrapped("requests: not known: ", why)).collect();
    };
    let apart = requests.apart;
    let others = match apart.total() {
        0 => String::new(),
        n => format!(
            "; {} counted apart ({} failed, {} skipped, {} unfinished)",
            units::count(n),
            units::count(apart.failed),
            units::count(apart.skipped),
            units::count(apart.unfinished)
        ),
    };
    let storage = requests.how.get("storage").map_or("not said", String::as_str);
    let text = format!(
        "{}{others}; storage: {storage}; queue, generation and end to end: modelled",
        units::count(requests.count)
    );
    let mut lines = wrapped("requests: ", &text);
    lines.push(format!("{:<48}{}", "", head()));
    for (name, histogram) in
        [("storage, summed service of a request's rows", &requests.storage), ("end to end", &requests.end_to_end)]
    {
        lines.push(format!("{name:<48}{}", times(histogram)));
    }
    if let Some(first) = requests.qos.values().find(|class| !class.targets.is_empty()) {
        let names = first.targets.iter().map(|target| format!("{:>20}", quantile_name(target.quantile)));
        lines.push(format!("{:<12}{:>8}{}", "class", "requests", names.collect::<String>()));
        lines.extend(requests.qos.iter().map(|(name, class)| class_line(name, class)));
        let from = if requests.targets_from == "trace" { "the recording's" } else { "the reference's default" };
        lines.extend(wrapped(
            "",
            &format!("(limit, share of requests within, kept or not; {from} targets; `?`: too few requests to say)"),
        ));
    }
    lines
}

fn class_line(name: &str, class: &QosReport) -> String {
    if class.no_data {
        return format!("{name:<12}{:>8}{:>20}", 0, "no data");
    }
    let cells = class.targets.iter().map(|target| format!("{:>20}", cell(target)));
    format!("{name:<12}{:>8}{}", units::count(class.count), cells.collect::<String>())
}

fn cell(target: &QosTarget) -> String {
    let met = match target.met {
        Some(true) => "yes",
        Some(false) => "NO",
        None => "?",
    };
    let share = target.share_within.map_or("-".to_owned(), |share| format!("{:.1} %", share * 100.0));
    format!("{} {share} {met}", units::ns(target.target_ms * 1e6))
}
