//! The distiller of the MLPerf Storage KV cache benchmark, to be compared with: the same rules on
//! the same capture, without what its parser loses.
//!
//! Its rules, from its script: sizes and depths are seen as powers of two, a bucket standing for
//! its lower bound; one `randrw` job with a `bssplit` for each direction; `rwmixread` as a whole
//! percent; `iodepth` the larger of both medians in flight, and at least 32, all of it submitted at
//! once; `thinktime` the median time from a write call to a sync, after every `iodepth` requests;
//! libaio, no order, no places, no pace, no syncs.
//!
//! What differs here, because it would be a mistake rather than a rule: no bucket is dropped, the
//! percents add up to 100 (it rounds each one, and fio cuts what is above 100 off the largest
//! sizes), a size below 1 KiB is 512 bytes rather than 0, and what is in flight is counted by
//! device and does not leak.

use crate::measure::{BlockResult, Histogram};

use super::body::fio_time;
use super::facts::seen;
use super::file_size::FileSize;
use super::job::Options;
use super::section::{Section, Setting};
use super::sizes::{SizeMix, Split, fio_size};
use super::source::Source;
use super::streams::{Direction, Part, Stream};

/// The least `iodepth` of the reference.
const LEAST_DEPTH: u32 = 32;
/// Samples of write-to-sync from which on the reference thinks.
const LEAST_SAMPLES: u64 = 4;
/// The reference's sizes are whole KiB.
const KIB: u64 = 1024;
/// What stands for less than that: a sector.
const SECTOR: u64 = 512;

/// The job as the reference would have it.
pub fn stream(source: &Source, block: &BlockResult) -> Stream {
    // What the device saw, in pieces or not, is what the reference goes by.
    let loads = Direction::ALL.map(|direction| seen(block, source, direction));
    let [reads, writes] = loads.each_ref().map(SizeMix::count);
    let parts = Direction::ALL.into_iter().zip(&loads).filter(|(_, mix)| mix.count() > 0);
    let part = |(direction, mix): (Direction, &SizeMix)| Part { direction, mix: mix.clone(), split: split(mix) };
    let medians = Direction::ALL.map(|d| block.histogram("inflight", Some(d.word())).and_then(median_power));
    let depth = medians.into_iter().flatten().max().unwrap_or(0).clamp(LEAST_DEPTH.into(), 65_536) as u32;
    let percent = (reads as f64 * 100.0 / (reads + writes).max(1) as f64).round() as u32;
    Stream {
        name: "mlperf".to_owned(),
        parts: parts.map(part).collect(),
        read_percent: Some(percent),
        depth,
        threads: 1,
        flow: None,
        turn: None,
        engine: None,
        brake: None,
        by_size: false,
    }
}

/// The sections of the job.
pub fn sections(stream: &Stream, block: &BlockResult, options: &Options, size: &FileSize) -> Vec<Section> {
    let global = vec![
        Setting::new("ioengine", &options.ioengine),
        Setting::new("direct", 1),
        Setting::new("time_based", 1),
        Setting::new("runtime", fio_time(options.runtime_ns)),
        Setting::because("size", fio_size(size.bytes), format!("the reference has 100 % of a file; {}", size.why)),
        Setting::new("refill_buffers", 1),
        Setting::new("norandommap", 1),
        Setting::new("randrepeat", 0),
        Setting::new("numjobs", 1),
        Setting::new("group_reporting", 1),
    ];
    let text = |direction: Direction| {
        let split = stream.parts.iter().find(|part| part.direction == direction).map(|part| part.split.text());
        split.unwrap_or_else(|| "4k/100".to_owned())
    };
    let mut settings = vec![
        Setting::new("rw", "randrw"),
        Setting::because("rwmixread", stream.read_percent.unwrap_or(100), "the share of requests, a whole percent"),
        Setting::because(
            "bssplit",
            Direction::ALL.map(text).join(","),
            "powers of two, each the lower bound of what it stands for",
        ),
        Setting::because(
            "iodepth",
            stream.depth,
            format!("the larger median in flight as a power of two, at least {LEAST_DEPTH}"),
        ),
        Setting::new("iodepth_batch_submit", stream.depth),
        Setting::new("iodepth_batch_complete_min", 1),
    ];
    let syncs = block.histogram("write_to_fsync", None).filter(|h| h.count >= LEAST_SAMPLES);
    if let Some(us) = syncs.and_then(think_us) {
        settings.push(Setting::because("thinktime", us, "the median time from a write call to a sync"));
        settings.push(Setting::new("thinktime_blocks", stream.depth));
    }
    vec![
        Section { name: "global".to_owned(), about: Vec::new(), settings: global },
        Section { name: stream.name.clone(), about: Vec::new(), settings },
    ]
}

