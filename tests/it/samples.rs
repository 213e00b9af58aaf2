//! Results made by hand, for what reads results: small, with known truth, shaped like real ones.

use std::collections::BTreeMap;

use kvtrace::measure::block::{BLOCK_SCHEMA, BlockDevice, BlockFilter, BlockSet, KernelCounters};
use kvtrace::measure::replay::{
    Cpu, Host, Latency, REPLAY_SCHEMA, Series, TierReport, Timing, Totals, TraceFacts, Verdict, Verify,
};
use kvtrace::measure::runs::Runs;
use kvtrace::measure::{BlockResult, Histogram, LogLinear, ReplayResult};
use kvtrace::seed::Seed;
use kvtrace::trace::{Op, Phase, Tier};

/// A histogram of exact values: buckets one `width` wide.
pub fn exact(name: &str, op: &str, unit: &str, width: i64, values: &[(i64, u64)]) -> Histogram {
    Histogram {
        name: name.to_owned(),
        op: Some(op.to_owned()),
        unit: unit.to_owned(),
        rel_width: 0.0,
        width: None,
        count: values.iter().map(|value| value.1).sum(),
        sum: values.iter().map(|value| i128::from(value.0) * i128::from(value.1)).sum(),
        min: values.first().map(|value| value.0),
        max: values.last().map(|value| value.0),
        buckets: values.iter().map(|&(value, count)| (value, value + width, count)).collect(),
    }
}

/// A histogram of `count` times with the given median, spread over a factor of three with a
/// tail, the same on every call.
pub fn times(name: &str, op: Option<&str>, median_ns: f64, count: u64) -> Histogram {
    let mut stream = Seed(1).stream(name, median_ns as u64, count);
    let mut counter = LogLinear::times();
    for _ in 0..count {
        let tail = if stream.chance(0.01) { 8.0 } else { 1.0 };
        counter.record((median_ns * tail * (0.4 + 0.8 * stream.unit() + stream.exponential(0.25))) as u64);
    }
    counter.save(name, op, "ns")
}

/// What a direction of a capture is made of.
pub struct Load<'a> {
    pub op: &'a str,
    pub sizes: &'a [(i64, u64)],
    /// `(depth, share of time in ns)`.
    pub depths: &'a [(i64, u64)],
}

/// A capture of the given loads on a device of 64 GiB.
pub fn block(loads: &[Load]) -> BlockResult {
    let mut histograms = Vec::new();
    let mut captured = KernelCounters::default();
    for load in loads {
        let sizes = exact("size", load.op, "bytes", 512, load.sizes);
        let bytes = u64::try_from(sizes.sum).expect("sizes are positive");
        match load.op {
            "read" => (captured.read_ios, captured.read_bytes) = (sizes.count, bytes),
            _ => (captured.write_ios, captured.write_bytes) = (sizes.count, bytes),
        }
        histograms.push(times("d2c", Some(load.op), 400_000.0, sizes.count.min(20_000)));
        histograms.push(times("q2d", Some(load.op), 3_000.0, sizes.count.min(20_000)));
        histograms.push(exact("inflight_time", load.op, "ios", 1, load.depths));
        let zone = 64i64 << 20;
        let places: Vec<_> = (0..8).map(|i| ((40 + i) * zone, 100 + 20 * i as u64)).collect();
        histograms.push(exact("lba", load.op, "bytes", zone, &places));
        histograms.push(sizes);
    }
    BlockResult {
        schema: BLOCK_SCHEMA.to_owned(),
        tool: kvtrace::TOOL.to_owned(),
        complete: true,
        source: "tp_btf".to_owned(),
        devices: vec![BlockDevice {
            name: "vda".to_owned(),
            number: "254:0".to_owned(),
            size_bytes: 64 << 30,
            scheduler: "none".to_owned(),
            max_sectors_kb: 1280,
            write_cache: "write back".to_owned(),
            kernel: captured,
            captured,
            times: None,
            uncounted: false,
        }],
        filter: BlockFilter::default(),
        duration_s: Some(12.5),
        histograms,
        other: BlockSet::default(),
        phases: None,
        loss: BTreeMap::from([("map_full".to_owned(), 0), ("left_inflight".to_owned(), 0)]),
        tainted: false,
        taint_reasons: Vec::new(),
        notes: Vec::new(),
        probes: Vec::new(),
        processes: None,
    }
}

/// A load like a KV cache's: mostly large reads, some writes, the tails of objects.
pub fn kv_block() -> BlockResult {
    let sizes = |n: u64| [(4096, n / 40), (36_864, n / 25), (131_072, n / 10), (262_144, n / 5), (524_288, n)];
    block(&[
        Load { op: "read", sizes: &sizes(20_000), depths: &[(0, 400), (4, 900), (8, 6_000), (12, 2_000)] },
        Load { op: "write", sizes: &sizes(1_700), depths: &[(0, 7_000), (1, 2_000), (3, 900)] },
    ])
}

