//! Whether what is said of storage tiers makes sense: tier by tier, and without contradictions.

use crate::error::{Error, Result};

use crate::replay::config::{Fadvise, IoMode, ReplayConfig};
use crate::replay::per_tier::{PerTier, Word};
use crate::replay::target::Target;

/// Refuses what contradicts itself and what is said of a tier that is not storage.
///
/// # Errors
/// The first of it, as a usage error.
pub fn check(config: &ReplayConfig) -> Result<()> {
    check_named("io", &config.io, config)?;
    check_named("fadvise", &config.fadvise, config)?;
    check_named("durability", &config.durability, config)?;
    for tier in storage_tiers(config) {
        let advice = config.fadvise.of(tier);
        if advice != Fadvise::None && config.io.of(tier) == IoMode::Direct {
            return Err(Error::usage(format!(
                "--fadvise {}: O_DIRECT bypasses the page cache of tier {tier}; add --io {tier}=buffered, or leave it \
                 out",
                config.fadvise
            )));
        }
    }
    Ok(())
}

fn check_named<T: Word>(flag: &str, setting: &PerTier<T>, config: &ReplayConfig) -> Result<()> {
    for (tier, target) in config.targets.iter().enumerate() {
        let Some(value) = setting.named(tier) else { continue };
        // A tier that is left out is another's business: `--only-tier` takes the flags of all.
        if value != T::ALL[0] && !target.is_storage() && *target != Target::Skip {
            return Err(Error::usage(format!(
                "--{flag} {setting}: tier {tier} is {target}, not storage; leave {tier}={} out, or give --tier-{tier} \
                 dir:PATH",
                value.word()
            )));
        }
    }
    Ok(())
}

/// What was said and has no effect, for the notes of a result.
pub fn without_effect(config: &ReplayConfig) -> Vec<String> {
    let mut notes = Vec::new();
    notes.extend(unheard("io", &config.io, config));
    notes.extend(unheard("fadvise", &config.fadvise, config));
    notes.extend(unheard("durability", &config.durability, config));
    notes
}

fn unheard<T: Word>(flag: &str, setting: &PerTier<T>, config: &ReplayConfig) -> Option<String> {
    if setting.common().is_some_and(|value| value != T::ALL[0]) && storage_tiers(config).next().is_none() {
        return Some(format!("--{flag} {setting} has no effect: no tier is storage"));
    }
    let skipped = |tier: &usize| {
        config.targets[*tier] == Target::Skip && setting.named(*tier).is_some_and(|value| value != T::ALL[0])
    };
    let tier = (0..3).find(skipped)?;
    Some(format!("--{flag} {setting} has no effect on tier {tier}, which is left out"))
}

fn storage_tiers(config: &ReplayConfig) -> impl Iterator<Item = usize> {
    (0..3).filter(|tier| config.targets[*tier].is_storage())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn config(io: &str, fadvise: &str, durability: &str) -> ReplayConfig {
        let mut config = ReplayConfig::new(PathBuf::from("t.csv"));
        config.io = io.parse().unwrap();
        config.fadvise = fadvise.parse().unwrap();
        config.durability = durability.parse().unwrap();
        config
    }

    #[test]
    fn contradictions_are_refused_tier_by_tier() {
        let said = |io, fadvise, durability| check(&config(io, fadvise, durability)).map_err(|e| e.to_string());
        assert_eq!(said("2=buffered", "dontneed", "1=none,2=fsync"), Ok(()));
        assert!(said("direct", "2=dontneed", "none").unwrap_err().contains("--io 2=buffered"));
        assert!(said("direct", "none", "1=fsync").unwrap_err().contains("tier 1 is dram, not storage"));
        assert!(said("0=buffered", "none", "none").is_err());
        let mut two = config("1=buffered", "sequential", "none");
        two.targets[1] = "dir:a".parse().unwrap();
        assert!(check(&two).unwrap_err().to_string().contains("of tier 2"));
        two.fadvise = "1=sequential".parse().unwrap();
        assert!(check(&two).is_ok());
    }

    #[test]
    fn what_has_no_effect_is_said() {
        let mut config = config("direct", "none", "1=fsync");
        assert!(without_effect(&config).is_empty() || check(&config).is_err());
        config.targets[1] = Target::Skip;
        assert!(check(&config).is_ok() && without_effect(&config)[0].contains("tier 1, which is left out"));
        config.targets[2] = Target::Dram(None);
        config.durability = "fsync".parse().unwrap();
        assert_eq!(without_effect(&config), ["--durability fsync has no effect: no tier is storage"]);
    }
}
