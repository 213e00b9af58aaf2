//! Whether the plan fits, decided before anything is touched.

use crate::error::{Error, Result};
use crate::output;
use crate::units;

use super::extents::GRANULE;
use super::folder::FolderPlan;
use super::guard;
use super::share::Share;
use super::slab::SlabPlan;
use super::storage;
use super::volume::{MediumPlan, VolumePlan};
use crate::replay::config::{Engine, Layout, Pace, Prepare, ReplayConfig};
use crate::replay::gds::Gds;
use crate::replay::gpu::{self, Gpu};
use crate::replay::plan::PlanFacts;
use crate::replay::target::Target;

/// Bytes in flight at most, on all storage targets together.
const MOST_IN_FLIGHT: u64 = 512 << 20;
/// Intervals of a log: its stamps have milliseconds.
const HLOG_INTERVALS_NS: std::ops::RangeInclusive<u64> = 100_000_000..=3_600_000_000_000;
/// Trials at most; every one keeps its figures in memory and in the result.
const MOST_TRIALS: u32 = 1_000;

/// Memory that is left to the rest of the machine.
const SPARE: u64 = 256 << 20;

/// What the tiers will need; all of it is there.
pub struct Needs {
    /// The storage targets, in tier order and as they were named.
    pub volumes: Vec<VolumePlan>,
    /// The GPUs of GPU tiers, opened, in tier order.
    pub gpus: Vec<Gpu>,
    /// cuFile, opened if it is to be used.
    pub gds: Gds,
}

/// Checks every tier without touching it.
///
/// # Errors
/// Which tier is too small or may not be used, and what would help.
pub fn check(config: &ReplayConfig, facts: &PlanFacts) -> Result<Needs> {
    check_settings(config)?;
    let (mut volumes, mut gpus) = (Vec::new(), Vec::new());
    let storage =
        config.targets.iter().zip(&facts.peak_granules).filter(|(target, peak)| **peak > 0 && target.is_storage());
    let on_gpu = config.targets.iter().any(|target| matches!(target, Target::Gpu(_)));
    let lanes = storage.map(|(target, _)| target.parts().len()).sum::<usize>() + usize::from(on_gpu);
    let mut memory = arena_share(config, lanes)?;
    for (tier, target) in config.targets.iter().enumerate() {
        if let Target::Gpu(number) = target {
            gpu::check(tier, *number)?;
        }
        if facts.peak_granules[tier] == 0 {
            continue;
        }
        if target.is_storage() {
            volumes.extend(survey_volumes(target, tier, facts, config)?);
        }
        if let Target::Gpu(number) = target {
            gpus.push(gpu::survey(tier, *number, memory_needed(tier, facts))?);
        }
        if let Target::Dram(limit) = target {
            let need = memory_needed(tier, facts);
            memory = memory.saturating_add(need);
            let peak = facts.peak_granules[tier].saturating_mul(GRANULE);
            if let Some(limit) = limit.filter(|limit| *limit < peak) {
                return Err(too_small(tier, target, peak, limit));
            }
            let have = available_memory().saturating_sub(SPARE);
            if memory > have {
                return Err(too_small(tier, target, memory, have));
            }
        }
    }
    check_apart(&volumes)?;
    let gds = Gds::survey(config, &gpus)?;
    Ok(Needs { volumes, gpus, gds })
}

/// Looks at the targets that share a tier's objects.
fn survey_volumes(target: &Target, tier: usize, facts: &PlanFacts, config: &ReplayConfig) -> Result<Vec<VolumePlan>> {
    let shares = target.parts().iter().zip(&facts.volume_granules[tier]);
    let survey = |(part, &peak_granules): (&Target, &u64)| {
        let share = Share { tier, peak_granules, largest_bytes: facts.largest_bytes[tier] };
        let medium = if config.engine == Engine::Nop {
            MediumPlan::Nothing
        } else if config.layout == Layout::File {
            MediumPlan::Folder(FolderPlan::survey(part, &share, config)?)
        } else {
            MediumPlan::Slab(SlabPlan::survey(part, &share, config)?)
        };
        Ok(VolumePlan { tier, target: part.clone(), share, medium })
    };
    shares.map(survey).collect()
}

/// Refuses two targets that are the same place.
fn check_apart(volumes: &[VolumePlan]) -> Result<()> {
    let places: Vec<_> = volumes.iter().filter_map(|volume| Some((volume, guard::resolved(volume.path()?)))).collect();
    for (number, (volume, place)) in places.iter().enumerate() {
        if let Some((other, _)) = places[..number].iter().find(|(_, other)| other == place) {
            return Err(Error::usage(format!(
                "--tier-{} {} and --tier-{} {} are the same place; give each target its own",
                other.tier, other.target, volume.tier, volume.target
            )));
        }
    }
    Ok(())
}

