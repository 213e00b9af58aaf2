//! How many operations a program submits at once: fio's `iodepth_batch` and its siblings.

use crate::measure::BlockResult;

use super::section::Setting;

/// The mean number at once from which on it matters: it is two, as a whole number.
const SEVERAL: f64 = 1.5;
/// The share of the calls that submit the most that any does, at least, where that is what the program
/// waits for. fio 3.33 with a batch of 8 submits 8 at a time in 16 % of its calls and fewer in the others,
/// as its ring ends within a batch; a program that submits what has become free rarely has so many.
const WAITS_FOR: f64 = 0.1;
/// The share of the calls that may submit more than that: the first fill of a queue.
const MORE: f64 = 0.005;
/// Calls below which nothing is made of them.
const ENOUGH: u64 = 100;

/// How operations are submitted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batch {
    /// So many at a time, when so many have ended.
    Of(u32),
    /// As many as have ended by then, so many on average.
    Free(u32),
}

impl Batch {
    /// Of a capture's target; none where each is submitted alone, or where that was not captured.
    pub fn of(block: &BlockResult) -> Option<Self> {
        let calls = block.histogram("batch", None).filter(|calls| calls.count >= ENOUGH)?;
        let mean = calls.mean().filter(|mean| *mean >= SEVERAL)?;
        let mut above = 0;
        let most = calls.buckets.iter().rev().find(|bucket| {
            above += bucket.2;
            above as f64 > MORE * calls.count as f64
        })?;
        let waits_for = most.2 as f64 >= WAITS_FOR * calls.count as f64;
        Some(if waits_for { Self::Of(u32::try_from(most.0).ok()?) } else { Self::Free(mean.round() as u32) })
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
            // With the depth instead, fio submits all that it has reaped: more than a program that is told of each
            // end, and a queue joins neighbours that are submitted at once (`blk_attempt_plug_merge`).
            Self::Free(mean) => {
                let why = "as many are submitted at once as have ended by then, so many on average";
                vec![
                    Setting::because("iodepth_batch", mean.min(depth), why),
                    Setting::new("iodepth_batch_complete_max", depth),
                ]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::LogLinear;

    fn of(calls: &[(u64, u64)]) -> Option<Batch> {
        let mut counter = LogLinear::times();
        calls.iter().for_each(|&(many, count)| counter.record_many(many, count));
        let histograms = vec![counter.save("batch", None, "ios")];
        Batch::of(&BlockResult { histograms, ..BlockResult::default() })
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
    fn who_submits_what_is_free_has_ever_fewer_large_batches() {
        let replay = [(1, 682), (2, 114), (3, 55), (4, 41), (5, 22), (6, 14), (7, 13), (8, 10), (9, 8), (11, 8)];
        assert_eq!(of(&replay), Some(Batch::Free(2)));
        assert_eq!(of(&[(1, 960), (2, 40)]), None, "next to all alone");
        assert_eq!(of(&[(8, 50)]), None, "too few to tell");
    }
}
