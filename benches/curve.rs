//! How fast hit curves are computed, apart from reading: LRU of all capacities, one policy at one
//! capacity, a generated trace or one in libCacheSim's format.
//!
//! `cargo bench --bench curve` prints the processor time of the exact LRU curve of the conversation
//! trace (in the data folder, see docs) and million references a second of each policy on generated
//! references; `-- big` the curve of 100 M references to 20 M blocks. `-- write FILE` writes the
//! generated references as oracleGeneral (24 bytes each: u32 seconds, u64 object, u32 size, i64 next
//! use), `-- simulate FILE POLICY CAPACITY` simulates such a file; `tools/bench-analyze-policies`
//! uses both beside libCacheSim.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::PathBuf;

use kvtrace::analyze::curve::{Eviction, LruCurve, Semantics, simulated};
use kvtrace::analyze::references::References;
use kvtrace::progress::Silent;
use kvtrace::seed::Seed;
use kvtrace::stop::Stop;
use kvtrace::workload::{RequestTrace, Skipped, TraceOptions};
use rustc_hash::FxHashMap;

/// Runs of every setting, of which the median counts.
const RUNS: usize = 21;
/// Generated references and the blocks that they are to, by a Zipf law of exponent 1.
const REFERENCES: usize = 20_000_000;
const BLOCKS: u32 = 1_000_000;
/// The capacity of the generated setting.
const CAPACITY: u32 = 100_000;
/// Bytes of a reference in oracleGeneral.
const ORACLE_BYTES: usize = 24;

/// Processor time of this thread, s.
fn processor_s() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// What something takes of this thread's processor time, s.
fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let before = processor_s();
    let made = std::hint::black_box(work());
    (made, processor_s() - before)
}

fn conversation() -> Option<References> {
    let root = std::env::var_os("KVTRACE_DATA").map_or_else(|| PathBuf::from("../shared/data"), PathBuf::from);
    let file = root.join("mooncake/conversation_trace.jsonl");
    let options = TraceOptions::as_stamped(None, None);
    let requests = RequestTrace::open(&[file], Seed(0), options, Skipped::default()).ok()?;
    References::of(requests, &Stop::new(), &Silent).ok()
}

/// References to numbered blocks, in requests of so many.
fn numbered(blocks: Vec<u32>, distinct: u32, request: usize) -> References {
    let ends: Vec<usize> = (1..=blocks.len().div_ceil(request)).map(|n| (n * request).min(blocks.len())).collect();
    let arrivals_ns = vec![0; ends.len()];
    References { tokens: vec![16; blocks.len()], blocks, ends, arrivals_ns, distinct, without_ids: 0 }
}

/// Blocks by a Zipf law, as ids that are not dense.
fn zipf() -> Vec<u64> {
    let mut draw = Seed(42).stream("bench curve", 0, 0);
    let most = f64::from(BLOCKS).ln();
    let one = |_| (draw.unit() * most).exp() as u64 * 0x9e37_79b9;
    (0..REFERENCES).map(one).collect()
}

/// Blocks half of which were used lately, a fifth of which are new.
fn big() -> References {
    const BIG: usize = 100_000_000;
    let mut draw = Seed(7).stream("bench curve", 1, 0);
    let mut fresh = 0u64;
    let mut one = |at: usize| {
        let old = fresh;
        match at % 5 {
            0 => fresh += 1,
            1 | 2 => return draw.below(old.max(1)),
            _ => return old - 1 - draw.below(old.min(100_000)),
        }
        old
    };
    let blocks: Vec<u32> = (0..BIG).map(|at| one(at) as u32).collect();
    numbered(blocks, (BIG / 5) as u32, 32)
}

/// Gives ids dense numbers, in the order in which they come.
fn numbers(ids: &[u64]) -> References {
    let mut known = FxHashMap::default();
    let number = |id: &u64| {
        let next = known.len() as u32;
        *known.entry(*id).or_insert(next)
    };
    let blocks: Vec<u32> = ids.iter().map(number).collect();
    numbered(blocks, known.len() as u32, 1)
}

fn write(path: &str) -> std::io::Result<()> {
    let ids = zipf();
    let mut next = vec![-1i64; ids.len()];
    let mut seen: FxHashMap<u64, i64> = FxHashMap::default();
    for (at, id) in ids.iter().enumerate().rev() {
        next[at] = seen.insert(*id, at as i64).unwrap_or(-1);
    }
    let mut file = BufWriter::new(File::create(path)?);
    for (at, (id, next)) in ids.iter().zip(next).enumerate() {
        file.write_all(&(at as u32 / 1000).to_le_bytes())?;
        file.write_all(&id.to_le_bytes())?;
        file.write_all(&1u32.to_le_bytes())?;
        file.write_all(&next.to_le_bytes())?;
    }
    file.flush()
}

fn read(path: &str) -> std::io::Result<Vec<u64>> {
    let mut bytes = Vec::new();
    File::open(path)?.read_to_end(&mut bytes)?;
    let id = |row: &[u8]| u64::from_le_bytes(row[4..12].try_into().expect("eight bytes of a row of 24"));
    Ok(bytes.chunks_exact(ORACLE_BYTES).map(id).collect())
}

#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
fn report(name: &str, mut seconds: Vec<f64>, references: usize) {
    seconds.sort_by(f64::total_cmp);
    let (median, least) = (seconds[seconds.len() / 2], seconds[0]);
    println!(
        "{name:44} {:9.2} ms (least {:.2}), {:6.1} M references/s of processor time",
        median * 1e3,
        least * 1e3,
        references as f64 / median / 1e6
    );
}

/// One line for `tools/bench-analyze-policies`: misses, then seconds to number the ids, then to
/// simulate.
#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
fn simulate(path: &str, policy: &str, capacity: &str) {
    let ids = read(path).expect("a file of references");
    let policy: Eviction = policy.parse().expect("a policy");
    let (references, numbering) = timed(|| numbers(&ids));
    let capacity = capacity.parse().expect("a number of blocks");
    let (counts, simulation) = timed(|| simulated(&references, policy, Semantics::Any, capacity));
    println!("{} {numbering} {simulation} {}", ids.len() as u64 - counts.any_blocks, ids.len());
}

fn figures(wanted: &str) {
    if let Some(references) = conversation().filter(|_| "conversation".contains(wanted)) {
        let run = |_| timed(|| LruCurve::of(&references, Semantics::Prefix).at(&[references.distinct])).1;
        report("conversation trace, LRU of all capacities", (0..RUNS).map(run).collect(), references.blocks.len());
    }
    if "generated".contains(wanted) {
        let references = numbers(&zipf());
        for policy in Eviction::ALL {
            let run = |_| timed(|| simulated(&references, policy, Semantics::Any, CAPACITY)).1;
            report(&format!("generated, {policy} of {CAPACITY}"), (0..3).map(run).collect(), references.blocks.len());
        }
    }
    if wanted == "big" {
        let references = big();
        let run = timed(|| LruCurve::of(&references, Semantics::Prefix).at(&[references.distinct])).1;
        report("100 M references to 20 M, LRU of all", vec![run], references.blocks.len());
    }
}

fn main() {
    // cargo adds `--bench`.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["write", path] => write(path).expect("a file that can be written"),
        ["simulate", path, policy, capacity] => simulate(path, policy, capacity),
        [wanted] => figures(wanted),
        _ => figures(""),
    }
}
