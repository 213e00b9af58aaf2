//! Like with like: a capture of a filesystem holds its journal's writes, and its job on a bare device
//! makes none.

use crate::distill::journal;
use crate::distill::source::Source;
use crate::measure::BlockResult;

/// Times of requests, of which nobody can tell the journal's from the others. (Those between requests stay:
/// their sum is how long the load took.)
const TIMES: [&str; 2] = ["d2c", "q2c"];
/// The share of the journal among the writes below which it moves no quantile of their times.
const FEW: f64 = 0.002;

/// A capture without the writes of a filesystem's journal, by the rule by which they are no part of a
/// job, and how many those are; none where there are none. Times of writes go too, unless the journal's
/// are next to none of them.
pub fn without_journal(block: &BlockResult) -> Option<(BlockResult, u64)> {
    let sync = Source::of(block).sync.filter(|sync| sync.journal > 0)?;
    let (mut own, journal) = journal::without(block, sync.count)?;
    let writes = block.histogram("size", Some("write")).map_or(0, |sizes| sizes.count);
    if journal as f64 > FEW * writes as f64 {
        own.histograms.retain(|h| h.op.as_deref() != Some("write") || !TIMES.contains(&h.name.as_str()));
    }
    Some((own, journal))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distill::fidelity::compare;
    use crate::measure::{Histogram, LogLinear};

    const MIB: i64 = 1 << 20;

    /// Writes of 512 KiB with a sync after each, and what a journal adds to them.
    fn writer(journal: u64) -> BlockResult {
        let of = |name: &str, op: Option<&str>, unit: &str, buckets: Vec<(i64, i64, u64)>| Histogram {
            name: name.to_owned(),
            op: op.map(str::to_owned),
            unit: unit.to_owned(),
            count: buckets.iter().map(|bucket| bucket.2).sum(),
            sum: buckets.iter().map(|b| i128::from(b.0) * i128::from(b.2)).sum(),
            buckets: buckets.into_iter().filter(|bucket| bucket.2 > 0).collect(),
            ..Histogram::default()
        };
        let word = Some("write");
        let mut times = LogLinear::times();
        times.record_many(1_000_000, 800);
        times.record_many(20_000, journal);
        let histograms = vec![
            of("size", word, "bytes", vec![(4096, 4097, journal), (524_288, 524_289, 800)]),
            of("lba", word, "bytes", vec![(0, 256 * MIB, journal), (6400 * MIB, 6656 * MIB, 800)]),
            of("fdatasync", None, "ns", vec![(1000, 1001, 800)]),
            times.save("d2c", word, "ns"),
            // Some reads at the start, and 8 s from the first write to the last.
            of("gap", Some("read"), "ns", vec![(1_000_000, 1_000_001, 5)]),
            of("gap", word, "ns", vec![(10_000_000, 10_000_001, 800)]),
        ];
        BlockResult { histograms, duration_s: Some(20.0), ..BlockResult::default() }
    }

    #[test]
    fn a_journal_is_no_part_of_what_a_bare_device_is_judged_by() {
        let (with, bare) = (writer(1600), writer(0));
        assert_eq!(without_journal(&bare), None);
        let metric = |original: &BlockResult, name: &str| {
            let all = compare(std::slice::from_ref(original), std::slice::from_ref(&bare));
            all.into_iter().find(|metric| metric.name == name).unwrap()
        };
        assert_eq!(metric(&with, "size").pass, Some(false));
        let (own, journal) = without_journal(&with).unwrap();
        assert_eq!(journal, 1600);
        assert_eq!((metric(&own, "size").pass, metric(&own, "throughput").pass), (Some(true), Some(true)));
        assert_eq!(metric(&own, "throughput").original, Some(800.0 * 524_288.0 / 8.0), "over the time of the writes");
        assert!(metric(&own, "d2c_p50").is_unjudged(), "two thirds of the times are the journal's");
    }
}
