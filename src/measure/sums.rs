//! Adding up what several runs counted. Every sum here is of integers, so that neither the order
//! nor the grouping of the runs shows in it. Every type is taken apart field by field: a field that
//! is added to a result must be added here, or it does not compile.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::trace::{Op, Phase};

use super::block::{BlockDevice, BlockResult, BlockSet, DeviceTimes, KernelCounters, ProcessBytes};
use super::histogram::Histogram;
use super::replay::{
    Amplification, IoError, Latency, Requests, SizeLatency, TargetReport, TierReport, Timing, Verify, VerifyFailure,
};

/// Failures and errors that are kept in full, as a run keeps them.
const KEPT: usize = 1000;

/// Adds histograms that are the same measurement: by name and direction.
pub fn histograms(into: &mut Vec<Histogram>, more: Vec<Histogram>) {
    for other in more {
        match into.iter_mut().find(|mine| mine.is(&other.name, other.op.as_deref())) {
            Some(mine) => mine.merge(&other),
            None => into.push(other),
        }
    }
    into.sort_by(|a, b| (&a.name, &a.op).cmp(&(&b.name, &b.op)));
}

/// Adds a histogram to one that may not have begun yet.
fn histogram(into: &mut Histogram, other: Histogram) {
    if into.name.is_empty() { *into = other } else { into.merge(&other) }
}

/// Adds latencies of the same kind of operation.
pub fn latency(into: &mut Vec<Latency>, more: Vec<Latency>) {
    for other in more {
        let Some(mine) = into.iter_mut().find(|l| (l.tier, l.op, l.phase) == (other.tier, other.op, other.phase))
        else {
            into.push(other);
            continue;
        };
        let Latency { tier: _, op: _, phase: _, ops, bytes, response, service, by_size: sizes } = other;
        mine.ops += ops;
        mine.bytes += bytes;
        mine.response.merge(&response);
        mine.service.merge(&service);
        by_size(&mut mine.by_size, sizes);
    }
    into.sort_by_key(|l| (l.tier, l.op as u8, l.phase as u8));
}

/// Adds latencies of the same size class.
fn by_size(into: &mut Vec<SizeLatency>, more: Vec<SizeLatency>) {
    for other in more {
        let Some(mine) = into.iter_mut().find(|mine| mine.up_to_bytes == other.up_to_bytes) else {
            into.push(other);
            continue;
        };
        let SizeLatency { up_to_bytes: _, ops, bytes, response, service } = other;
        mine.ops += ops;
        mine.bytes += bytes;
        mine.response.merge(&response);
        mine.service.merge(&service);
    }
    into.sort_by_key(|class| class.up_to_bytes.unwrap_or(u64::MAX));
}

/// Adds what was asked of the same devices and seen at their block layers.
pub fn amplification(into: &mut Vec<Amplification>, more: Vec<Amplification>) {
    for other in more {
        let Some(mine) = into.iter_mut().find(|mine| mine.op == other.op && mine.devices == other.devices) else {
            into.push(other);
            continue;
        };
        let Amplification { tiers: _, devices: _, op: _, asked_bytes, block_bytes, others_bytes, amplification: _ } =
            other;
        mine.asked_bytes += asked_bytes;
        mine.block_bytes += block_bytes;
        mine.others_bytes += others_bytes;
        mine.amplification = (mine.asked_bytes > 0).then(|| mine.block_bytes as f64 / mine.asked_bytes as f64);
    }
}

/// Bytes of the kinds that are wanted.
pub fn bytes(latency: &[Latency], wanted: fn(Op, Phase) -> bool) -> u64 {
    latency.iter().filter(|l| wanted(l.op, l.phase)).map(|l| l.bytes).sum()
}

/// Adds histograms of timing; single values are left as they are.
pub fn timing(into: &mut Timing, other: Timing) {
    let Timing {
        pacing,
        lateness,
        wait,
        dependency_wait,
        queue_wait,
        reap_gap,
        io,
        spin_margin_ns: _,
        late_bound_ns: _,
        late_fraction: _,
        drift_ppm: _,
    } = other;
    into.pacing = pacing;
    histogram(&mut into.lateness, lateness);
    histogram(&mut into.wait, wait);
    histogram(&mut into.dependency_wait, dependency_wait);
    histogram(&mut into.queue_wait, queue_wait);
    histogram(&mut into.reap_gap, reap_gap);
    histograms(&mut into.io, io);
}

/// Adds checks.
pub fn verify(into: &mut Verify, other: Verify) {
    let Verify { level, checked_bytes, checks, failures, failure_count } = other;
    into.level = level;
    into.checked_bytes += checked_bytes;
    into.checks += checks;
    into.failure_count += failure_count;
    into.failures.extend(failures);
    let place = |f: &VerifyFailure| (f.row, f.key.clone(), f.offset_bytes, f.class.clone());
    into.failures.sort_by_key(place);
    into.failures.truncate(KEPT);
}