/// What six kinds of rows took.
fn latency() -> Vec<Latency> {
    let kinds = [
        (Tier::Dram, Op::Read, Phase::Decode, 60_000.0, 900),
        (Tier::Dram, Op::Write, Phase::Prefill, 90_000.0, 300),
        (Tier::Storage, Op::Read, Phase::Decode, 2_400_000.0, 12_000),
        (Tier::Storage, Op::Read, Phase::Prefill, 3_100_000.0, 1_500),
        (Tier::Storage, Op::Write, Phase::Prefill, 4_800_000.0, 700),
        (Tier::Storage, Op::Write, Phase::Evict, 5_600_000.0, 1_100),
    ];
    let measured = |(tier, op, phase, median, count): (Tier, Op, Phase, f64, u64)| Latency {
        tier,
        op,
        phase,
        ops: count,
        bytes: count << 20,
        response: times("response", None, median * 1.7, count),
        service: times("service", None, median, count),
        by_size: Vec::new(),
    };
    kinds.map(measured).into()
}

/// The first two tiers in memory, the third on storage.
fn tiers() -> Vec<TierReport> {
    vec![
        TierReport {
            tier: 0,
            backend: "model".to_owned(),
            target: "model:64GB/s+10us".to_owned(),
            ..TierReport::default()
        },
        TierReport {
            tier: 1,
            backend: "dram".to_owned(),
            target: "dram".to_owned(),
            read_bytes: 1 << 30,
            ..TierReport::default()
        },
        TierReport {
            tier: 2,
            backend: "io_uring".to_owned(),
            target: "dir:./d".to_owned(),
            direct: Some(true),
            layout: Some("slab".to_owned()),
            read_bytes: 13 << 30,
            write_bytes: 2 << 30,
            facts: BTreeMap::from([("filesystem".to_owned(), "ext4".into())]),
            ..TierReport::default()
        },
    ]
}

/// A replay that moved bytes on two tiers.
pub fn replay(block: Option<BlockResult>) -> ReplayResult {
    let wave = |base: f64, i: u64| (base * (1.0 + 0.25 * ((i as f64) / 5.0).sin())) as u64;
    ReplayResult {
        schema: REPLAY_SCHEMA.to_owned(),
        gds: None,
        tool: kvtrace::TOOL.to_owned(),
        complete: true,
        valid: true,
        invalid_reasons: Vec::new(),
        notes: Vec::new(),
        runs: Runs::default(),
        host: Host {
            kernel: "6.18.0".to_owned(),
            cpu: "A Processor".to_owned(),
            cpus: 2,
            memory_bytes: 8 << 30,
            started: "2026-11-22T03:00:00Z".to_owned(),
            ..Host::default()
        },
        trace: TraceFacts {
            file: "t.csv.zst".to_owned(),
            sha256: "ab".repeat(32),
            seed: Some(42),
            model: Some("llama3.1-8b".to_owned()),
            rows: 16_500,
            ..TraceFacts::default()
        },
        config: BTreeMap::from([("pace".to_owned(), "trace".into()), ("max-objects".to_owned(), 16.into())]),
        totals: Totals {
            ops: 16_500,
            read_bytes: 14 << 30,
            write_bytes: 2 << 30,
            moved_bytes: 16 << 30,
            wall_s: 12.0,
            read_gb_per_s: 1.25,
            write_gb_per_s: 0.18,
            offered_gb_per_s: Some(1.4),
            prepare_s: 3.2,
        },
        cpu: Cpu { user_s: 2.0, sys_s: 3.0, s_per_gb: Some(0.29), ..Cpu::default() },
        tiers: tiers(),
        latency: latency(),
        requests: None,
        requests_absent: Some("there is no requests file beside the trace".to_owned()),
        verdict: Verdict {
            bound: "device".to_owned(),
            because: "D2C is 93 % of the service time of tier 2 reads".to_owned(),
        },
        tokens: None,
        timing: Timing {
            pacing: "trace".to_owned(),
            lateness: times("lateness", None, 40_000.0, 4_000),
            wait: times("wait", None, 10_000.0, 4_000),
            late_fraction: 0.013,
            drift_ppm: Some(12.0),
            ..Timing::default()
        },
        verify: Verify { level: "stamp".to_owned(), checked_bytes: 14 << 30, checks: 3_400_000, ..Verify::default() },
        errors: Vec::new(),
        amplification: Vec::new(),
        block,
        series: Series {
            interval_s: 0.1,
            tier2_read_bytes: (0..120).map(|i| wave(125e6, i)).collect(),
            tier2_write_bytes: (0..120).map(|i| wave(18e6, i * 3)).collect(),
            tier1_bytes: (0..120).map(|i| wave(600e6, i * 2)).collect(),
            ops: vec![140; 120],
            lateness_max_ns: (0..120).map(|i| wave(900e3, i * 7)).collect(),
        },
    }
}

/// Any result as it lies in a file.
pub fn json<T: serde::Serialize>(result: &T) -> Vec<u8> {
    serde_json::to_vec_pretty(result).expect("results serialise")
}