/// Sizes as powers of two of KiB, in whole percents that add up to 100, none of them 0.
fn split(mix: &SizeMix) -> Split {
    let lower = |size: u64| if size < KIB { SECTOR } else { 1 << size.ilog2() };
    let powers = SizeMix::from_sizes(mix.sizes().iter().map(|&(size, count)| (lower(size), count)));
    let total = powers.count();
    let mut entries: Vec<(u64, u32)> =
        powers.sizes().iter().map(|&(size, count)| (size, (count * 100 / total) as u32)).collect();
    let sum = |entries: &[(u64, u32)]| entries.iter().map(|entry| entry.1).sum::<u32>();
    let mut order: Vec<usize> = (0..entries.len()).collect();
    order.sort_by_key(|&at| (std::cmp::Reverse(powers.sizes()[at].1 * 100 % total), at));
    let missing = 100 - sum(&entries);
    order.into_iter().take(missing as usize).for_each(|at| entries[at].1 += 1);
    // The percent that a rare size gets all the same is the most frequent one's.
    entries.iter_mut().for_each(|entry| entry.1 = entry.1.max(1));
    while sum(&entries) > 100 {
        let Some(most) = entries.iter_mut().max_by_key(|entry| entry.1) else { break };
        most.1 -= 1;
    }
    let mean = entries.iter().map(|&(size, percent)| size as f64 * f64::from(percent)).sum::<f64>() / 100.0;
    let moved = |&(size, count): &(u64, u64)| (size - lower(size).min(size)) as f64 * count as f64;
    let distance = mix.sizes().iter().map(moved).sum::<f64>() / total as f64;
    Split { entries, mean, distance }
}

/// The lower bound of the power of two in which the median lies; none when empty.
fn median_power(histogram: &Histogram) -> Option<u64> {
    let median = histogram.quantile(0.5).filter(|_| histogram.count > 0)?;
    Some(1 << (median.max(1.0) as u64).ilog2())
}

fn think_us(histogram: &Histogram) -> Option<u64> {
    let mut us = histogram.clone();
    us.buckets.iter_mut().for_each(|bucket| (bucket.0, bucket.1) = (bucket.0 / 1000, (bucket.1 / 1000).max(1)));
    (us.min, us.max) = (us.min.map(|ns| ns / 1000), us.max.map(|ns| ns / 1000));
    median_power(&us)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_lower_bounds_and_none_is_lost() {
        let mix = SizeMix::from_sizes([(512, 10), (3000, 1), (700 << 10, 970), (7 << 20, 19)]);
        assert_eq!(split(&mix).text(), "512/1:2k/1:512k/96:4m/2");
        let many = SizeMix::from_sizes((0..40).map(|power| (1024 << power, if power == 3 { 1_000_000 } else { 1 })));
        let entries = split(&many).entries;
        assert_eq!((entries.len(), entries.iter().map(|entry| entry.1).sum::<u32>()), (40, 100));
    }

    #[test]
    fn a_median_is_the_lower_bound_of_its_power_of_two() {
        let depths = |value: i64| Histogram {
            count: 9,
            min: Some(value),
            max: Some(value),
            buckets: vec![(value, value + 1, 9)],
            ..Histogram::default()
        };
        assert_eq!((median_power(&depths(63)), median_power(&depths(64))), (Some(32), Some(64)));
        assert_eq!(median_power(&Histogram::default()), None);
        assert_eq!(think_us(&depths(300_000)), Some(256));
    }
}
