//! The job itself, as fio reads it.

use crate::units;

use super::depth::ring;
use super::job::Options;
use super::sizes::fio_size;
use super::source::Source;
use super::streams::{Brake, Direction, Stream};

/// The file of a job is at least this many times its largest request, so that fio seldom has to
/// draw another size because the end of the file is near.
const SIZE_IN_REQUESTS: u64 = 64;
/// Bytes to which places are rounded: a page where all sizes are whole ones, else a sector.
const BLOCK: u64 = 4096;
const SECTOR: u64 = 512;
/// The percentage of requests in order from which on a job is sequential rather than a mixture.
const ALL_IN_ORDER: u64 = 100;

/// The size of the file, and why.
pub struct FileSize {
    /// Bytes.
    pub bytes: u64,
    why: String,
}

impl FileSize {
    /// As asked, or the space that was touched: no more than the touched parts of the device and
    /// no more than all bytes moved.
    pub fn of(source: &Source, asked: Option<u64>) -> Self {
        if let Some(bytes) = asked {
            return Self { bytes, why: "as asked (--size)".to_owned() };
        }
        let moved = u64::try_from(source.bytes()).unwrap_or(u64::MAX);
        let touched = match source.zones.bytes() {
            0 => u64::MAX,
            bytes => bytes,
        };
        let least = source.largest() * SIZE_IN_REQUESTS;
        let (bytes, why) = [
            (touched, "the parts of the device that were touched, as wide as the LBA histogram's buckets"),
            (moved, "all bytes that were moved; the touched part of the device is no larger"),
        ]
        .into_iter()
        .min_by_key(|choice| choice.0)
        .expect("there are two choices");
        let (bytes, why) = if bytes < least {
            (least, format!("{SIZE_IN_REQUESTS} times the largest request; the source touched {}", units::bytes(bytes)))
        } else {
            (bytes, why.to_owned())
        };
        Self { bytes: bytes.div_ceil(units::MIB) * units::MIB, why }
    }
}

/// Writes the sections.
pub fn write(text: &mut String, streams: &[Stream], source: &Source, options: &Options, size: &FileSize) {
    let global = global(options, size);
    let jobs = streams
        .iter()
        .flat_map(|stream| std::iter::once(String::new()).chain(section(stream, streams, source, options, size.bytes)));
    for line in global.into_iter().chain(jobs) {
        text.push_str(&line);
        text.push('\n');
    }
}

fn global(options: &Options, size: &FileSize) -> Vec<String> {
    vec![
        String::new(),
        "[global]".into(),
        format!("ioengine={}", options.ioengine),
        "direct=1".into(),
        "# new random data for every write, and other offsets on every run".into(),
        "refill_buffers=1".into(),
        "randrepeat=0".into(),
        "norandommap=1".into(),
        "time_based=1".into(),
        format!("runtime={}", fio_time(options.runtime_ns)),
        format!("# {}", size.why),
        format!("size={}", fio_size(size.bytes)),
        "group_reporting=1".into(),
    ]
}

/// The section of one job.
fn section(stream: &Stream, all: &[Stream], source: &Source, options: &Options, size: u64) -> Vec<String> {
    let mut lines = vec![format!("[{}]", stream.name)];
    lines.extend(directions(stream, all, source));
    lines.extend(sizes(stream));
    lines.extend(places(stream, source, size));
    lines.extend(depth(stream, &options.ioengine));
    lines.extend(brake(stream));
    lines.extend(flow(stream, all));
    lines.extend(sync(stream, source));
    lines
}

/// `rw`, with the share of reads.
fn directions(stream: &Stream, all: &[Stream], source: &Source) -> Vec<String> {
    let Some(percent) = stream.read_percent else {
        let rw = |direction: Direction| match in_order(source, direction) {
            Some(ALL_IN_ORDER) => direction.word(),
            _ => direction.random(),
        };
        return stream.parts.iter().map(|part| format!("rw={}", rw(part.direction))).collect();
    };
    let mut lines = vec!["rw=randrw".to_owned()];
    if all.len() > 1 && stream.flow.is_none() {
        lines.push("# two jobs of neighbouring percents give the share between, in the ratio of their depths".into());
    }
    lines.push(format!("rwmixread={percent}"));
    lines
}

fn sizes(stream: &Stream) -> Vec<String> {
    let of = |part: &super::streams::Part| {
        let (split, real) = (&part.split, part.mix.mean());
        format!(
            "# {}s: {} sizes, mean {real:.0} bytes; the percents give {:.0} ({:+.2} %) and move a size by {:.0}",
            part.direction,
            part.mix.sizes().len(),
            split.mean,
            (split.mean / real - 1.0) * 100.0,
            split.distance
        )
    };
    let mut lines: Vec<String> = stream.parts.iter().map(of).collect();
    let splits: Vec<_> = stream.parts.iter().map(|part| part.split.text()).collect();
    lines.push(format!("bssplit={}", splits.join(",")));
    lines.extend(uneven(stream));
    lines
}

