//! How fast `record` simulates, apart from writing: synthetic users into a sink that only counts.
//!
//! `cargo bench --bench record [-- NAME]` prints million rows a second, the median of some runs;
//! with a NAME only the settings whose name contains it. `tools/bench` measures whole recordings.

use std::time::Instant;

use kvtrace::cache::{Limits, Rules};
use kvtrace::error::Result;
use kvtrace::model::Model;
use kvtrace::progress::Silent;
use kvtrace::seed::Seed;
use kvtrace::serve::{self, Config, GpuModel, ObjectModel, Phases, QueueOrder, Sink};
use kvtrace::stop::Stop;
use kvtrace::trace::{Row, Served};
use kvtrace::units::GIB;
use kvtrace::workload::{Population, Synthetic, SyntheticOptions, Workload};

/// Runs of every setting, of which the median counts.
const RUNS: usize = 5;

/// What a run made.
#[derive(Default)]
struct Counted {
    rows: u64,
    requests: u64,
    bytes: u64,
}

impl Sink for Counted {
    fn row(&mut self, row: Row) -> Result<()> {
        self.rows += 1;
        self.bytes = self.bytes.wrapping_add(row.size_bytes);
        Ok(())
    }

    fn request(&mut self, _served: Served) -> Result<()> {
        self.requests += 1;
        Ok(())
    }
}

/// What is recorded.
struct Setting {
    name: &'static str,
    users: u32,
    max_requests: u64,
    storage_gib: Option<u64>,
    timing: &'static str,
    live_conversations: Option<u64>,
}

const SETTINGS: [Setting; 4] = [
    Setting {
        name: "order only",
        users: 128,
        max_requests: 200_000,
        storage_gib: Some(200),
        timing: "none",
        live_conversations: Some(1000),
    },
    Setting {
        name: "order only, storage without a limit",
        users: 128,
        max_requests: 200_000,
        storage_gib: None,
        timing: "none",
        live_conversations: Some(1000),
    },
    Setting {
        name: "tiers that take time, overloaded",
        users: 128,
        max_requests: 200_000,
        storage_gib: None,
        timing: "nvme-gen5",
        live_conversations: Some(1000),
    },
    Setting {
        name: "100,000 users, 1,000,000 objects",
        users: 100_000,
        max_requests: 1_500_000,
        storage_gib: Some(465_000),
        timing: "none",
        live_conversations: None,
    },
];

fn run(setting: &Setting) -> (Counted, f64) {
    let config = Config {
        model: Model::resolve("llama3.1-8b", None).expect("a known model"),
        tensor_parallel: 1,
        limits: Limits {
            capacity_bytes: [Some(16 * GIB), Some(32 * GIB), setting.storage_gib.map(|gib| gib * GIB)],
            target_usage: 0.8,
        },
        timing: setting.timing.parse().expect("a timing"),
        gpu: GpuModel::None,
        workers: setting.users.min(500),
        queue: QueueOrder::Qos,
        live_conversations: setting.live_conversations,
        duration_ns: None,
        max_requests: Some(setting.max_requests),
        pcie_bytes_per_s: None,
        objects: ObjectModel::default(),
        seed: Seed(42),
        phases: Phases::Both,
        rag: None,
        max_concurrent_allocs: None,
        rules: Rules::default(),
        priorities: [1, 2, 3],
        most_prefixes: 1000,
    };
    let population = Population::REFERENCE;
    let options = SyntheticOptions {
        users: setting.users,
        multi_turn: true,
        shared_prefixes: true,
        request_rate: None,
        population,
    };
    let workload = Workload::Open(Box::new(Synthetic::new(Seed(42), options)));
    let mut counted = Counted::default();
    let started = Instant::now();
    serve::record(&config, workload, &mut counted, &Stop::new(), &Silent).expect("a recording");
    (counted, started.elapsed().as_secs_f64())
}

#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
fn main() {
    // cargo adds `--bench`.
    let wanted = std::env::args().skip(1).find(|word| !word.starts_with('-')).unwrap_or_default();
    for setting in SETTINGS.iter().filter(|setting| setting.name.contains(&wanted)) {
        let mut rates = Vec::new();
        let mut last = Counted::default();
        for _ in 0..RUNS {
            let (counted, seconds) = run(setting);
            rates.push(counted.rows as f64 / seconds / 1e6);
            last = counted;
        }
        rates.sort_by(f64::total_cmp);
        println!(
            "{:40} {:6.2} M rows/s ({:.2} to {:.2}) of {} rows of {} requests, {:.1} PB",
            setting.name,
            rates[RUNS / 2],
            rates[0],
            rates[RUNS - 1],
            last.rows,
            last.requests,
            last.bytes as f64 / 1e15
        );
    }
}
