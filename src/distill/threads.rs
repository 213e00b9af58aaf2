//! How many threads of a program do the same: fio's `numjobs` and `thread`.

use crate::measure::BlockResult;

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

fn alike(block: &BlockResult, what: &str) -> Option<u32> {
    let threads = block.histogram(what, None).filter(|threads| threads.count > 1)?;
    let work = |bucket: &(i64, i64, u64)| (bucket.0 + bucket.1 - 1) as f64 / 2.0;
    let working: Vec<_> = threads.buckets.iter().filter(|b| work(b) >= IDLE * threads.sum as f64).collect();
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
