//! How fast the data of a replay is made up: by one thread with the processor's AES instructions,
//! without these instructions, and by several threads, over few and many buffers.
//!
//! `cargo bench --bench fill` prints GB/s (1e9 bytes per second), the median of some runs with the
//! least and the most: of one thread's processor time, which other work on the machine disturbs
//! less, and of elapsed time. `RUSTFLAGS='--cfg aes_backend="soft"'` keeps the portable way from using
//! what instructions the machine has. `tools/bench-replay` measures what it costs in a run.

use std::time::Instant;

use kvtrace::replay::Stream;

/// A buffer.
const BYTES: usize = 1 << 20;
/// Runs of every setting, of which the median counts.
const RUNS: usize = 11;
/// Bytes of one run.
const WORK: usize = 1 << 30;

type Fill = fn(&Stream, u64, &mut [u8]);

const WAYS: [(&str, Fill); 2] =
    [("AES instructions", Stream::fill), ("portable", |stream, offset, out| stream.fill_portable(offset / 16, out))];

/// A buffer that is aligned to pages.
#[repr(C, align(4096))]
#[derive(Clone)]
struct Buffer([u8; BYTES]);

/// GB/s of some threads, each with its own buffers: per thread's processor time, and all together.
fn rate(fill: Fill, threads: usize, count: usize, work: usize) -> (f64, f64) {
    let mut sets: Vec<Vec<Buffer>> = (0..threads).map(|_| vec![Buffer([0; BYTES]); count]).collect();
    let began = Instant::now();
    let busy: f64 = std::thread::scope(|scope| {
        let one = |(number, buffers): (usize, &mut Vec<Buffer>)| {
            let (stream, before) = (Stream::new(42, number as u64, 1), processor_s());
            for turn in 0..work / BYTES {
                fill(&stream, (turn * BYTES) as u64, &mut buffers[turn % count].0);
            }
            processor_s() - before
        };
        let threads: Vec<_> = sets.iter_mut().enumerate().map(|set| scope.spawn(move || one(set))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread that fills does not panic")).sum()
    });
    let bytes = (threads * (work / BYTES) * BYTES) as f64 / 1e9;
    (bytes / busy, bytes / began.elapsed().as_secs_f64())
}

/// Processor time of this thread.
fn processor_s() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The median, the least and the most.
fn words(mut rates: Vec<f64>) -> String {
    rates.sort_by(f64::total_cmp);
    format!("{:6.2} GB/s ({:.2} to {:.2})", rates[RUNS / 2], rates[0], rates[RUNS - 1])
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
                let runs: Vec<_> = (0..RUNS).map(|_| rate(*fill, threads, count, work)).collect();
                let (busy, elapsed): (Vec<_>, Vec<_>) = runs.into_iter().unzip();
                println!(
                    "{name:16} {threads:2} threads, {count:2} buffers of 1 MiB each: {} per core, {} in all",
                    words(busy),
                    words(elapsed)
                );
            }
        }
    }
}
