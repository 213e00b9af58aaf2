//! The sections of the report about what was really measured: sizes, bytes at the block layer, the
//! conditions of the host.

use crate::measure::ReplayResult;
use crate::measure::conditions::{Pressure, StorageConditions};
use crate::trace::Op;
use crate::units;

use super::html::{facts, table};
use super::latency::tier_name;
use super::sections::{QUANTILES, quantile, time};

/// Service times by the size of the object, of kinds that have several sizes.
pub fn sizes(replay: &ReplayResult) -> String {
    let mut rows = Vec::new();
    for latency in replay.latency.iter().filter(|latency| latency.by_size.len() > 1 && latency.op != Op::Delete) {
        for class in &latency.by_size {
            let size = match class.up_to_bytes {
                Some(most) => format!("up to {}", units::bytes(most)),
                None => "larger".to_owned(),
            };
            let name = format!("{} {}", latency.op, latency.phase);
            let mut row = vec![tier_name(replay, latency.tier), name, size, units::count(class.ops)];
            row.extend(QUANTILES.iter().map(|&(_, q)| time(quantile(&class.service, q))));
            rows.push(row);
        }
    }
    let mut head = vec!["tier", "operation", "size", "objects"];
    head.extend(QUANTILES.iter().map(|quantile| quantile.0));
    let out = table(&head, 3, &rows);
    if out.is_empty() { out } else { format!("<h3>Service times by size</h3>\n{out}") }
}

/// Bytes asked against bytes seen.
pub fn amplification(replay: &ReplayResult) -> String {
    let rows: Vec<Vec<String>> = replay
        .amplification
        .iter()
        .map(|one| {
            vec![
                format!("{}s on {}", one.op, one.devices.join(", ")),
                units::bytes(one.asked_bytes),
                units::bytes(one.block_bytes),
                one.amplification.map_or("-".to_owned(), |factor| format!("{factor:.3}")),
                units::bytes(one.others_bytes),
            ]
        })
        .collect();
    table(&["bytes of", "asked", "at the block layer", "amplification", "for others meanwhile"], 1, &rows)
}

/// The conditions of the host; what is not known is left out.
pub fn conditions(replay: &ReplayResult) -> String {
    let known = &replay.host.conditions;
    let share = |share: Option<f64>| share.map(|share| format!("{:.1} %", share * 100.0));
    let load = |load: Option<[f64; 3]>| load.map(|[one, five, fifteen]| format!("{one:.2}, {five:.2}, {fifteen:.2}"));
    let stalls = |stalls: Option<Pressure>| {
        let stalls = stalls?;
        Some(format!(
            "some {}, full {}",
            share(stalls.some).unwrap_or("-".to_owned()),
            share(stalls.full).unwrap_or("-".to_owned())
        ))
    };
    let yes = |is: Option<bool>| is.map(|is| if is { "yes" } else { "no" }.to_owned());
    let pairs = [
        ("load average before (1, 5, 15 min)", load(known.load_before)),
        ("load average after", load(known.load_after)),
        ("processors taken by a hypervisor (steal)", share(known.steal_share)),
        ("processors idle, waiting for I/O", share(known.iowait_share)),
        ("processors used by other processes", share(known.others_cpu_share)),
        ("stalls for processors", stalls(known.cpu_pressure)),
        ("stalls for I/O", stalls(known.io_pressure)),
        ("stalls for memory", stalls(known.memory_pressure)),
        ("frequency governor", known.cpu_governor.clone()),
        ("turbo", yes(known.turbo)),
        ("virtual machine", yes(known.virtual_machine)),
        ("machine", known.machine.clone()),
        ("transparent huge pages", known.transparent_huge_pages.clone()),
        ("mitigations in force", known.mitigations.map(|n| n.to_string())),
        ("swapped in", known.swapped_in_bytes.map(units::bytes)),
        ("swapped out", known.swapped_out_bytes.map(units::bytes)),
        ("waiting to be written before", known.dirty_before_bytes.map(units::bytes)),
        ("waiting to be written after", known.dirty_after_bytes.map(units::bytes)),
        ("processors of the container", known.cpu_quota.map(|cpus| format!("{cpus:.2}"))),
        ("periods without processors left", known.throttled_periods.map(units::count)),
    ];
    let pairs = pairs.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    facts(&pairs.chain(known.storage.iter().flat_map(below)).collect::<Vec<_>>())
}

fn below(storage: &StorageConditions) -> Vec<(String, String)> {
    let degrees = |at: Option<f64>| at.map(|at| format!("{at:.0} °C"));
    let pairs = [
        ("device", storage.device.clone()),
        ("I/O scheduler", storage.scheduler.clone()),
        ("queue", storage.nr_requests.map(units::count)),
        ("write-back throttled for", storage.writeback_throttle_us.map(|us| units::ns(us as f64 * 1e3))),
        ("discard", storage.discard.map(|on| if on { "at once" } else { "no" }.to_owned())),
        ("filesystem free", storage.free_share.map(|share| format!("{:.1} %", share * 100.0))),
        ("temperature before", degrees(storage.temperature_before_c)),
        ("temperature after", degrees(storage.temperature_after_c)),
        ("temperature limit", degrees(storage.temperature_limit_c)),
    ];
    pairs.into_iter().filter_map(|(name, value)| Some((format!("tier {}: {name}", storage.tier), value?))).collect()
}
