//! The comments before a job: how to run it, and what its source was.

use crate::measure::BlockResult;
use crate::measure::block::BlockDevice;
use crate::units;

use super::facts::Facts;
use super::job::{HUGE_PAGES, JOB_SCHEMA, Method, Origin};
use super::logical::SOURCE;
use super::source::Source;

/// A file name as a shell takes it.
pub fn quoted(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-+/".contains(c);
    if !name.is_empty() && !name.starts_with('-') && name.chars().all(plain) {
        return name.to_owned();
    }
    format!("'{}'", name.replace('\'', "'\\''"))
}

/// The command that runs a job on FILE.
pub fn command(job_file: &str, huge_pages: bool) -> String {
    format!("{}fio --filename=FILE {}", first_word(huge_pages), quoted(job_file))
}

/// What stands before fio in a shell.
pub fn first_word(huge_pages: bool) -> String {
    if huge_pages { format!("{HUGE_PAGES} ") } else { String::new() }
}

/// The comments before the job.
pub fn lines(
    block: &BlockResult,
    origin: &Origin,
    source: &Source,
    facts: &[Facts],
    method: Method,
    huge_pages: bool,
) -> Vec<String> {
    let mut lines = vec![
        format!("{JOB_SCHEMA} by {}", crate::TOOL),
        String::new(),
        "Run it with fio 3.28 or later. FILE is created if it is missing; a job that writes overwrites it:".into(),
        format!("  {}", command(&origin.job_file, huge_pages)),
        "Further options go before the job file: fio does not apply later ones to its jobs.".into(),
    ];
    if huge_pages {
        lines.push(
            "The first word lets glibc (2.35 or later) put fio's buffers on huge pages, none of which have to be \
             reserved: on pages of 4 KiB a large request has more segments than most devices take at once, and is split."
                .into(),
        );
    }
    lines.push(String::new());
    lines.extend(of_source(block, origin));
    lines.extend((method != Method::Kvtrace).then(|| format!("Method: {}", method.about())));
    lines.push(String::new());
    lines.extend(facts.iter().flat_map(Facts::lines));
    lines.extend(source.stray.map(|(direction, count)| {
        format!("({direction}: {} requests, too few to be the load, are left out)", units::count(count))
    }));
    lines.push(String::new());
    if method == Method::Kvtrace {
        lines.push(format!("Pace: {}.", source.pace().why));
        lines.extend(source.cached.as_ref().map(|_| {
            "The source wrote through the page cache: the job repeats its calls, and leaves the device's requests to the \
             kernel, as the source did."
                .to_owned()
        }));
        lines.extend(source.split_at.map(|limit| {
            format!(
                "Sizes: the device split what was larger than {}; the job has such requests whole, as it has their depth.",
                units::bytes(limit)
            )
        }));
    }
    lines
}

/// What the job was made from.
pub fn of_source(block: &BlockResult, origin: &Origin) -> Vec<String> {
    let mut lines = vec![format!("Source: {} ({})", origin.file, origin.schema), format!("  sha256 {}", origin.sha256)];
    lines.extend(origin.facts.iter().cloned());
    lines.push(match block.source.as_str() {
        SOURCE => "Not captured: the trace's objects are split as a replay would split them; depth and pace are \
                   assumed."
            .to_owned(),
        probes => {
            let devices: Vec<String> = block.devices.iter().map(device).collect();
            let devices = if devices.is_empty() { "devices that are not named".to_owned() } else { devices.join(", ") };
            let during =
                block.duration_s.map_or_else(|| "for a time that is not said".to_owned(), |s| format!("{s:.1} s"));
            format!("Captured: {during} on {devices} by {probes}")
        }
    });
    lines.extend(block.notes.iter().map(|note| format!("Note: {note}")));
    lines
}

fn device(device: &BlockDevice) -> String {
    match device.max_sectors_kb {
        0 => device.name.clone(),
        kib => format!("{} (requests of up to {})", device.name, units::bytes(kib << 10)),
    }
}
