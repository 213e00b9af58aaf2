//! How a program asks for its I/O: a capture counts its calls and its io_uring operations beside the
//! requests, and a job that asks in the same way has its costs between two requests.

use crate::measure::BlockResult;

use super::streams::Direction;

/// How near to its requests the calls or operations of a program must be that made all of them, relative.
const ALL: f64 = 0.1;

/// What a request was asked for with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// io_uring.
    Uring,
    /// Neither of the others, though both were watched: io_submit, or the kernel itself for a file that is
    /// mapped into memory.
    Aio,
    /// A call that waits: the families of read and write.
    Calls,
    /// Such calls through the page cache.
    PageCache,
}

impl Engine {
    /// Of so many requests of a direction, each whole; none where it is not known, or of several kinds.
    pub fn of(block: &BlockResult, direction: Direction, requests: u64) -> Option<Self> {
        let (uring, calls) = asked(block, direction);
        let share = |made: Option<f64>| made.map(|made| made / requests.max(1) as f64);
        let all = |made: Option<f64>| share(made).is_some_and(|share| (share - 1.0).abs() <= ALL);
        let none = |made: Option<f64>| share(made).is_some_and(|share| share <= ALL);
        match (all(uring), all(calls)) {
            _ if requests == 0 => None,
            (true, false) => Some(Self::Uring),
            (false, true) => Some(Self::Calls),
            _ if none(uring) && none(calls) && !is_cached(block, direction) => Some(Self::Aio),
            _ => None,
        }
    }
}

/// Whether so much of a direction went through the page cache that its requests are the kernel's: it reads
/// ahead, and writes back.
pub fn is_cached(block: &BlockResult, direction: Direction) -> bool {
    let bytes = |name: &str, op: Option<&str>| block.histogram(name, op).map_or(0.0, |h| h.sum as f64);
    bytes(&format!("cached_{direction}"), None) > ALL * bytes("size", Some(direction.word()))
}

/// Times that a direction's program asked: io_uring operations, and calls of direct I/O as far as that is
/// known; none of what was not watched.
pub fn asked(block: &BlockResult, direction: Direction) -> (Option<f64>, Option<f64>) {
    let count = |name: &str, op: Option<&str>| block.histogram(name, op).map(|h| h.count as f64);
    let cached = count(&format!("cached_{direction}"), None);
    let calls = count(&format!("syscall_{direction}"), None).map(|calls| calls - cached.unwrap_or(0.0));
    (count("uring", Some(direction.word())), calls)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::LogLinear;

    fn block(counts: &[(&str, Option<&str>, u64)]) -> BlockResult {
        let histograms = counts.iter().map(|&(name, op, count)| {
            let mut counter = LogLinear::times();
            counter.record_many(1000, count);
            counter.save(name, op, "ns")
        });
        BlockResult { histograms: histograms.collect(), ..BlockResult::default() }
    }

    #[test]
    fn what_was_counted_as_often_as_requests_made_them() {
        let of = |uring, calls, cached| {
            let write = ("uring", Some("write"), uring);
            let calls = [("syscall_write", None, calls), ("cached_write", None, cached)];
            let block = block(&[write, calls[0], calls[1], ("size", Some("write"), 1000)]);
            Engine::of(&block, Direction::Write, 1000)
        };
        assert_eq!(of(1000, 0, 0), Some(Engine::Uring));
        assert_eq!(of(1000, 30, 0), Some(Engine::Uring), "and a log");
        assert_eq!(of(0, 1001, 1), Some(Engine::Calls));
        assert_eq!(of(0, 0, 0), Some(Engine::Aio));
        assert_eq!(of(500, 500, 0), None, "of both");
        assert_eq!(of(0, 60, 60), Some(Engine::Aio), "a log through the page cache is none of the requests");
        let mut writer = block(&[("uring", Some("write"), 0), ("syscall_write", None, 10), ("cached_write", None, 10)]);
        writer.histograms.extend(block(&[("size", Some("write"), 10)]).histograms);
        assert_eq!(Engine::of(&writer, Direction::Write, 10_000), None, "the kernel wrote pages back");
        assert_eq!(Engine::of(&block(&[]), Direction::Read, 1000), None, "nothing was watched");
        let no_calls = block(&[("uring", Some("read"), 0)]);
        assert_eq!(Engine::of(&no_calls, Direction::Read, 1000), None, "calls were not watched");
    }
}
