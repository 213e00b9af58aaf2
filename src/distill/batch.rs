//! How many operations a program submits at once: fio's `iodepth_batch` and its siblings.

use crate::measure::{BlockResult, Histogram};

use super::section::Setting;
use super::streams::Direction;

/// The mean number at once from which on it matters.
const SEVERAL: f64 = 1.2;
/// The share of the calls that submit the most that any does, at least, where that is what the program
/// waits for. fio 3.33 with a batch of 8 submits 8 at a time in 16 % of its calls and fewer in the others,
/// as its ring ends within a batch; a program that submits what has become free rarely has so many.
const WAITS_FOR: f64 = 0.1;
/// The share of the calls that may submit more than that: the first fill of a queue.
const MORE: f64 = 0.005;
/// Calls below which nothing is made of them.
const ENOUGH: u64 = 100;
/// The share of a direction in order from which on those that are submitted at once are joined often enough
/// to change sizes.
const IN_ORDER: f64 = 0.02;

/// How operations are submitted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batch {
    /// So many at a time, when so many have ended.
    Of(u32),
    /// As many as have ended by then.
    Free,
}

impl Batch {
    /// Of a capture's target, whose requests the device got in so many `pieces` each; none where each is submitted
    /// alone, or where that was not captured.
    pub fn of(block: &BlockResult, pieces: f64) -> Option<Self> {
        let calls = block.histogram("batch", None).filter(|calls| calls.count >= ENOUGH)?;
        // Operations of io_uring are counted as they are asked for, those of io_submit as what the device gets.
        let operations = |d: &Direction| block.histogram("uring", Some(d.word())).map_or(0, |h| h.count);
        let pieces = if Direction::ALL.iter().map(operations).sum::<u64>() > 0 { 1.0 } else { pieces };
        if calls.mean()? / pieces < SEVERAL {
            return None;
        }
        let mut above = 0;
        let most = calls.buckets.iter().rev().find(|bucket| {
            above += bucket.2;
            above as f64 > MORE * calls.count as f64
        })?;
        let waits_for = most.2 as f64 >= WAITS_FOR * calls.count as f64;
        let many = (most.0 as f64 / pieces).round().max(1.0);
        Some(if waits_for { Self::Of(many as u32) } else { Self::Free })
    }

    /// Whether a job's requests would be joined: a queue joins neighbours that are submitted at once
    /// (`blk_attempt_plug_merge`) up to what the device takes, and what was captured, sizes and order, is what was
    /// left of the source's after that. Such shares of the reads and of the writes are in order.
    pub fn joins(self, block: &BlockResult, in_order: [Option<f64>; 2]) -> bool {
        let limit = block.devices.iter().map(|device| device.max_sectors_kb << 10).filter(|bytes| *bytes > 0).min();
        let joined = Direction::ALL.into_iter().zip(in_order).any(|(direction, in_order)| {
            let mean = block.histogram("size", Some(direction.word())).and_then(Histogram::mean);
            let fits = |mean: f64| limit.is_none_or(|limit| 2.0 * mean <= limit as f64);
            in_order.is_some_and(|share| share >= IN_ORDER) && mean.is_some_and(fits)
        });
        self == Self::Free && joined
    }

    /// fio's options, for a queue of that depth.
    pub fn settings(self, depth: u32) -> Vec<Setting> {
        match self {
            Self::Of(many) => {
                let many = many.min(depth);
                let why = "so many are submitted at once, when as many have ended";
                vec![
                    Setting::because("iodepth_batch", many, why),
                    Setting::new("iodepth_batch_complete_min", many),
                    Setting::new("iodepth_batch_complete_max", depth),
                ]
            }
            Self::Free => {
                let why = "as many are submitted at once as have ended by then";
                vec![Setting::because("iodepth_batch", depth, why), Setting::new("iodepth_batch_complete_max", depth)]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::LogLinear;
    use crate::measure::block::BlockDevice;

    fn of(calls: &[(u64, u64)]) -> Option<Batch> {
        let mut counter = LogLinear::times();
        calls.iter().for_each(|&(many, count)| counter.record_many(many, count));
        let histograms = vec![counter.save("batch", None, "ios")];
        Batch::of(&BlockResult { histograms, ..BlockResult::default() }, 1.0)
    }

    #[test]
    fn pieces_of_one_request_are_no_batch() {
        let mut counter = LogLinear::times();
        counter.record_many(4, 23_221);
        let mut block = BlockResult { histograms: vec![counter.save("batch", None, "ios")], ..BlockResult::default() };
        assert_eq!((Batch::of(&block, 4.0), Batch::of(&block, 2.0)), (None, Some(Batch::Of(2))), "libaio's");
        counter = LogLinear::times();
        counter.record_many(20_000, 92_884);
        block.histograms.push(counter.save("uring", Some("write"), "ns"));
        assert_eq!(Batch::of(&block, 4.0), Some(Batch::Of(4)), "io_uring's are operations");
    }

    #[test]
    fn a_batch_is_what_many_calls_submit_and_none_more() {
        // fio 3.33 at its default, and with batches of 2, 8 and 32.
        assert_eq!(of(&[(1, 130_498)]), None);
        assert_eq!(of(&[(1, 469), (2, 531)]), Some(Batch::Of(2)));
        let eight = [(1, 151), (2, 79), (3, 98), (4, 180), (5, 98), (6, 79), (7, 151), (8, 163), (32, 1)];
        assert_eq!(of(&eight), Some(Batch::Of(8)));
        assert_eq!(of(&[(32, 1426)]), Some(Batch::Of(32)));
    }

    #[test]
    fn what_a_device_takes_in_one_is_not_submitted_at_once() {
        let of = |max_sectors_kb| {
            let mut sizes = LogLinear::times();
            sizes.record_many(800 << 10, 1000);
            let mut block = BlockResult::default();
            block.devices.push(BlockDevice { max_sectors_kb, ..BlockDevice::default() });
            block.histograms.push(sizes.save("size", Some("write"), "bytes"));
            block
        };
        let some = [None, Some(0.15)];
        assert!(Batch::Free.joins(&of(4096), some) && !Batch::Of(8).joins(&of(4096), some));
        assert!(!Batch::Free.joins(&of(256), some), "none goes with another");
        assert!(!Batch::Free.joins(&of(4096), [None, Some(0.01)]), "next to none in order");
    }

    #[test]
    fn who_submits_what_is_free_has_ever_fewer_large_batches() {
        let replay = [(1, 682), (2, 114), (3, 55), (4, 41), (5, 22), (6, 14), (7, 13), (8, 10), (9, 8), (11, 8)];
        assert_eq!(of(&replay), Some(Batch::Free));
        assert_eq!(of(&[(1, 960), (2, 40)]), None, "next to all alone");
        assert_eq!(of(&[(8, 50)]), None, "too few to tell");
    }
}
