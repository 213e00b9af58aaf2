//! A filesystem's journal: what `fsync` writes beside the data. A job that syncs as often has such
//! writes made again, by the filesystem that it runs on, so that they are no part of its own sizes.

use crate::measure::{BlockResult, Histogram};

use super::reach::scale;

/// Journal writes to one sync: ext4 and XFS write the changed metadata and a commit block, which a
/// commit of several syncs shares and a large one cuts in parts.
const TO_A_SYNC: (f64, f64) = (0.7, 4.5);
/// The largest of them: metadata blocks that were merged.
const LARGEST: u64 = 128 << 10;
/// A journal is one place of the device: ext4's is 1 GiB at most (mke2fs(8)), of which the two ends
/// may lie in one bucket of the map more.
const WIDEST: u64 = 1 << 30;
/// How much of a size may be on the other side of the cut where a journal's sizes are others than the data's.
const STRADDLES: f64 = 0.02;
/// Journal writes to a sync from which on most of them follow one another, and the part of those that must.
const IN_A_ROW: (f64, f64) = (1.5, 0.8);
/// Writes to a sync, at least, that are the program's own.
const OWN: f64 = 0.7;
/// How near the writes of a device are to the calls of a program whose calls make all of them.
const ALL_CALLED: f64 = 0.02;
/// Buckets between two places that are taken to belong together.
const APART: i64 = 2;

/// The journal's part of the writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Journal {
    requests: u64,
    low: i64,
    high: i64,
}

/// A capture without the journal's writes, and how many those are; none where it cannot be told
/// which they are.
pub fn without(block: &BlockResult, syncs: u64) -> Option<(BlockResult, u64)> {
    let word = Some("write");
    let (sizes, places) = (block.histogram("size", word)?, block.histogram("lba", word)?);
    let journal = find(places, sizes.count, syncs).filter(|_| !all_are_called(block, sizes.count))?;
    if !has_other_sizes(sizes, journal.requests) && !follow_one_another(block, journal.requests, syncs) {
        return None;
    }
    let mut own = block.clone();
    for histogram in own.histograms.iter_mut().filter(|h| h.op.as_deref() == word) {
        match histogram.name.as_str() {
            "size" => *histogram = without_smallest(histogram, journal.requests)?,
            "lba" => histogram.keep(|bucket| bucket.0 < journal.low || bucket.0 >= journal.high),
            "seek" => without_jumps(histogram, journal.requests, syncs),
            _ => {}
        }
    }
    Some((own, journal.requests))
}

/// The place that takes as many writes as so many syncs cause, when there is one beside the data.
fn find(places: &Histogram, writes: u64, syncs: u64) -> Option<Journal> {
    let mut regions: Vec<Journal> = Vec::new();
    for &(low, high, count) in &places.buckets {
        match regions.last_mut() {
            Some(last) if low - last.high < APART * (high - low) => {
                last.high = high;
                last.requests += count;
            }
            _ => regions.push(Journal { requests: count, low, high }),
        }
    }
    let per_sync = |region: &Journal| region.requests as f64 / syncs.max(1) as f64;
    let wide = |region: &Journal| u64::try_from((region.high - region.low) * scale(places)).unwrap_or(u64::MAX);
    let fits = |region: &&Journal| {
        (TO_A_SYNC.0..=TO_A_SYNC.1).contains(&per_sync(region))
            && (writes - region.requests) as f64 >= OWN * syncs as f64
            && wide(region) <= WIDEST.max(2 * bucket_bytes(places))
    };
    // Two that fit cannot be told apart by where they are; the narrower one is the journal.
    regions.iter().filter(fits).min_by_key(|region| wide(region)).copied()
}

/// Whether the program's calls are as many as the writes: none is left for a journal.
fn all_are_called(block: &BlockResult, writes: u64) -> bool {
    let calls = [("syscall_write", None), ("uring", Some("write"))];
    let called: u64 = calls.iter().filter_map(|(name, op)| block.histogram(name, *op)).map(|h| h.count).sum();
    (called as f64 / writes.max(1) as f64 - 1.0).abs() <= ALL_CALLED
}

/// Whether so many of the smallest writes are all those of some sizes.
fn has_other_sizes(sizes: &Histogram, requests: u64) -> bool {
    let mut below = 0;
    sizes.buckets.iter().any(|bucket| {
        let cut = (requests as f64 - below as f64) / bucket.2.max(1) as f64;
        below += bucket.2;
        (cut - 1.0).abs() <= STRADDLES
    })
}

/// Whether as many writes begin where another ended as a journal's do.
fn follow_one_another(block: &BlockResult, requests: u64, syncs: u64) -> bool {
    let Some(seeks) = block.histogram("seek", Some("write")) else { return false };
    let at_once: u64 = seeks.buckets.iter().filter(|bucket| bucket.0 == 0).map(|bucket| bucket.2).sum();
    requests as f64 >= IN_A_ROW.0 * syncs as f64 && at_once as f64 >= IN_A_ROW.1 * (requests - syncs) as f64
}

fn bucket_bytes(places: &Histogram) -> u64 {
    places.buckets.first().map_or(0, |b| u64::try_from((b.1 - b.0) * scale(places)).unwrap_or(0))
}

