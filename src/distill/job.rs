//! The fio job as text: what it says, and where every value came from (`kvtrace.job/1`).

use std::fmt::Write;

use crate::error::{Error, Result};
use crate::measure::{BlockResult, Histogram};
use crate::units;

use super::depth::InFlight;
use super::sizes::{SizeMix, fio_size};
use super::streams::{Direction, Load, MAX_FLOW, Stream, streams};

/// The schema that a job's first line names.
pub const JOB_SCHEMA: &str = "kvtrace.job/1";

/// What makes glibc ask for huge pages below large buffers (glibc manual, "Memory Allocation
/// Tunables"); fio itself only knows pages that were reserved before.
pub const HUGE_PAGES: &str = "GLIBC_TUNABLES=glibc.malloc.hugetlb=1";

/// The file of a job is at least this many times its largest request, so that fio seldom has to
/// draw another size because the end of the file is near.
const SIZE_IN_REQUESTS: u64 = 64;

/// A part of the device counts as touched when it saw at least this much of the mean of all parts
/// that saw a request: a filesystem's journal and metadata lie far from a file's data.
const TOUCHED_SHARE: f64 = 0.05;

/// The least share of the requests that is listed as one hot zone, and how many are listed.
const HOT_SHARE: f64 = 0.01;
const HOT_ZONES: usize = 8;

/// Where the numbers come from, for the header.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Origin {
    /// The input's file name.
    pub file: String,
    /// Its schema.
    pub schema: String,
    /// Its sha256.
    pub sha256: String,
    /// What a replay says of its trace, one line each.
    pub facts: Vec<String>,
    /// The name that the job gets, for the command line in its header.
    pub job_file: String,
}

/// What the user decides.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// fio's `ioengine`.
    pub ioengine: String,
    /// How long the job runs.
    pub runtime_ns: u64,
    /// The size of the file that it runs on; none is the source's working set.
    pub size_bytes: Option<u64>,
}

impl Default for Options {
    /// As `kvtrace distill-fio` does without being told.
    fn default() -> Self {
        Self { ioengine: "io_uring".to_owned(), runtime_ns: 30 * units::SECOND_NS, size_bytes: None }
    }
}

/// A distilled job.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// The streams, reads first.
    pub streams: Vec<Stream>,
    /// What a user should hear beside the file.
    pub warnings: Vec<String>,
    text: String,
}

impl Job {
    /// Distils what a capture saw of its target.
    ///
    /// # Errors
    /// When the capture has no sizes, or saw no request with one.
    pub fn distil(block: &BlockResult, origin: &Origin, options: &Options) -> Result<Self> {
        if Direction::ALL.iter().all(|direction| block.histogram("size", Some(direction.word())).is_none()) {
            return Err(Error::usage(format!(
                "{}: its source ({}) has no request sizes, so there is nothing to distil; capture with eBPF (`kvtrace \
                 doctor` says what that needs)",
                origin.file, block.source
            )));
        }
        let loads = Direction::ALL.map(|direction| load(block, direction));
        let streams = streams(&loads[0], &loads[1]);
        if streams.is_empty() {
            return Err(Error::usage(format!(
                "{}: the capture saw no read and no write of its target, so there is nothing to distil; check its \
                 --dev and process filter ({} on the same devices came from others)",
                origin.file,
                units::count(block.other.histograms.iter().filter(|h| h.name == "size").map(|h| h.count).sum())
            )));
        }
        let size = Size::of(block, &loads, options.size_bytes);
        let warnings = warnings(block, &streams);
        let mut text = String::new();
        header(&mut text, block, origin, &loads);
        for warning in &warnings {
            comment(&mut text, &format!("WARNING: {warning}"));
        }
        body(&mut text, &streams, options, &size);
        Ok(Self { streams, warnings, text })
    }