/// Adds errors.
pub fn errors(into: &mut Vec<IoError>, more: Vec<IoError>) {
    into.extend(more);
    into.sort_by_key(|e| (e.row, e.key.clone(), e.op.clone(), e.errno));
    into.truncate(KEPT);
}

/// Adds requests of runs of the same trace, each of which served all of them.
pub fn requests(into: &mut Requests, other: Requests) {
    let Requests {
        count,
        apart,
        without_rows,
        how,
        storage,
        storage_response,
        queue,
        generation,
        end_to_end,
        targets_from,
        qos,
    } = other;
    into.count += count;
    into.apart.failed += apart.failed;
    into.apart.skipped += apart.skipped;
    into.apart.unfinished += apart.unfinished;
    into.without_rows += without_rows;
    (into.how, into.targets_from) = (how, targets_from);
    histogram(&mut into.storage, storage);
    histogram(&mut into.storage_response, storage_response);
    histogram(&mut into.queue, queue);
    histogram(&mut into.generation, generation);
    histogram(&mut into.end_to_end, end_to_end);
    for (name, class) in qos {
        match into.qos.get_mut(&name) {
            Some(mine) => mine.merge(&class),
            None => {
                into.qos.insert(name, class);
            }
        }
    }
}

/// Adds what the block layer did in runs on the same devices.
pub fn block(into: &mut BlockResult, other: BlockResult) {
    let BlockResult {
        schema: _,
        tool: _,
        complete,
        source: _,
        devices,
        filter: _,
        duration_s,
        histograms: target,
        other: rest,
        phases,
        loss,
        tainted,
        taint_reasons,
        probes,
        processes,
    } = other;
    into.complete &= complete;
    into.duration_s += duration_s;
    histograms(&mut into.histograms, target);
    histograms(&mut into.other.histograms, rest.histograms);
    for device in devices {
        add_device(&mut into.devices, device);
    }
    for (phase, BlockSet { histograms: more }) in phases.into_iter().flatten() {
        histograms(&mut into.phases.get_or_insert_default().entry(phase).or_default().histograms, more);
    }
    for (cause, count) in loss {
        *into.loss.entry(cause).or_default() += count;
    }
    into.tainted |= tainted;
    into.taint_reasons.extend(taint_reasons);
    into.taint_reasons.sort();
    into.taint_reasons.dedup();
    let new: Vec<String> = probes.into_iter().filter(|probe| !into.probes.contains(probe)).collect();
    into.probes.extend(new);
    if let Some(ProcessBytes { read_bytes, write_bytes, cancelled_write_bytes }) = processes {
        let mine = into.processes.get_or_insert_default();
        mine.read_bytes += read_bytes;
        mine.write_bytes += write_bytes;
        mine.cancelled_write_bytes += cancelled_write_bytes;
    }
}

fn add_device(into: &mut Vec<BlockDevice>, device: BlockDevice) {
    let add = |mine: &mut KernelCounters, other: KernelCounters| {
        let KernelCounters { read_ios, read_bytes, write_ios, write_bytes } = other;
        mine.read_ios += read_ios;
        mine.read_bytes += read_bytes;
        mine.write_ios += write_ios;
        mine.write_bytes += write_bytes;
    };
    match into.iter_mut().find(|mine| mine.number == device.number) {
        Some(mine) => {
            add(&mut mine.kernel, device.kernel);
            add(&mut mine.captured, device.captured);
            add_times(mine, device.times);
        }
        None => into.push(device),
    }
}

fn add_times(into: &mut BlockDevice, other: Option<DeviceTimes>) {
    let Some(other) = other else { return };
    let mine = into.times.get_or_insert_default();
    let DeviceTimes { read_merges, write_merges, read_ns, write_ns, flush_ns, flush_ios, busy_ns, queue_ns, samples } =
        other;
    mine.read_merges += read_merges;
    mine.write_merges += write_merges;
    mine.read_ns += read_ns;
    mine.write_ns += write_ns;
    mine.flush_ns += flush_ns;
    mine.flush_ios += flush_ios;
    mine.busy_ns += busy_ns;
    mine.queue_ns += queue_ns;
    mine.samples += samples;
}

/// Facts of a tier that add up over runs on one machine, and those that add up over machines.
const COUNTED: [&str; 4] = ["read_padding_bytes", "write_padding_bytes", "ios", "short_ios"];
const HELD: [&str; 6] =
    ["slab_bytes", "pool_bytes", "pool_huge_page_bytes", "buffer_bytes", "buffer_huge_page_bytes", "final_fdatasync_s"];