/// Sizes without so many of the smallest; none when one of those is too large for a journal, or
/// when nothing else is left.
fn without_smallest(sizes: &Histogram, requests: u64) -> Option<Histogram> {
    let unit = scale(sizes);
    let mut kept = sizes.clone();
    let mut left = requests;
    for bucket in &mut kept.buckets {
        let gone = bucket.2.min(left);
        if gone > 0 && u64::try_from(bucket.0 * unit).is_ok_and(|size| size > LARGEST) {
            return None;
        }
        kept.sum -= i128::from(gone) * i128::from(bucket.0);
        bucket.2 -= gone;
        left -= gone;
    }
    kept.keep(|bucket| bucket.2 > 0);
    (kept.count > 0).then_some(kept)
}

/// Seeks without those to the journal, within it, and back: the first of each sync jumps there, the
/// others of it follow one another, and the next write of data jumps back.
fn without_jumps(seeks: &mut Histogram, requests: u64, syncs: u64) {
    let mut within = requests.saturating_sub(syncs);
    let mut jumps = requests.min(syncs);
    for bucket in &mut seeks.buckets {
        let gone = bucket.2.min(if bucket.0 == 0 { within } else { jumps });
        bucket.2 -= gone;
        *(if bucket.0 == 0 { &mut within } else { &mut jumps }) -= gone;
    }
    seeks.keep(|bucket| bucket.2 > 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: i64 = 1 << 20;

    fn histogram(name: &str, unit: &str, buckets: Vec<(i64, i64, u64)>) -> Histogram {
        Histogram {
            name: name.to_owned(),
            op: Some("write".to_owned()),
            unit: unit.to_owned(),
            count: buckets.iter().map(|bucket| bucket.2).sum(),
            sum: buckets.iter().map(|b| i128::from(b.0) * i128::from(b.2)).sum(),
            buckets,
            ..Histogram::default()
        }
    }

    /// As measured on ext4: 800 syncs after 512 KiB each, two blocks of journal a sync.
    fn buffered_writer() -> BlockResult {
        let at = |place: i64, count| (place * 256 * MIB, (place + 1) * 256 * MIB, count);
        let histograms = vec![
            histogram("size", "bytes", vec![(4096, 4097, 1600), (524_288, 524_289, 800)]),
            histogram("lba", "bytes", vec![at(614, 1600), at(766, 300), at(767, 500)]),
            histogram("seek", "bytes", vec![(-100 * MIB, -99 * MIB, 800), (0, 1, 800), (100 * MIB, 101 * MIB, 799)]),
        ];
        BlockResult { histograms, ..BlockResult::default() }
    }

    #[test]
    fn the_journal_s_writes_go_and_the_data_stays() {
        let (own, left_out) = without(&buffered_writer(), 800).unwrap();
        assert_eq!(left_out, 1600);
        let sizes = own.histogram("size", Some("write")).unwrap();
        assert_eq!((sizes.count, sizes.sum, &sizes.buckets[..]), (800, 800 * 524_288, &[(524_288, 524_289, 800)][..]));
        assert_eq!(own.histogram("lba", Some("write")).unwrap().count, 800);
        let seeks = own.histogram("seek", Some("write")).unwrap();
        assert!(seeks.buckets.iter().all(|bucket| bucket.0 != 0), "the journal's own order is none of the data's");
    }

    #[test]
    fn what_may_be_data_stays() {
        let block = buffered_writer();
        assert_eq!(without(&block, 10), None, "so few syncs do not write so much");
        let mut large = block.clone();
        large.histograms[0] = histogram("size", "bytes", vec![(262_144, 262_145, 1600), (524_288, 524_289, 800)]);
        assert_eq!(without(&large, 800), None, "a journal's blocks are small");
        let mut one_place = block;
        one_place.histograms[1] = histogram("lba", "bytes", vec![(0, 256 * MIB, 2400)]);
        assert_eq!(without(&one_place, 800), None, "the journal is not apart from the data");
    }

    #[test]
    fn one_of_two_zones_of_the_data_is_no_journal() {
        // Blocks to two places, a sync after each or after every other.
        let at = |place: i64, count| (place * 256 * MIB, (place + 1) * 256 * MIB, count);
        let data = |far: u64, near: u64, at_once: u64| {
            let histograms = vec![
                histogram("size", "bytes", vec![(4096, 4097, far + near)]),
                histogram("lba", "bytes", vec![at(0, near), at(30, far)]),
                histogram("seek", "bytes", vec![(-100 * MIB, -99 * MIB, far + near - at_once), (0, 1, at_once)]),
            ];
            BlockResult { histograms, ..BlockResult::default() }
        };
        assert_eq!(without(&data(900, 100, 0), 1000), None, "a sync has something to write");
        assert_eq!(without(&data(700, 300, 0), 333), None, "nothing tells the places apart");
        assert!(without(&data(300, 700, 400), 300).is_some(), "two in a row at each sync");
        let mut called = buffered_writer();
        called.histograms.push(histogram("syscall_write", "ns", vec![(1000, 1001, 2400)]));
        called.histograms[3].op = None;
        assert_eq!(without(&called, 800), None, "the program made all of them");
    }
}