/// How much memory I/O goes through: three times what may be in flight (on its way; filled before
/// it is due; being filled for or checked after an operation that runs), for each storage target,
/// as far as 1 GiB goes, which is the most that io_uring registers as one buffer.
///
/// # Errors
/// When not even twice what may be in flight fits into that.
pub fn arena_share(config: &ReplayConfig, storage_targets: usize) -> Result<u64> {
    let targets = storage_targets.max(1) as u64;
    let one = config.bytes_in_flight.saturating_mul(targets);
    if one > MOST_IN_FLIGHT {
        return Err(Error::usage(format!(
            "--bytes-in-flight {} for each of {targets} storage targets: at most {} together",
            config.bytes_in_flight,
            units::bytes(MOST_IN_FLIGHT)
        )));
    }
    Ok((one * super::ARENA_SHARES).min(2 * MOST_IN_FLIGHT))
}

/// The same in whole I/Os, at least four for each.
///
/// # Errors
/// As above.
pub fn arena_bytes(config: &ReplayConfig, lanes: usize) -> Result<u64> {
    let each = arena_share(config, lanes)? / lanes as u64 / config.io_size_bytes;
    Ok(lanes as u64 * each.max(4) * config.io_size_bytes)
}

/// Bytes of memory that a DRAM or GPU tier gets: the planned peak, and some slack so that operations
/// which overlap rarely wait for space.
pub fn memory_needed(tier: usize, facts: &PlanFacts) -> u64 {
    let peak = facts.peak_granules[tier];
    let slack = (peak / 16 + facts.largest_bytes[tier].div_ceil(GRANULE)).clamp(16, 4096);
    peak.saturating_add(slack).saturating_mul(GRANULE)
}

fn too_small(tier: usize, target: &Target, need: u64, have: u64) -> Error {
    Error::usage(format!(
        "--tier-{tier} {target}: {} is needed and {} is there; use a larger target, --size-scale 0.01 to shrink every \
         object, --tier-{tier} model:64GB/s+10us (time only), or a trace recorded with a smaller {}",
        units::bytes(need),
        units::bytes(have),
        ["--gpu-mem-gb", "--cpu-mem-gb", "--storage-capacity-gb"][tier]
    ))
}

/// Says which settings are out of range or contradict each other, whatever the trace.
///
/// # Errors
/// The first of them, as a usage error.
pub fn check_settings(config: &ReplayConfig) -> Result<()> {
    let refuse = |text: String| Err(Error::usage(text));
    let io = config.io_size_bytes;
    if io < 4096 || !io.is_multiple_of(4096) || io > 64 << 20 {
        return refuse(format!("--io-size {io}: an I/O is a multiple of 4096 bytes, from 4KiB to 64MiB"));
    }
    if config.bytes_in_flight < io || config.bytes_in_flight > MOST_IN_FLIGHT {
        return refuse(format!(
            "--bytes-in-flight {}: from one I/O ({}) to 512MiB",
            config.bytes_in_flight,
            units::bytes(io)
        ));
    }
    for (tier, target) in config.targets.iter().enumerate() {
        target.check(tier)?;
    }
    if config.max_objects == Some(0) {
        return refuse("--max-objects 0: at least one object must be in flight".to_owned());
    }
    storage::check(config)?;
    if config.hlog.as_deref().is_some_and(output::is_standard) {
        return refuse("--hlog -: the log needs a file of its own; name one".to_owned());
    }
    if config.hlog.is_some() && config.trials > 1 {
        return refuse("--hlog with --trials: a log is of one run; leave one of them out".to_owned());
    }
    if config.hlog.is_some() && !HLOG_INTERVALS_NS.contains(&config.hlog_interval_ns) {
        return refuse(format!("--hlog-interval {}: from 100ms to 1h", units::ns(config.hlog_interval_ns as f64)));
    }
    if !(1..=MOST_TRIALS).contains(&config.trials) {
        return refuse(format!("--trials {}: from 1 to {MOST_TRIALS}", config.trials));
    }
    if config.trials > 1 && config.shard.is_some() {
        return refuse(format!(
            "--trials {}: the trials of several ranks would drift apart; start the ranks once for each trial and merge \
             each, or use --shard 0/1",
            config.trials
        ));
    }
    if config.cooldown_ns > 0 && config.trials == 1 {
        return refuse("--cooldown is the rest between two trials; add --trials N, or leave it out".to_owned());
    }
    if config.layout == Layout::File && config.prepare != Prepare::Auto {
        return refuse(format!(
            "--prepare {}: with --layout file there is no slab to prepare; leave it out, or use --layout slab",
            config.prepare.word()
        ));
    }
    if config.helpers > 256 {
        return refuse(format!("--helpers {}: at most 256 threads", config.helpers));
    }
    if !(config.size_scale > 0.0 && config.size_scale <= 1000.0) {
        return refuse(format!("--size-scale {}: a factor above 0, at most 1000", config.size_scale));
    }
    if !(config.speed > 0.0 && config.speed.is_finite()) {
        return refuse(format!("--speed {}: a factor above 0", config.speed));
    }
    if config.speed != 1.0 && config.pace != Pace::Trace {
        return refuse(format!("--speed {}: it is of the trace's own times; add --pace trace", config.speed));
    }
    if config.max_lag_ns.is_some() && config.pace == Pace::Asap {
        return refuse("--max-lag: without a schedule nothing is behind one; add --pace trace or rate:50/s".to_owned());
    }
    Ok(())
}

/// Memory that can be had without swapping, as the kernel estimates it.
fn available_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse::<u64>().ok());
    kib.map_or(u64::MAX, |kib| kib << 10)
}
