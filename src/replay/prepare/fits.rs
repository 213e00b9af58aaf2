//! Whether the plan fits, decided before anything is touched.

use crate::error::{Error, Result};
use crate::units;

use super::extents::GRANULE;
use super::slab::SlabPlan;
use crate::replay::config::{Engine, Fadvise, IoMode, ReplayConfig};
use crate::replay::gpu::{self, Gpu};
use crate::replay::plan::PlanFacts;
use crate::replay::target::Target;

/// Memory that is left to the rest of the machine.
const SPARE: u64 = 256 << 20;

/// What the tiers will need; all of it is there.
pub struct Needs {
    /// The slabs of storage tiers, in tier order.
    pub slabs: Vec<SlabPlan>,
    /// The GPUs of GPU tiers, opened, in tier order.
    pub gpus: Vec<Gpu>,
}

/// Checks every tier without touching it.
///
/// # Errors
/// Which tier is too small or may not be used, and what would help.
pub fn check(config: &ReplayConfig, facts: &PlanFacts) -> Result<Needs> {
    check_settings(config)?;
    let (mut slabs, mut gpus) = (Vec::new(), Vec::new());
    let mut memory = super::ARENA_SHARES * config.bytes_in_flight;
    for (tier, target) in config.targets.iter().enumerate() {
        target.check(tier)?;
        if let Target::Gpu(number) = target {
            gpu::check(tier, *number)?;
        }
        if facts.peak_granules[tier] == 0 {
            continue;
        }
        if target.is_storage() && config.engine == Engine::IoUring {
            slabs.push(SlabPlan::survey(target, tier, facts, config)?);
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
    if slabs.len() == 2 && slabs[0].path == slabs[1].path {
        return Err(Error::usage("two tiers name the same file; give each its own"));
    }
    Ok(Needs { slabs, gpus })
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
    if config.bytes_in_flight < io || config.bytes_in_flight > 512 << 20 {
        return refuse(format!(
            "--bytes-in-flight {}: from one I/O ({}) to 512MiB",
            config.bytes_in_flight,
            units::bytes(io)
        ));
    }
    if config.max_objects == Some(0) {
        return refuse("--max-objects 0: at least one object must be in flight".to_owned());
    }
    if config.fadvise != Fadvise::None && config.io == IoMode::Direct {
        return refuse(format!(
            "--fadvise {}: O_DIRECT bypasses the page cache; add --io buffered, or leave it out",
            config.fadvise.word()
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
    Ok(())
}

/// Memory that can be had without swapping, as the kernel estimates it.
fn available_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse::<u64>().ok());
    kib.map_or(u64::MAX, |kib| kib << 10)
}
