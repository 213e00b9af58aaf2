//! How many threads of a program do the same: fio's `numjobs` and `thread`.

use crate::measure::{BlockResult, Histogram};

/// The share of what all threads asked for below which one of them is none that works: it opens files.
const IDLE: f64 = 0.01;
/// How far the work of each may be from the mean of all, relative. What an operating system gives threads
/// that do the same differs by a few percent here.
const ALIKE: f64 = 0.25;

/// Threads that share the work evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threads {
    /// How many.
    pub count: u32,
    /// Whether each is a process.
    pub processes: bool,
}

impl Threads {
    /// Of a capture's target, where there are several.
    pub fn of(block: &BlockResult) -> Option<Self> {
        let count = alike(block, "thread")?;
        Some(Self { count, processes: alike(block, "process") == Some(count) })
    }
}

/// Whether a capture's target has more than one that asks; none where that was not captured.
pub fn several(block: &BlockResult) -> Option<bool> {
    let threads = block.histogram("thread", None).filter(|threads| threads.count > 0)?;
    Some(working(threads).map(|bucket| bucket.2).sum::<u64>() > 1)
}

fn work(bucket: &(i64, i64, u64)) -> f64 {
    (bucket.0 + bucket.1 - 1) as f64 / 2.0
}

/// Those that ask for more than next to nothing, by how much.
fn working(threads: &Histogram) -> impl Iterator<Item = &(i64, i64, u64)> {
    threads.buckets.iter().filter(|bucket| work(bucket) >= IDLE * threads.sum as f64)
}

fn alike(block: &BlockResult, what: &str) -> Option<u32> {
    let threads = block.histogram(what, None).filter(|threads| threads.count > 1)?;
    let working: Vec<_> = working(threads).collect();
    let count: u64 = working.iter().map(|bucket| bucket.2).sum();
    let mean = working.iter().map(|bucket| work(bucket) * bucket.2 as f64).sum::<f64>() / count.max(1) as f64;
    let alike = working.iter().all(|bucket| (work(bucket) / mean - 1.0).abs() <= ALIKE);
    u32::try_from(count).ok().filter(|count| *count > 1 && alike)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::LogLinear;

    fn of(work: &[u64]) -> Option<u32> {
        let mut counter = LogLinear::times();
        work.iter().for_each(|work| counter.record(*work));
        let histograms = vec![counter.save("thread", None, "ios")];
        alike(&BlockResult { histograms, ..BlockResult::default() }, "thread")
    }

    #[test]
    fn threads_that_do_as_much_are_jobs_of_one_kind() {
        assert_eq!(of(&[157_908, 160_112, 149_630, 163_982]), Some(4));
        assert_eq!(of(&[157_908, 160_112, 3]), Some(2), "and one that opened a file");
        assert_eq!(of(&[600_000]), None);
        assert_eq!(of(&[600_000, 12]), None);
        assert_eq!(of(&[300_000, 80_000]), None, "two that do not do the same");
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn one_that_opens_a_file_does_not_make_several() {
        let of = |work: &[u64]| {
            let mut counter = LogLinear::times();
            work.iter().for_each(|work| counter.record(*work));
            let histograms = vec![counter.save("thread", None, "ios")];
            several(&BlockResult { histograms, ..BlockResult::default() })
        };
        let each = [of(&[600_000, 12]), of(&[600_000]), of(&[500_000, 90_000]), of(&[])];
        assert_eq!(each, [Some(false), Some(false), Some(true), None]);
    }

    #[test]
    fn threads_of_one_process_are_no_processes() {
        let threads = |processes: &[u64]| {
            let counted = |name: &str, work: &[u64]| {
                let mut counter = LogLinear::times();
                work.iter().for_each(|work| counter.record(*work));
                counter.save(name, None, "ios")
            };
            let histograms = vec![counted("thread", &[500, 510]), counted("process", processes)];
            Threads::of(&BlockResult { histograms, ..BlockResult::default() })
        };
        assert_eq!(threads(&[1010]), Some(Threads { count: 2, processes: false }));
        assert_eq!(threads(&[500, 510]), Some(Threads { count: 2, processes: true }));
    }
}
