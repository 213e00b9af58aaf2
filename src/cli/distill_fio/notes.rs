//! What a reader of a card must know beside its lines.

use crate::distill::reach::scale;
use crate::measure::BlockResult;
use crate::measure::fidelity::Metric;
use crate::units;

use super::case::{Case, Original};
use super::{card, command, limits};

/// The notes of a card.
pub fn of(case: &Case<'_>, distilled: &[BlockResult], metrics: &[Metric]) -> Vec<String> {
    let mut notes = Vec::new();
    match case.original {
        Original::Recording => {
            notes.push(
                "the original is a recording and was not run again: where it was made on other storage, or under other \
                 load, its times say so"
                    .to_owned(),
            );
            notes.extend(mood(metrics));
        }
        Original::Command => {
            let words = command::shown(&case.proof.flags.command);
            notes.push(format!(
                "the original is `{words}`, run in turns with the job; the job is made from {}",
                case.origin.file
            ));
            notes.extend(beyond(case));
        }
        Original::Replay => {}
    }
    if case.journal > 0 {
        notes.push(format!(
            "{} writes of a filesystem's journal are left out of the original, as they are of the job: the target is a \
             bare device, where syncs write none; times of its writes cannot be told from the journal's, and are left out",
            units::count(case.journal)
        ));
    }
    notes.extend(case.origin.facts.iter().cloned());
    for (name, runs) in [("original", &case.originals[..]), ("job", distilled)] {
        let tainted: Vec<&str> = runs.iter().flat_map(|run| &run.taint_reasons).map(String::as_str).collect();
        if let Some(reason) = tainted.first() {
            notes.push(format!("the capture of the {name} is tainted: {reason}"));
        }
    }
    // Of runs that differ in figures alone, the last one's words will do.
    notes.extend(distilled.last().into_iter().flat_map(|run| run.notes.iter().cloned()));
    notes.extend(limits::note(&case.originals, distilled));
    notes.extend(busy());
    notes
}

/// That the storage was in another state when a recording was made, if that is all that is missed: the
/// load is the same, and every bound that is missed says faster, or every one slower.
fn mood(metrics: &[Metric]) -> Option<String> {
    let missed: Vec<&Metric> = metrics.iter().filter(|metric| metric.pass == Some(false)).collect();
    let is_faster = |metric: &&Metric| {
        let more = metric.distilled? > metric.original?;
        match metric.name.as_str() {
            "throughput" => Some(more),
            "d2c_p50" | "d2c_p99" => Some(!more),
            _ => None,
        }
    };
    let faster = missed.first().and_then(is_faster)?;
    // A depth that is only within one is another one.
    let other_depth = metrics.iter().any(|metric| metric.name == "in_flight" && metric.is_beyond());
    if other_depth || missed.iter().any(|metric| is_faster(metric) != Some(faster)) {
        return None;
    }
    let times = |metric: &&Metric| {
        let ratio = metric.distilled? / metric.original?;
        Some(format!("{} {} times", card::name(metric), units::three_digits(ratio)))
    };
    let figures: Vec<String> = missed.iter().filter_map(times).collect();
    Some(format!(
        "mix, sizes and depth are the recording's, and what is missed is all {} ({}): most likely the storage was in \
         another state when the recording was made, which no job can show; to judge both on the same day, give the \
         command that was recorded after --, and it runs in turns with the job",
        if faster { "faster" } else { "slower" },
        figures.join(", ")
    ))
}

/// That a command's runs on a device went to places that were not known before and hence not written.
fn beyond(case: &Case<'_>) -> Option<String> {
    let end = case.proof.ground.device_bytes().ok()??;
    let run = case.originals.first().filter(|run| run.histogram("size", Some("read")).is_some_and(|h| h.count > 0))?;
    let all: u64 = touched(run, case.task.size_bytes, end).iter().map(|place| place.1).sum();
    (all > 0 && !case.filled_elsewhere).then(|| {
        format!(
            "the original worked on up to {} of the device beyond the {} that were written before: reads of places that \
             were never written are faster on many devices",
            units::bytes(all),
            units::bytes(case.task.size_bytes)
        )
    })
}

/// Places of a device between which so little lies that it is written too, rather than started for again.
const APART: u64 = 256 * units::MIB;

