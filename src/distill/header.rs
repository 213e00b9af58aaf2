//! The comments before a job: how to run it, and what its source was.

use std::fmt::Write;

use crate::measure::{BlockResult, Histogram};
use crate::units;

use super::depth::InFlight;
use super::job::{HUGE_PAGES, JOB_SCHEMA, Origin};
use super::logical::SOURCE;
use super::sizes::SizeMix;
use super::source::Source;
use super::streams::Direction;
use super::zones;

/// The least share of the requests that is listed as one hot zone, and how many are listed.
const HOT_SHARE: f64 = 0.01;
const HOT_ZONES: usize = 8;

/// Writes a comment line.
pub fn comment(text: &mut String, line: &str) {
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

/// Writes the comments before the job.
pub fn write(text: &mut String, block: &BlockResult, origin: &Origin, source: &Source) {
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
    lines.push(match block.source.as_str() {
        SOURCE => "Not captured: the trace's objects are split as a replay would split them; depth and pace are \
                   assumed."
            .to_owned(),
        probes => {
            let devices = if devices.is_empty() { "devices that are not named".to_owned() } else { devices.join(", ") };
            let during =
                block.duration_s.map_or_else(|| "for a time that is not said".to_owned(), |s| format!("{s:.1} s"));
            format!("Captured: {during} on {devices} by {probes}")
        }
    });
    lines.extend(block.notes.iter().map(|note| format!("Note: {note}")));
    lines.push(String::new());
    let requests = source.loads.iter().map(|load| load.mix.count()).sum();
    for (direction, load) in Direction::ALL.into_iter().zip(&source.loads) {
        lines.extend(direction_lines(block, direction, &load.mix, requests));
    }
    lines.extend(source.stray.map(|(direction, count)| {
        format!("({direction}: {} requests, too few to be the load, are left out)", units::count(count))
    }));
    lines.push(String::new());
    lines.push(format!("Pace: {}.", source.paced.why));
    lines.extend(unknown(source));
    lines.iter().for_each(|line| comment(text, line));
}

/// What the capture did not see and the job therefore leaves open.
fn unknown(source: &Source) -> Option<String> {
    let missing =
        source.loads.iter().zip(source.sequential).any(|(load, share)| load.mix.count() > 1 && share.is_none());
    missing
        .then(|| "Order: the capture does not say which requests follow one another, so places are random.".to_owned())
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
        Some(inflight) if block.source == SOURCE => {
            lines.push(format!(
                "  in flight: {:.2}, assumed: what a replay keeps, in requests of this size",
                inflight.mean
            ));
        }
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
    let scale = zones::scale(lba);
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
