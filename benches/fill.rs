//! How fast the data of a replay is made up: by one thread with the processor's AES instructions,
//! past its caches, without these instructions, and by several threads, over few and many buffers.
//!
//! `cargo bench --bench fill` prints GB/s (1e9 bytes per second of elapsed time), the median of some
//! runs with the least and the most. `tools/bench-replay` measures what it costs in a run.

use std::time::Instant;

use kvtrace::replay::Stream;

/// A buffer.
const BYTES: usize = 1 << 20;
/// Runs of every setting, of which the median counts.
const RUNS: usize = 11;
/// Bytes of one run.
const WORK: usize = 1 << 30;

type Fill = fn(&Stream, u64, &mut [u8]);

const WAYS: [(&str, Fill); 3] = [
    ("AES instructions", Stream::fill),
    ("AES instructions, past the caches", Stream::fill_past_cache),
    ("portable", |stream, offset, out| stream.fill_portable(offset / 16, out)),
];

/// A buffer that is aligned to pages.
#[repr(C, align(4096))]
#[derive(Clone)]
struct Buffer([u8; BYTES]);

/// GB/s of some threads, each with its own buffers.
fn rate(fill: Fill, threads: usize, count: usize, work: usize) -> f64 {
    let mut sets: Vec<Vec<Buffer>> = (0..threads).map(|_| vec![Buffer([0; BYTES]); count]).collect();
    let began = Instant::now();
    std::thread::scope(|scope| {
        for (number, buffers) in sets.iter_mut().enumerate() {
            scope.spawn(move || {
                let stream = Stream::new(42, number as u64, 1);
                for turn in 0..work / BYTES {
                    fill(&stream, (turn * BYTES) as u64, &mut buffers[turn % count].0);
                }
            });
        }
    });
    (threads * (work / BYTES) * BYTES) as f64 / began.elapsed().as_secs_f64() / 1e9
}

#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
fn main() {
    // cargo adds `--bench`.
    let wanted = std::env::args().skip(1).find(|word| !word.starts_with('-')).unwrap_or_default();
    let all = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    for (name, fill) in WAYS.iter().filter(|(name, _)| name.contains(&wanted)) {
        for threads in if all > 1 { vec![1, all] } else { vec![1] } {
            for count in [1, 16, 64] {
                let work = if *name == "portable" { WORK / 8 } else { WORK };
                let mut rates: Vec<_> = (0..RUNS).map(|_| rate(*fill, threads, count, work)).collect();
                rates.sort_by(f64::total_cmp);
                println!(
                    "{name:36} {threads:2} threads, {count:2} buffers of 1 MiB each: {:6.2} GB/s ({:.2} to {:.2})",
                    rates[RUNS / 2],
                    rates[0],
                    rates[RUNS - 1]
                );
            }
        }
    }
}