/// What keeps fio 3.33 from rounding every size down to a multiple of the smallest one of its
/// direction, and places with it; none where all are such multiples anyway. (`get_next_buflen` in
/// io_u.c; a smallest size that is a power of two is a mask there.)
fn uneven(stream: &Stream) -> Vec<String> {
    let sizes = || stream.parts.iter().map(|part| part.split.entries.iter().map(|entry| entry.0));
    let rounded = |mut sizes: Box<dyn Iterator<Item = u64> + '_>| {
        let smallest = sizes.next().unwrap_or(1).max(1);
        sizes.any(|size| !size.is_multiple_of(smallest))
    };
    if !sizes().any(|part| rounded(Box::new(part))) {
        return Vec::new();
    }
    let blocks = sizes().flatten().all(|size| size.is_multiple_of(BLOCK));
    vec![
        "# without these two, fio rounds sizes down to multiples of the smallest one".to_owned(),
        "bs_unaligned=1".to_owned(),
        format!("blockalign={}", fio_size(if blocks { BLOCK } else { SECTOR })),
    ]
}

/// Requests of a direction that begin where its last one ended, whole percents.
fn in_order(source: &Source, direction: Direction) -> Option<u64> {
    source.sequential[direction as usize].map(|share| (share * 100.0).round() as u64)
}

/// `percentage_random` and `random_distribution`.
fn places(stream: &Stream, source: &Source, size: u64) -> Vec<String> {
    let directions: Vec<Direction> = stream.parts.iter().map(|part| part.direction).collect();
    let ordered: Vec<Option<u64>> = directions.iter().map(|direction| in_order(source, *direction)).collect();
    let mut lines = Vec::new();
    if stream.read_percent.is_none() && ordered == [Some(ALL_IN_ORDER)] {
        return vec!["# every request begins where the last one ended".to_owned()];
    }
    if ordered.iter().any(|percent| percent.is_some_and(|percent| percent > 0)) {
        let random: Vec<String> = ordered.iter().map(|percent| (100 - percent.unwrap_or(0)).to_string()).collect();
        lines.push("# the others begin where the last one of their direction ended".to_owned());
        lines.push(format!("percentage_random={}", random.join(",")));
    }
    if let Some(zones) = source.zones.text(&directions, size) {
        lines
            .push("# percent of the requests/bytes of the file, from the LBA map with its empty parts left out".into());
        lines.push(format!("random_distribution=zoned_abs:{zones}"));
    }
    lines
}

fn depth(stream: &Stream, ioengine: &str) -> Vec<String> {
    let why = match stream.brake {
        Some(Brake::Bytes(_) | Brake::Poisson(_)) => "# the most in flight; the rate decides how many are",
        _ => "# the mean number in flight, at least 1",
    };
    let mut lines = vec![why.to_owned()];
    let mut depth = stream.depth;
    if ioengine == "io_uring" {
        match ring(stream.depth) {
            Some(near) => depth = near,
            None if stream.brake.is_some_and(|brake| !matches!(brake, Brake::Think { .. })) => {
                depth = depth.next_power_of_two();
            }
            None => {
                lines.push("# (fio's io_uring keeps powers of two in flight, and this is far from one)".to_owned());
                lines.push("ioengine=libaio".to_owned());
            }
        }
    }
    lines.push(format!("iodepth={depth}"));
    lines
}

/// What sets the pace, when the device does not.
fn brake(stream: &Stream) -> Vec<String> {
    let Some(brake) = stream.brake else { return Vec::new() };
    let mut lines = vec!["# the pace, as above".to_owned()];
    lines.extend(match brake {
        Brake::Bytes(rate) => vec![format!("rate={rate}")],
        Brake::Poisson(rate) => vec![format!("rate_iops={rate}"), "rate_process=poisson".to_owned()],
        Brake::Think { requests, us } => vec![format!("thinktime={us}"), format!("thinktime_blocks={requests}")],
    });
    lines
}

fn flow(stream: &Stream, all: &[Stream]) -> Vec<String> {
    let Some(flow) = stream.flow else { return Vec::new() };
    let total: u64 = all.iter().map(Stream::count).sum();
    let share = stream.count() as f64 * 100.0 / total as f64;
    vec![
        format!("# {share:.3} % of all requests; a job that is ahead of its share pauses"),
        format!("flow={flow}"),
        "flow_sleep=50".to_owned(),
    ]
}

/// Syncs after so many writes of this job.
fn sync(stream: &Stream, source: &Source) -> Vec<String> {
    let Some(sync) = source.sync.filter(|_| stream.parts.iter().any(|part| part.direction == Direction::Write)) else {
        return Vec::new();
    };
    vec![
        format!("# {} syncs, one to {} write requests", units::count(sync.count), units::count(sync.every)),
        format!("{}={}", sync.option, sync.every),
    ]
}

/// A time as fio reads it: whole seconds, or microseconds where it is not.
fn fio_time(ns: u64) -> String {
    if ns.is_multiple_of(units::SECOND_NS) {
        format!("{}s", ns / units::SECOND_NS)
    } else {
        format!("{}us", ns.div_ceil(1_000))
    }
}
