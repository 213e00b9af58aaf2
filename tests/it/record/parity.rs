//! The load of synthetic users against the reference: its own trace of 32 users, and, over many
//! draws of users, a second model of its rules that shares nothing with ours but the users.

use std::fmt::Write;

use kvtrace::cache::{Limits, Rules};
use kvtrace::error::Result;
use kvtrace::model::Model;
use kvtrace::progress::Silent;
use kvtrace::seed::Seed;
use kvtrace::serve::{self, Config, GpuModel, ObjectModel, Phases, QueueOrder, Sink};
use kvtrace::stop::Stop;
use kvtrace::trace::{Op, Phase, Row, Served, TraceReader};
use kvtrace::units::GIB;
use kvtrace::workload::{Character, Population, Synthetic, SyntheticOptions, Workload};

use super::naive::Naive;
use crate::support::{Bench, data};

/// What is compared.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    pub rows: f64,
    pub writes: f64,
    pub written_bytes: f64,
    pub evict_pairs: f64,
    pub reads: [f64; 3],
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

    pub fn add(&mut self, other: Figures) {
        self.rows += other.rows;
        self.writes += other.writes;
        self.written_bytes += other.written_bytes;
        self.evict_pairs += other.evict_pairs;
        for (mine, theirs) in self.reads.iter_mut().zip(other.reads) {
            *mine += theirs;
        }
    }

    fn of(trace: &std::path::Path) -> Self {
        let mut figures = Self::default();
        let rows = TraceReader::open(trace).expect("a trace");
        rows.for_each(|row| figures.take(&Row::from(&row.expect("a row"))));
        figures
    }

    fn shares(&self) -> [f64; 3] {
        self.reads.map(|reads| reads / self.reads.iter().sum::<f64>())
    }

    /// Fails unless these agree: `ours` are sums over `runs` runs, `theirs` over one; `points` is
    /// the most by which the shares of reads may differ.
    fn agree(ours: &Figures, runs: f64, theirs: &Figures, points: f64) {
        let compared = [
            ("writes", theirs.writes, ours.writes / runs),
            ("rows a write", theirs.rows / theirs.writes, ours.rows / ours.writes),
            ("evictions a write", theirs.evict_pairs / theirs.writes, ours.evict_pairs / ours.writes),
            ("mean object", theirs.written_bytes / theirs.writes, ours.written_bytes / ours.writes),
        ];
        let (theirs, ours) = (theirs.shares(), ours.shares());
        let all = format!("{compared:?} {theirs:?} {ours:?}");
        assert!(compared.iter().all(|(_, theirs, ours)| (ours / theirs - 1.0).abs() < 0.05), "{all}");
        assert!(theirs.iter().zip(ours).all(|(theirs, ours)| (ours - theirs).abs() < points), "{all}");
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

#[test]
fn the_same_users_make_the_same_load_as_in_the_reference() {
    let (Some(users), Some(trace)) =
        (data("mlperf/users_seed42.csv"), data("mlperf/syn_llama8b_32u_30s_seed42.csv.zst"))
    else {
        return;
    };
    let mut config = "source: synthetic\nduration: 30\nusers:\n".to_owned();
    for line in std::fs::read_to_string(users).expect("the population").lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let (context, generation, think_s) = (fields[2], fields[3], fields[4]);
        writeln!(config, "- {{context: {context}, generation: {generation}, think_s: {think_s}, qos: batch}}").unwrap();
    }
    let bench = Bench::new();
    bench.write("users.yaml", config);
    let mut ours = Figures::default();
    for seed in 0..20 {
        let flags = "--tier-timing none --generation-mode none --disable-prefix-caching --columns mlperf --quiet";
        let flags: Vec<&str> = flags.split(' ').collect();
        let seed = seed.to_string();
        bench.ok(&[&["record", "--config", "users.yaml", "--seed", &seed, "-o", "t.csv"], &flags[..]].concat());
        ours.add(Figures::of(&bench.path("t.csv")));
    }
    Figures::agree(&ours, 20.0, &Figures::of(&trace), 0.05);
}

