//! What a card keeps of a capture: what its figures are computed from.

use crate::measure::BlockResult;
use crate::measure::block::BlockSet;

/// The histograms that the figures of a card are read from.
const READ: [&str; 9] = ["size", "d2c", "q2c", "inflight", "inflight_time", "gap", "seek", "lba", "flush"];

/// A capture without what no figure of a card is read from: other processes, phases, probes, and
/// histograms of the layers above.
pub fn kept(block: &BlockResult) -> BlockResult {
    let mut kept = block.clone();
    kept.other = BlockSet::default();
    kept.phases = None;
    kept.probes = Vec::new();
    kept.histograms.retain(|histogram| READ.contains(&histogram.name.as_str()) && histogram.count > 0);
    kept
}

/// Several runs of the same thing as one long run: what is counted by requests says more the more
/// requests there are. Times of the runs are not added: nothing of them is read from the result.
pub fn pooled(runs: &[BlockResult]) -> Option<BlockResult> {
    let (first, rest) = runs.split_first()?;
    let mut sum = kept(first);
    sum.histograms.retain(|histogram| COUNTED.contains(&histogram.name.as_str()));
    for run in rest {
        for histogram in run.histograms.iter().filter(|h| h.count > 0 && COUNTED.contains(&h.name.as_str())) {
            match sum.histograms.iter_mut().find(|own| own.is(&histogram.name, histogram.op.as_deref())) {
                Some(own) => own.merge(histogram),
                None => sum.histograms.push(histogram.clone()),
            }
        }
    }
    Some(sum)
}

/// The histograms of which the runs are put together.
const COUNTED: [&str; 2] = ["size", "seek"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distill::fidelity::compare;
    use crate::measure::{Histogram, LogLinear};

    #[test]
    fn runs_are_put_together_by_their_requests() {
        let run = |sizes: &[(u64, u64)]| {
            let mut counter = LogLinear::new(20);
            sizes.iter().for_each(|&(size, count)| counter.record_many(size, count));
            BlockResult { histograms: vec![counter.save("size", Some("read"), "bytes")], ..BlockResult::default() }
        };
        let both = pooled(&[run(&[(4096, 10)]), run(&[(4096, 5), (8192, 1)])]).unwrap();
        let sizes = both.histogram("size", Some("read")).unwrap();
        assert_eq!((sizes.count, sizes.sum), (16, 15 * 4096 + 8192));
        assert_eq!(sizes.buckets.len(), 2);
        assert_eq!(pooled(&[]), None);
    }

    #[test]
    fn no_figure_is_lost() {
        let counted = |name: &str, op: Option<&str>| {
            let mut counter = LogLinear::times();
            (1..2000).for_each(|value| counter.record_many(value * 512, value % 7));
            counter.save(name, op, "ns")
        };
        let names = ["size", "d2c", "q2c", "q2d", "inflight", "inflight_time", "gap", "seek", "lba", "uring"];
        let mut histograms: Vec<Histogram> = names.iter().map(|name| counted(name, Some("read"))).collect();
        histograms.push(counted("inflight_time", None));
        let other = BlockSet { histograms: histograms.clone() };
        let block = BlockResult { histograms, other, duration_s: Some(1.0), ..BlockResult::default() };
        let small = kept(&block);
        assert!(small.histogram("uring", Some("read")).is_none() && small.other.histograms.is_empty());
        let of = |block: &BlockResult| compare(std::slice::from_ref(block), std::slice::from_ref(block));
        assert_eq!(of(&small), of(&block));
        assert!(of(&small).iter().any(|metric| metric.name == "gap" && metric.original.is_some()));
    }
}