/// Adds tiers; `held` says whether each run had space of its own. Facts that differ and do not add
/// up are left out.
pub fn tiers<'a>(runs: impl Iterator<Item = &'a [TierReport]>, held: bool) -> Vec<TierReport> {
    let mut by_number: BTreeMap<u8, Vec<&TierReport>> = BTreeMap::new();
    for report in runs.flatten() {
        by_number.entry(report.tier).or_default().push(report);
    }
    by_number.into_values().map(|reports| tier(&reports, held)).collect()
}

fn tier(reports: &[&TierReport], held: bool) -> TierReport {
    let first = reports[0];
    let TierReport {
        tier,
        backend,
        target: _,
        direct,
        layout,
        read_bytes: _,
        write_bytes: _,
        sync: _,
        preconditioned,
        decode_read_bytes: _,
        prefill_write_bytes: _,
        facts: _,
        targets: _,
    } = first;
    let all = |of: fn(&TierReport) -> Option<u64>| reports.iter().map(|r| of(r)).sum::<Option<u64>>();
    let mut targets: Vec<_> = reports.iter().map(|r| r.target.clone()).collect();
    targets.dedup();
    let adds = |name: &str| COUNTED.contains(&name) || (held && HELD.contains(&name));
    let facts = first.facts.keys().filter_map(|name| {
        let values: Vec<_> = reports.iter().map(|r| r.facts.get(name).unwrap_or(&Value::Null)).collect();
        let value = match adds(name) {
            true => sum(&values)?,
            false => values.iter().all(|v| *v == values[0]).then(|| values[0].clone())?,
        };
        Some((name.clone(), value))
    });
    TierReport {
        tier: *tier,
        backend: backend.clone(),
        target: targets.join(" "),
        // One run through the page cache is enough to have measured it.
        direct: direct.map(|_| reports.iter().all(|r| r.direct == Some(true))),
        layout: layout.clone(),
        read_bytes: reports.iter().map(|r| r.read_bytes).sum(),
        write_bytes: reports.iter().map(|r| r.write_bytes).sum(),
        sync: reports.iter().filter_map(|r| r.sync.clone()).reduce(|mut sum, other| {
            sum.merge(&other);
            sum
        }),
        // Trials share what was overwritten before the first of them.
        preconditioned: match held {
            true => reports.iter().flat_map(|r| r.preconditioned.clone()).collect(),
            false => preconditioned.clone(),
        },
        decode_read_bytes: all(|r| r.decode_read_bytes),
        prefill_write_bytes: all(|r| r.prefill_write_bytes),
        facts: facts.collect(),
        targets: if held { reports.iter().flat_map(|r| r.targets.clone()).collect() } else { shared_targets(reports) },
    }
}

/// The targets that trials shared, with what they moved in all of them.
fn shared_targets(reports: &[&TierReport]) -> Vec<TargetReport> {
    let mut targets = reports[0].targets.clone();
    for other in reports[1..].iter().flat_map(|r| &r.targets) {
        if let Some(mine) = targets.iter_mut().find(|mine| mine.target == other.target) {
            mine.read_bytes += other.read_bytes;
            mine.write_bytes += other.write_bytes;
        }
    }
    targets
}

fn sum(values: &[&Value]) -> Option<Value> {
    let whole: Option<Vec<u64>> = values.iter().map(|v| v.as_u64()).collect();
    match whole {
        Some(whole) => Some(whole.iter().sum::<u64>().into()),
        None => Some(values.iter().map(|v| v.as_f64()).sum::<Option<f64>>()?.into()),
    }
}

/// Bytes of objects that tiers really read and wrote, without padding.
pub fn moved(tiers: &[TierReport]) -> (u64, u64) {
    let padding = |tier: &TierReport, name: &str| tier.facts.get(name).and_then(Value::as_u64).unwrap_or(0);
    tiers.iter().fold((0, 0), |(read, written), tier| {
        (
            read + tier.read_bytes.saturating_sub(padding(tier, "read_padding_bytes")),
            written + tier.write_bytes.saturating_sub(padding(tier, "write_padding_bytes")),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_add_up_stay_or_go() {
        let report = |ios: u64, device: &str| TierReport {
            tier: 2,
            target: "dir:x".to_owned(),
            direct: Some(true),
            facts: [("ios", ios.into()), ("device", device.into()), ("scheduler", "none".into())]
                .map(|(name, value): (&str, Value)| (name.to_owned(), value))
                .into(),
            ..TierReport::default()
        };
        let (a, b) = ([report(3, "vda")], [report(4, "vdb")]);
        let both = &tiers([&a[..], &b[..]].into_iter(), true)[0];
        assert_eq!(both.facts["ios"], 7);
        assert_eq!((both.facts.get("device"), &both.facts["scheduler"]), (None, &"none".into()));
        assert_eq!((both.target.as_str(), both.direct), ("dir:x", Some(true)));
    }
}