/// Ours of the users whom a seed draws: 30 s, 16 GiB of GPU memory, 32 GiB of host memory, nothing
/// takes time.
fn recorded(seed: Seed, users: u32) -> Figures {
    let config = Config {
        model: Model::resolve("llama3.1-8b", None).expect("a known model"),
        tensor_parallel: 1,
        limits: Limits { capacity_bytes: [Some(16 * GIB), Some(32 * GIB), None], target_usage: 0.8 },
        timing: "none".parse().expect("a timing"),
        gpu: GpuModel::None,
        workers: users,
        queue: QueueOrder::Qos,
        live_conversations: Some(1000),
        duration_ns: Some(30_000_000_000),
        max_requests: None,
        pcie_bytes_per_s: None,
        objects: ObjectModel::default(),
        seed,
        phases: Phases::Both,
        rag: None,
        max_concurrent_allocs: None,
        rules: Rules::default(),
        priorities: [1, 2, 3],
        most_prefixes: 1000,
    };
    let population = Population::REFERENCE;
    let options = SyntheticOptions { users, multi_turn: true, shared_prefixes: false, request_rate: None, population };
    let mut figures = Figures::default();
    let workload = Workload::Open(Box::new(Synthetic::new(seed, options)));
    serve::record(&config, workload, &mut figures, &Stop::new(), &Silent).expect("nothing can fail");
    figures
}

/// Per run the same users as ours, so that what is left of the difference is the model and not the
/// draw of users, which [`drawn_users_have_the_means_of_their_templates`] is about.
#[test]
fn a_second_model_of_the_same_rules_gives_the_same_load() {
    let (mut ours, mut theirs) = (Figures::default(), Figures::default());
    for seed in (0..100).map(Seed) {
        ours.add(recorded(seed, 32));
        let users: Vec<Character> = (0..32).map(|number| Population::REFERENCE.draw(seed, number).0).collect();
        theirs.add(Naive::new(seed.0 + 7_000, 30.0).run(&users));
    }
    let runs = 100.0;
    theirs.writes /= runs;
    theirs.rows /= runs;
    theirs.written_bytes /= runs;
    theirs.evict_pairs /= runs;
    Figures::agree(&ours, runs, &theirs, 0.02);
}

/// The closed forms: a user who thinks t seconds asks 1/t times a second, of which the mean over
/// [a, b] is ln(b/a)/(b - a); the mean request of a user with C tokens has 5/8 C of them; the
/// mean over users counts every user as often as it asks, and contexts and pauses are independent
/// within a template.
#[test]
fn drawn_users_have_the_means_of_their_templates() {
    let population = Population::REFERENCE;
    let (mut rate, mut tokens) = (0.0, 0.0);
    for template in population.templates {
        let (a, b) = template.think_s;
        let asks = (b / a).ln() / (b - a) / 3.0;
        rate += asks;
        tokens += asks * 0.625 * (template.context.0 + template.context.1) as f64 / 2.0;
    }
    let (expected_rate, expected_tokens) = (rate, tokens / rate);
    assert!((expected_rate - 2.46).abs() < 0.01, "the reference's figure: {expected_rate}");
    let (mut rate, mut tokens, users) = (0.0, 0.0, 32 * 100);
    for number in 0..users {
        let (character, _) = population.draw(Seed(u64::from(number) / 32), number % 32);
        rate += 1.0 / character.think_s;
        tokens += 0.625 * character.context as f64 / character.think_s;
    }
    let (rate, tokens) = (rate / f64::from(users), tokens / rate);
    assert!((rate / expected_rate - 1.0).abs() < 0.05, "{rate} {expected_rate}");
    assert!((tokens / expected_tokens - 1.0).abs() < 0.05, "{tokens} {expected_tokens}");
}