    /// The job file.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// One direction of the capture's target.
fn load(block: &BlockResult, direction: Direction) -> Load {
    let sizes = block.histogram("size", Some(direction.word()));
    Load {
        mix: sizes.map(SizeMix::from_histogram).unwrap_or_default(),
        in_flight: InFlight::of(block, direction).map_or(1.0, |inflight| inflight.mean),
    }
}

/// The size of the file, and why.
struct Size {
    bytes: u64,
    why: String,
}

impl Size {
    /// As asked, or the space that was touched: no more than the touched parts of the device and
    /// no more than all bytes moved.
    fn of(block: &BlockResult, loads: &[Load; 2], asked: Option<u64>) -> Self {
        if let Some(bytes) = asked {
            return Self { bytes, why: "as asked (--size)".to_owned() };
        }
        let moved: u128 = loads.iter().map(|load| load.mix.bytes()).sum();
        let moved = u64::try_from(moved).unwrap_or(u64::MAX);
        let touched = touched_bytes(block).unwrap_or(u64::MAX);
        let largest = loads.iter().filter_map(|load| load.mix.sizes().last()).map(|size| size.0).max();
        let least = largest.unwrap_or(0) * SIZE_IN_REQUESTS;
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

/// Bytes of the LBA buckets that saw more than a stray request in any direction.
fn touched_bytes(block: &BlockResult) -> Option<u64> {
    let mut buckets: Vec<(i64, i64)> = block
        .histograms
        .iter()
        .filter(|h| h.name == "lba")
        .flat_map(|h| {
            let scale = lba_scale(h);
            let least = h.count as f64 / h.buckets.len() as f64 * TOUCHED_SHARE;
            h.buckets.iter().filter(move |b| b.2 as f64 >= least).map(move |b| (b.0 * scale, b.1 * scale))
        })
        .collect();
    buckets.sort_unstable();
    let (mut end, mut sum) = (i64::MIN, 0);
    for (low, high) in buckets {
        sum += high - low.max(end).min(high);
        end = end.max(high);
    }
    u64::try_from(sum).ok().filter(|sum| *sum > 0)
}

fn lba_scale(histogram: &Histogram) -> i64 {
    if histogram.unit == "sectors" { 512 } else { 1 }
}

fn warnings(block: &BlockResult, streams: &[Stream]) -> Vec<String> {
    let mut all = Vec::new();
    if !block.complete {
        all.push("the capture was interrupted; the job describes the part that was seen".to_owned());
    }
    if block.tainted {
        all.push(format!("the capture is tainted ({}); its numbers may be off", block.taint_reasons.join("; ")));
    }
    let has = |name: &str| block.histograms.iter().any(|histogram| histogram.name == name && histogram.count > 0);
    if has("inflight") && !has("inflight_time") {
        all.push(
            "the source has depths only as requests met them, not over time: iodepth is their mean, which a counter \
             that leaks makes too high; check it"
                .to_owned(),
        );
    }
    let total: u64 = streams.iter().map(Stream::count).sum();
    for stream in streams {
        let rare = stream.count() as f64 / total as f64;
        if stream.flow.is_some() && rare * f64::from(MAX_FLOW) < 0.5 {
            all.push(format!(
                "{} requests are {:.4} % of all, and fio's flow weights end at 1:{MAX_FLOW}: the job issues more",
                stream.name,
                rare * 100.0
            ));
        }
    }
    if total < 100 {
        all.push(format!("the source has only {total} requests; shares of so few say little"));
    }
    all
}

fn comment(text: &mut String, line: &str) {
    // One comment line whatever the source's names hold.
    let clean: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    writeln!(text, "{}", format!("# {clean}").trim_end()).expect("writing to memory does not fail");
}

/// A file name as a shell takes it.
fn quoted(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-+/".contains(c);
    if !name.is_empty() && !name.starts_with('-') && name.chars().all(plain) {
        return name.to_owned();
    }
    format!("'{}'", name.replace('\'', "'\\''"))
}

fn header(text: &mut String, block: &BlockResult, origin: &Origin, loads: &[Load; 2]) {
    let devices: Vec<_> = block.devices.iter().map(|device| device.name.as_str()).collect();
    let mut lines = vec![
        format!("{JOB_SCHEMA} by {}", crate::TOOL),
        String::new(),
        "Run it with fio 3.28 or later; FILE is created if it is missing, and is overwritten if the job writes:".into(),
        format!("  {HUGE_PAGES} fio --filename=FILE {}", quoted(&origin.job_file)),
        "Options must stand before the job file: fio does not apply later ones to the file's jobs. The first".into(),
        "word puts fio's buffers on huge pages (glibc 2.35 or later); on 4 KiB pages, a large request has more".into(),
        "segments than most devices take at once, and is split.".into(),
        String::new(),
        format!("Source: {} ({}), sha256 {}", origin.file, origin.schema, origin.sha256),
    ];
    lines.extend(origin.facts.iter().cloned());
    let devices = if devices.is_empty() { "devices that are not named".to_owned() } else { devices.join(", ") };
    let during = block.duration_s.map_or_else(|| "for a time that is not said".to_owned(), |s| format!("{s:.1} s"));
    lines.push(format!("Captured: {during} on {devices} by {}", block.source));
    lines.extend(block.notes.iter().map(|note| format!("Note: {note}")));
    lines.push(String::new());
    let requests = loads.iter().map(|load| load.mix.count()).sum();
    for (direction, load) in Direction::ALL.into_iter().zip(loads) {
        lines.extend(direction_lines(block, direction, &load.mix, requests));
    }
    lines.extend([
        String::new(),
        "Places are random: the capture counts where requests went, not in which order, so that a".into(),
        "sequential share is not known. Pace is not limited: the depth is kept full.".into(),
    ]);
    lines.iter().for_each(|line| comment(text, line));
}

/// What the source did in one direction.
fn direction_lines(block: &BlockResult, direction: Direction, mix: &SizeMix, requests: u64) -> Vec<String> {
    if mix.count() == 0 {
        return vec![format!("{direction}: none")];
    }
    let mut lines = vec![format!(
        "{direction}: {} requests ({:.2} %), {}, mean {}",
        units::count(mix.count()),
        mix.count() as f64 * 100.0 / requests as f64,
        units::bytes(u64::try_from(mix.bytes()).unwrap_or(u64::MAX)),
        units::bytes(mix.mean().round() as u64)
    )];
    let quantile = |h: &Histogram, q| h.quantile(q).map_or("-".to_owned(), units::ns);
    if let Some(d2c) = block.histogram("d2c", Some(direction.word())).filter(|h| h.count > 0) {
        lines.push(format!("  D2C: P50 {}, P99 {}", quantile(d2c, 0.5), quantile(d2c, 0.99)));
    }
    match InFlight::of(block, direction) {
        Some(inflight) => {
            lines.push(format!("  in flight: mean {:.2} ({})", inflight.mean, inflight.from));
            lines.extend(inflight.device.as_ref().and_then(|device| {
                let (median, p90) = (device.quantile(0.5)?, device.quantile(0.9)?);
                Some(format!("  at the device, while any: median {median:.0}, P90 {p90:.0}, max {}", device.max?))
            }));
        }
        None => lines.push("  in flight: not captured, taken as 1".to_owned()),
    }
    if let Some(zones) = block.histogram("lba", Some(direction.word())).map(hot_zones).filter(|zones| !zones.is_empty())
    {
        lines.push("  hot LBA zones (share of requests):".to_owned());
        lines.extend(zones.chunks(4).map(|some| format!("    {}", some.join(", "))));
    }
    lines
}

/// The parts of the device that saw the most requests.
fn hot_zones(lba: &Histogram) -> Vec<String> {
    let scale = lba_scale(lba);
    let mut zones: Vec<_> =
        lba.buckets.iter().filter(|bucket| bucket.2 as f64 >= HOT_SHARE * lba.count as f64).collect();
    zones.sort_by_key(|bucket| (std::cmp::Reverse(bucket.2), bucket.0));
    zones.truncate(HOT_ZONES);
    let gib = |sectors: i64| (sectors * scale) as f64 / units::GIB as f64;
    let zone = |&&(low, high, count): &&(i64, i64, u64)| {
        format!("{:.2}-{:.2} GiB {:.1} %", gib(low), gib(high), count as f64 * 100.0 / lba.count as f64)
    };
    zones.iter().map(zone).collect()
}

fn body(text: &mut String, streams: &[Stream], options: &Options, size: &Size) {
    let mut line = |content: String| {
        text.push_str(&content);
        text.push('\n');
    };
    line(String::new());
    line("[global]".into());
    line(format!("ioengine={}", options.ioengine));
    line("direct=1".into());
    line("# new random data for every write, and other offsets on every run".into());
    line("refill_buffers=1".into());
    line("randrepeat=0".into());
    line("norandommap=1".into());
    line("time_based=1".into());
    line(format!("runtime={}", fio_time(options.runtime_ns)));
    line(format!("# {}", size.why));
    line(format!("size={}", fio_size(size.bytes)));
    line("group_reporting=1".into());
    for stream in streams {
        line(String::new());
        stream_lines(stream, streams, &options.ioengine).into_iter().for_each(&mut line);
    }
}

/// The section of one job.
fn stream_lines(stream: &Stream, all: &[Stream], ioengine: &str) -> Vec<String> {
    let mut lines = vec![format!("[{}]", stream.name)];
    match stream.read_percent {
        Some(percent) => {
            lines.push("rw=randrw".into());
            if all.len() > 1 && stream.flow.is_none() {
                lines.push(
                    "# two jobs of neighbouring percents give the share between, in the ratio of their depths".into(),
                );
            }
            lines.push(format!("rwmixread={percent}"));
        }
        None => lines.extend(stream.parts.iter().map(|part| format!("rw={}", part.direction.random()))),
    }
    for part in &stream.parts {
        let (split, real) = (&part.split, part.mix.mean());
        lines.push(format!(
            "# {}s: {} sizes, mean {real:.0} bytes; the percents give {:.0} ({:+.2} %) and move a size by {:.0}",
            part.direction,
            part.mix.sizes().len(),
            split.mean,
            (split.mean / real - 1.0) * 100.0,
            split.distance
        ));
    }
    let splits: Vec<_> = stream.parts.iter().map(|part| part.split.text()).collect();
    lines.push(format!("bssplit={}", splits.join(",")));
    lines.push("# the mean number in flight, at least 1".into());
    if ioengine == "io_uring" && !stream.depth.is_power_of_two() {
        // Measured with fio 3.33: 12 keeps 14.8 in flight, with libaio 12.0.
        let power = stream.depth.next_power_of_two();
        lines.push(format!("# (fio's io_uring goes up to the next power of two, {power}, at times; libaio does not)"));
    }
    lines.push(format!("iodepth={}", stream.depth));
    if let Some(flow) = stream.flow {
        let total: u64 = all.iter().map(Stream::count).sum();
        let share = stream.count() as f64 * 100.0 / total as f64;
        lines.push(format!("# {share:.3} % of all requests; a job that is ahead of its share pauses"));
        lines.push(format!("flow={flow}"));
        lines.push("flow_sleep=50".into());
    }
    lines
}

/// A time as fio reads it: whole seconds, or microseconds where it is not.
fn fio_time(ns: u64) -> String {
    if ns.is_multiple_of(units::SECOND_NS) {
        format!("{}s", ns / units::SECOND_NS)
    } else {
        format!("{}us", ns.div_ceil(1_000))
    }
}
