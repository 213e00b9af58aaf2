//! The original that a proof replays: a trace, with the flags of `kvtrace replay`.

use std::path::Path;

use crate::cli::Global;
use crate::cli::replay::ReplayFlags;
use crate::replay::{ReplayConfig, Target};

use super::Args;

/// How a trace is replayed.
#[derive(Clone, Copy)]
pub struct Again<'a> {
    pub trace: &'a Path,
    flags: &'a ReplayFlags,
}

impl<'a> Again<'a> {
    pub fn of(args: &'a Args) -> Self {
        Self { trace: &args.input, flags: &args.replay }
    }

    /// The replay that is meant; `storage` is the folder that tier 2 is by default. A job copies no memory, and
    /// copies would slow a device that the same processors serve: tier 1 too is time that passes.
    pub fn config(&self, storage: &Path, global: Global) -> ReplayConfig {
        let mut config = self.flags.config(self.trace, storage, global);
        if self.models_tier_1() {
            config.targets[1] = memory();
        }
        config
    }

    /// Whether tier 1 is a model that nobody asked for.
    fn models_tier_1(&self) -> bool {
        self.flags.leaves_tier_1_open()
    }

    /// That tier 1 is one, for people.
    pub fn about(&self) -> Option<String> {
        self.models_tier_1().then(|| {
            format!(
                "Replayed with {} (time that passes) as tier 1: a job copies no memory; --tier-1 dram copies it",
                memory()
            )
        })
    }

    /// What `kvtrace replay` is told to do the same, beside what was typed.
    pub fn unsaid(&self) -> String {
        if self.models_tier_1() { format!(" --tier-1 {}", memory()) } else { String::new() }
    }
}

/// What stands for memory: what stands for the GPU's by default.
fn memory() -> Target {
    let [memory, ..] = Target::defaults();
    memory
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        flags: ReplayFlags,
    }

    #[test]
    fn memory_is_time_unless_it_is_named_or_left_out() {
        let replayed = |line: &str| {
            let words = line.split(' ').filter(|word| !word.is_empty());
            let Line { flags } = Line::parse_from(["kvtrace"].into_iter().chain(words));
            let again = Again { trace: Path::new("t.csv"), flags: &flags };
            let [_, tier_1, _] = again.config(Path::new("D"), Global::default()).targets;
            (tier_1.to_string(), again.unsaid(), again.about().is_some())
        };
        let model = "model:64GB/s+10us";
        assert_eq!(replayed(""), (model.to_owned(), format!(" --tier-1 {model}"), true));
        assert_eq!(replayed("--tier-1 dram"), ("dram".to_owned(), String::new(), false));
        assert_eq!(replayed("--only-tier 2"), ("skip".to_owned(), String::new(), false));
    }
}
