//! One run among several: shards on several hosts, their common start, trials.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::measure::runs::Shard;
use crate::output;
use crate::replay::{self, ReplayConfig, ShardChoice, StartAt, Target};
use crate::units::Time;

/// Stands for the rank in paths.
const RANK: &str = "{rank}";

/// Several runs.
#[derive(Clone, Debug, clap::Args)]
pub struct HostFlags {
    /// Replay one part of the trace, by the hash of the key: 0/2 is the first of two, 0/1 all of it.
    /// Or the launcher to believe: openmpi, pmi, pmix, slurm, kubernetes. Limits are each shard's
    /// own, --pace rate:N/s is that of all together; `{rank}` in paths is the number of the shard,
    /// and a dir: without it gets a folder rank_N [default: what the environment says, if one of
    /// them started this process]
    #[arg(long, value_name = "I/N")]
    shard: Option<ShardChoice>,
    /// How many shards there are, where the launcher does not say (Kubernetes; also
    /// KVTRACE_SHARD_COUNT)
    #[arg(long, value_name = "N")]
    shard_count: Option<u32>,
    /// Start the clock at this moment, after preparing: 2026-11-22T10:00:00Z, unix seconds, or +10s
    /// from now [default: when everything is ready]
    #[arg(long, value_name = "MOMENT")]
    start_at: Option<StartAt>,
    /// Run the trace so often, from the same state; the result has means and 95 % intervals
    #[arg(long, value_name = "N", default_value_t = 1)]
    trials: u32,
    /// The rest between two trials
    #[arg(long, value_name = "TIME", default_value = "0s")]
    cooldown: Time,
}

impl HostFlags {
    /// Says it to the configuration, and the rank to the paths in it. Returns where the result goes.
    ///
    /// # Errors
    /// A half-set or contradictory environment; a result that every rank would write.
    pub fn apply(&self, config: &mut ReplayConfig, output: Option<&Path>) -> Result<Option<PathBuf>> {
        let env = |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        config.shard = replay::shard(self.shard.as_ref(), self.shard_count, &env)?;
        config.start_at = self.start_at;
        config.trials = self.trials;
        config.cooldown_ns = self.cooldown.0;
        let shard = config.shard.as_ref();
        for target in &mut config.targets {
            match target {
                Target::Dir(path) => *path = folder(path, shard),
                Target::File { path, .. } | Target::Block { path, .. } => *path = ranked(path, shard),
                _ => {}
            }
        }
        let typed = matches!(self.shard, Some(ShardChoice::Part { .. }));
        match (output, shard) {
            (Some(path), Some(shard)) if !typed && !has_rank(path) => Err(Error::usage(format!(
                "-o {}: {} ranks would write one {}; write -o r-{RANK}.json, and merge the results afterwards",
                path.display(),
                shard.count,
                if output::is_standard(path) { "stream" } else { "file" }
            ))),
            (path, shard) => Ok(path.map(|path| ranked(path, shard))),
        }
    }
}

fn has_rank(path: &Path) -> bool {
    path.to_string_lossy().contains(RANK)
}

/// A path with the rank in its place; the rank of a run that is not one of several is 0.
fn ranked(path: &Path, shard: Option<&Shard>) -> PathBuf {
    let Some(text) = path.to_str().filter(|text| text.contains(RANK)) else { return path.to_owned() };
    text.replace(RANK, &shard.map_or(0, |shard| shard.index).to_string()).into()
}

/// A rank's own folder: as typed where the rank has a place in it, otherwise one below it, because
/// ranks on one host would write the same slab.
fn folder(path: &Path, shard: Option<&Shard>) -> PathBuf {
    match shard {
        Some(shard) if !has_rank(path) => path.join(format!("rank_{}", shard.index)),
        _ => ranked(path, shard),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rank_has_paths_of_its_own() {
        let shard = Shard { index: 3, count: 4, source: String::new() };
        let path = |path: &str| PathBuf::from(path);
        assert_eq!(folder(&path("/mnt/kv"), Some(&shard)), path("/mnt/kv/rank_3"));
        assert_eq!(folder(&path("/mnt/nvme{rank}/kv"), Some(&shard)), path("/mnt/nvme3/kv"));
        assert_eq!(folder(&path("/mnt/kv"), None), path("/mnt/kv"));
        assert_eq!(ranked(&path("/dev/nvme{rank}n1"), None), path("/dev/nvme0n1"));
        assert_eq!(ranked(&path("/dev/nvme1n1"), Some(&shard)), path("/dev/nvme1n1"));
    }
}
