//! Conditions that make a comparison doubtful, in words.

use crate::measure::conditions::{Conditions, StorageConditions};
use crate::units;

/// The share of the processors' time from which others are worth a word.
const OTHERS: f64 = 0.10;
/// The same for what a hypervisor takes, and for stalls.
const STOLEN: f64 = 0.01;
/// Load before the run, per processor, that is worth a word where nothing better is known.
const LOAD: f64 = 0.5;
/// Bytes waiting to be written that compete with the run.
const DIRTY_BYTES: u64 = 256 << 20;
/// A filesystem that is this full lays files out in pieces.
const FREE: f64 = 0.10;

/// What a reader should know of the conditions of a run on `cpus` processors.
pub fn doubts(conditions: &Conditions, cpus: u32) -> Vec<String> {
    let mut doubts: Vec<String> = processors(conditions, cpus).into_iter().chain(memory(conditions)).collect();
    doubts.extend(conditions.storage.iter().flat_map(storage));
    doubts.into_iter().map(|doubt| format!("host: {doubt}")).collect()
}

fn percent(share: f64) -> String {
    if share < 0.10 { format!("{:.1} %", share * 100.0) } else { format!("{:.0} %", share * 100.0) }
}

fn processors(conditions: &Conditions, cpus: u32) -> Vec<String> {
    let mut doubts = Vec::new();
    if let Some(share) = conditions.steal_share.filter(|share| *share >= STOLEN) {
        doubts.push(format!("steal {} of the time: a busy hypervisor; compare only alternating runs", percent(share)));
    }
    if let Some(share) = conditions.others_cpu_share.filter(|share| *share >= OTHERS) {
        doubts.push(format!(
            "other processes took {} of the processors' time: a busy machine; compare only alternating runs",
            percent(share)
        ));
    }
    if let (Some([load, ..]), None) = (conditions.load_before, conditions.others_cpu_share)
        && load > LOAD * f64::from(cpus)
    {
        doubts.push(format!("the load average was {load:.1} on {cpus} processors before the run: a busy machine"));
    }
    if let Some(periods) = conditions.throttled_periods.filter(|periods| *periods > 0) {
        let quota = conditions.cpu_quota.map_or_else(String::new, |cpus| format!(" of {cpus:.1} processors"));
        doubts.push(format!(
            "the container's processor quota{quota} ran out in {} periods: the replay was stopped meanwhile",
            units::count(periods)
        ));
    }
    if let Some(governor) = conditions.cpu_governor.as_ref().filter(|governor| *governor != "performance") {
        doubts.push(format!("the processors' frequency governor is {governor}: CPU time and latency vary with it"));
    }
    if conditions.virtual_machine == Some(true) {
        doubts.push("a virtual machine: what other guests do to processors and disk is not seen here".to_owned());
    }
    doubts
}

fn memory(conditions: &Conditions) -> Vec<String> {
    let mut doubts = Vec::new();
    let stalled = conditions.memory_pressure.and_then(|pressure| pressure.some);
    if let Some(share) = stalled.filter(|share| *share >= STOLEN) {
        doubts.push(format!("tasks waited for memory {} of the time", percent(share)));
    }
    let swapped = conditions.swapped_in_bytes.unwrap_or(0) + conditions.swapped_out_bytes.unwrap_or(0);
    if swapped > 0 {
        doubts.push(format!("{} went to or came from swap during the run", units::bytes(swapped)));
    }
    if let Some(dirty) = conditions.dirty_before_bytes.filter(|dirty| *dirty >= DIRTY_BYTES) {
        doubts.push(format!(
            "{} of other files waited to be written when the clock started; writing them competes with the run",
            units::bytes(dirty)
        ));
    }
    if conditions.transparent_huge_pages.as_deref() == Some("never") {
        doubts.push("transparent huge pages are off: more CPU per I/O".to_owned());
    }
    doubts
}

fn storage(below: &StorageConditions) -> Vec<String> {
    let (mut doubts, tier) = (Vec::new(), below.tier);
    if let Some(free) = below.free_share.filter(|free| *free < FREE) {
        doubts.push(format!("tier {tier}: only {} of the filesystem is free", percent(free)));
    }
    if let (Some(now), Some(limit)) = (below.temperature_after_c, below.temperature_limit_c)
        && now >= limit
    {
        doubts.push(format!("tier {tier}: the device is at {now:.0} °C, its limit is {limit:.0}: it may throttle"));
    }
    doubts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::conditions::Pressure;

    #[test]
    fn a_quiet_machine_and_an_unknown_one_have_no_doubts() {
        let quiet = Conditions {
            steal_share: Some(0.001),
            others_cpu_share: Some(0.02),
            load_before: Some([1.9, 0.0, 0.0]),
            virtual_machine: Some(false),
            memory_pressure: Some(Pressure { some: Some(0.0), full: Some(0.0) }),
            cpu_governor: Some("performance".to_owned()),
            ..Conditions::default()
        };
        assert_eq!((doubts(&quiet, 2), doubts(&Conditions::default(), 2)), (Vec::new(), Vec::new()));
    }

    #[test]
    fn every_doubt_has_its_figure() {
        let busy = Conditions {
            steal_share: Some(0.07),
            others_cpu_share: Some(0.42),
            throttled_periods: Some(12),
            cpu_quota: Some(1.5),
            swapped_out_bytes: Some(4096),
            dirty_before_bytes: Some(1 << 30),
            storage: vec![StorageConditions { tier: 2, free_share: Some(0.04), ..StorageConditions::default() }],
            ..Conditions::default()
        };
        let said = doubts(&busy, 2).join("\n");
        for figure in
            ["steal 7.0 %", "42 %", "1.5 processors ran out in 12", "4.00 KiB", "1.00 GiB", "tier 2: only 4.0 %"]
        {
            assert!(said.contains(figure), "no `{figure}` in {said}");
        }
    }
}
