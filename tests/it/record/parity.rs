//! The reference's own trace of 32 users, against ours of the same users.

use kvtrace::cache::{Limits, Rules};
use kvtrace::error::Result;
use kvtrace::model::Model;
use kvtrace::progress::Silent;
use kvtrace::seed::Seed;
use kvtrace::serve::{self, Config, GpuModel, ObjectModel, Phases, QueueOrder, Sink};
use kvtrace::stop::Stop;
use kvtrace::trace::{Op, Phase, Row, Served, Tier, TraceReader};
use kvtrace::units::GIB;
use kvtrace::workload::{Character, Qos, Synthetic, SyntheticOptions, Workload};

use crate::support::data;

/// What is compared.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    rows: f64,
    writes: f64,
    written_bytes: f64,
    evict_pairs: f64,
    reads: [f64; 3],
}

impl Figures {
    fn take(&mut self, record: &Row) {
        self.rows += 1.0;
        match (record.op, record.phase) {
            (Op::Write, Phase::Prefill) => {
                self.writes += 1.0;
                self.written_bytes += record.size_bytes as f64;
            }
            (Op::Write, Phase::Evict) => self.evict_pairs += 1.0,
            (Op::Read, Phase::Decode) => self.reads[record.tier.index()] += 1.0,
            _ => {}
        }
    }

    fn add(&mut self, other: Figures, weight: f64) {
        self.rows += other.rows * weight;
        self.writes += other.writes * weight;
        self.written_bytes += other.written_bytes * weight;
        self.evict_pairs += other.evict_pairs * weight;
        for (mine, theirs) in self.reads.iter_mut().zip(other.reads) {
            *mine += theirs * weight;
        }
    }

    fn share(&self, tier: Tier) -> f64 {
        self.reads[tier.index()] / self.reads.iter().sum::<f64>()
    }
}

impl Sink for Figures {
    fn row(&mut self, row: Row) -> Result<()> {
        self.take(&row);
        Ok(())
    }

    fn request(&mut self, _served: Served) -> Result<()> {
        Ok(())
    }
}

fn population(text: &str) -> Vec<(Character, Qos)> {
    let user = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        let number = |at: usize| fields[at].parse().expect("a number");
        let character =
            Character { context: number(2), generation: number(3), think_s: fields[4].parse().expect("seconds") };
        (character, Qos::Batch)
    };
    text.lines().skip(1).map(user).collect()
}

/// The reference's settings: 30 s, 16 GiB of GPU memory, 32 GiB of host memory, nothing takes time.
fn recorded(seed: u64, users: &[(Character, Qos)]) -> Figures {
    let config = Config {
        model: Model::resolve("llama3.1-8b", None).expect("a known model"),
        tensor_parallel: 1,
        limits: Limits { capacity_bytes: [Some(16 * GIB), Some(32 * GIB), None], target_usage: 0.8 },
        timing: "none".parse().expect("a timing"),
        gpu: GpuModel::None,
        workers: 32,
        queue: QueueOrder::Qos,
        live_conversations: Some(1000),
        duration_ns: Some(30_000_000_000),
        max_requests: None,
        pcie_bytes_per_s: None,
        objects: ObjectModel::default(),
        seed: Seed(seed),
        phases: Phases::Both,
        rag: None,
        max_concurrent_allocs: None,
        rules: Rules::default(),
    };
    let options = SyntheticOptions { users: 32, multi_turn: true, shared_prefixes: false, request_rate: None };
    let requests = Synthetic::of(Seed(seed), options, users.iter().copied());
    let mut figures = Figures::default();
    let workload = Workload::Open(Box::new(requests));
    let ended = serve::record(&config, workload, &mut figures, &Stop::new(), &Silent).expect("nothing can fail");
    assert_eq!(ended.stats.rows as f64, figures.rows);
    figures
}

#[test]
fn the_same_users_make_the_same_load_as_in_the_reference() {
    let (Some(users), Some(trace)) =
        (data("mlperf/users_seed42.csv"), data("mlperf/syn_llama8b_32u_30s_seed42.csv.zst"))
    else {
        return;
    };
    let users = population(&std::fs::read_to_string(users).expect("the population"));
    let mut theirs = Figures::default();
    TraceReader::open(&trace)
        .expect("the reference's trace")
        .for_each(|row| theirs.take(&Row::from(&row.expect("a row"))));
    let mut ours = Figures::default();
    for seed in 0..20 {
        ours.add(recorded(seed, &users), 1.0 / 20.0);
    }
    let compared = [
        ("requests", theirs.writes, ours.writes),
        ("rows a write", theirs.rows / theirs.writes, ours.rows / ours.writes),
        ("evictions a write", theirs.evict_pairs / theirs.writes, ours.evict_pairs / ours.writes),
        ("mean object", theirs.written_bytes / theirs.writes, ours.written_bytes / ours.writes),
    ];
    let shares = Tier::ALL.map(|tier| (theirs.share(tier), ours.share(tier)));
    let all = format!("{compared:?} {shares:?}");
    assert!(compared.iter().all(|(_, theirs, ours)| (ours / theirs - 1.0).abs() < 0.05), "{all}");
    assert!(shares.iter().all(|(theirs, ours)| (ours - theirs).abs() < 0.05), "{all}");
}
