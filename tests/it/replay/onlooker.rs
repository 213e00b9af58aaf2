//! What watches a replay from outside is called around the run alone.

use std::fs;

use kvtrace::error::Result;
use kvtrace::measure::BlockResult;
use kvtrace::progress::Silent;
use kvtrace::replay::{Device, ReplayConfig, RunWatch, Target, replay};
use kvtrace::stop::Stop;

use super::trace;
use crate::support::Bench;

/// Notes when it was called and what the disk below the target had written by then.
#[derive(Default)]
struct Onlooker {
    seen: Vec<(&'static str, u64)>,
    devices: Vec<Device>,
}

impl Onlooker {
    fn sectors_written(&self) -> u64 {
        let stat = |d: &Device| fs::read_to_string(format!("/sys/block/{}/stat", d.name)).unwrap_or_default();
        let field =
            |text: String| text.split_ascii_whitespace().nth(6).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
        self.devices.iter().map(|d| field(stat(d))).sum()
    }
}

impl RunWatch for Onlooker {
    fn begin(&mut self, devices: &[Device], pid: u32) -> Result<()> {
        assert_eq!(pid, std::process::id());
        self.devices = devices.to_vec();
        self.seen.push(("begin", self.sectors_written()));
        Ok(())
    }

    fn end(&mut self) -> Result<Option<BlockResult>> {
        self.seen.push(("end", self.sectors_written()));
        Ok(None)
    }
}

#[test]
fn an_onlooker_sees_the_run_and_not_the_preparation() {
    let bench = Bench::on_disk();
    let rows = ["0 Write 50000000 Tier-2 a Prefill", "1 Read 50000000 Tier-2 a Decode"];
    let mut config = ReplayConfig::new(trace(&bench, "t.csv", &rows));
    config.targets[2] = Target::Dir(bench.path("D"));
    let mut onlooker = Onlooker::default();
    let replayed = replay(&config, &mut onlooker, &Stop::new(), &Silent).unwrap();
    assert!(replayed.failure.is_none() && replayed.result.valid);
    let [("begin", before), ("end", after)] = onlooker.seen[..] else { panic!("{:?}", onlooker.seen) };
    if !onlooker.devices.is_empty() {
        assert!((after - before) * 512 >= 50_000_000, "{} sectors", after - before);
    }
}