/// Places of a device that a capture touched at `from` or later, each an offset and a length: the buckets
/// of its map, in whole MiB.
pub fn touched(block: &BlockResult, from: u64, end: u64) -> Vec<(u64, u64)> {
    let maps = block.histograms.iter().filter(|histogram| histogram.name == "lba");
    let end = end / units::MIB * units::MIB;
    let byte = |place: i64, map| u64::try_from(place.saturating_mul(scale(map))).unwrap_or(0);
    let whole = |(low, high): (u64, u64)| {
        (low.max(from) / units::MIB * units::MIB, high.min(end).div_ceil(units::MIB) * units::MIB)
    };
    let mut places: Vec<(u64, u64)> = maps
        .flat_map(|map| map.buckets.iter().map(move |bucket| (byte(bucket.0, map), byte(bucket.1, map))))
        .filter(|place| place.1 > from)
        .map(whole)
        .filter(|(low, high)| low < high)
        .collect();
    places.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::new();
    for (low, high) in places {
        match joined.last_mut() {
            Some(last) if low <= last.1.saturating_add(APART) => last.1 = last.1.max(high),
            _ => joined.push((low, high)),
        }
    }
    joined.into_iter().map(|(low, high)| (low, high - low)).collect()
}

/// That other programs want the processors too: times of both sides then say as much of them.
fn busy() -> Option<String> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    let load: f64 = text.split_ascii_whitespace().next()?.parse().ok()?;
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    (load > processors as f64 * BUSY).then(|| {
        format!(
            "the machine was busy: {load:.1} tasks wanted its {processors} processors when the proof ended; \
             repeat it on a quiet one, or with more --runs"
        )
    })
}

/// Tasks for each processor from which on a machine is busy; the proof itself has one or two.
const BUSY: f64 = 1.5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Histogram;

    fn line(name: &str, original: f64, distilled: f64, pass: bool) -> Metric {
        Metric {
            name: name.to_owned(),
            op: Some("read".to_owned()),
            original: Some(original),
            distilled: Some(distilled),
            pass: Some(pass),
            ..Metric::default()
        }
    }

    #[test]
    fn a_storage_in_another_mood_is_told_from_another_load() {
        let size = line("size", 4096.0, 4096.0, true);
        let faster = [size.clone(), line("throughput", 1e8, 1.5e8, false), line("d2c_p50", 90.0, 60.0, false)];
        let said = mood(&faster).expect("all is faster");
        assert!(said.contains("all faster (read throughput 1.50 times, read d2c_p50 0.67 times)"), "{said}");
        assert!(said.contains("after --"), "{said}");
        let slower = [size.clone(), line("throughput", 1e8, 1.02e8, true), line("d2c_p99", 60.0, 90.0, false)];
        assert!(mood(&slower).is_some_and(|said| said.contains("all slower")));
        let both = [line("throughput", 1e8, 1.5e8, false), line("d2c_p50", 60.0, 90.0, false)];
        assert_eq!(mood(&both), None, "more and longer is another depth");
        let other = [line("size", 4096.0, 8192.0, false), line("throughput", 1e8, 1.5e8, false)];
        assert_eq!(mood(&other), None, "another load");
        assert_eq!(mood(std::slice::from_ref(&size)), None);
        let deep = Metric { bound: Some(0.15), distance: Some(0.4), ..line("in_flight", 2.0, 1.2, true) };
        assert_eq!(mood(&[size, deep, line("d2c_p50", 90.0, 60.0, false)]), None, "another depth");
    }

    #[test]
    fn places_beyond_the_job_s_file_are_put_together() {
        let map = |op: &str, buckets: &[(i64, i64)]| Histogram {
            name: "lba".to_owned(),
            op: Some(op.to_owned()),
            unit: "bytes".to_owned(),
            buckets: buckets.iter().map(|&(low, high)| (low, high, 1)).collect(),
            ..Histogram::default()
        };
        let mib = 1 << 20;
        let reads = map("read", &[(0, 100 * mib), (100 * mib, 200 * mib), (600 * mib, 600 * mib + 4096)]);
        let histograms = vec![reads, map("write", &[(150 * mib, 250 * mib), (1000 * mib, 1100 * mib)])];
        let block = BlockResult { histograms, ..BlockResult::default() };
        let found = |from: u64, end: u64| -> Vec<(u64, u64)> {
            touched(&block, from << 20, (end << 20) + 512).iter().map(|place| (place.0 >> 20, place.1 >> 20)).collect()
        };
        assert_eq!(found(120, 1050), [(120, 130), (600, 1), (1000, 50)]);
        assert_eq!(found(2000, 1050), [], "all of it is in the file");
    }
}
