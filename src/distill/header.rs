//! The comments before a job: how to run it, and what its source was.

use crate::measure::BlockResult;
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
pub fn command(job_file: &str) -> String {
    format!("{HUGE_PAGES} fio --filename=FILE {}", quoted(job_file))
}

/// The comments before the job.
pub fn lines(block: &BlockResult, origin: &Origin, source: &Source, facts: &[Facts], method: Method) -> Vec<String> {
    let mut lines = vec![
        format!("{JOB_SCHEMA} by {}", crate::TOOL),
        String::new(),
        "Run it with fio 3.28 or later; FILE is created if it is missing, and is overwritten if the job writes:".into(),
        format!("  {}", command(&origin.job_file)),
        "Options must stand before the job file: fio does not apply later ones to the file's jobs. The first".into(),
        "word puts fio's buffers on huge pages (glibc 2.35 or later); on 4 KiB pages, a large request has more".into(),
        "segments than most devices take at once, and is split.".into(),
        String::new(),
    ];
    lines.extend(of_source(block, origin));
    lines.push(format!("Method: {}", method.about()));
    lines.push(String::new());
    lines.extend(facts.iter().flat_map(Facts::lines));
    lines.extend(source.stray.map(|(direction, count)| {
        format!("({direction}: {} requests, too few to be the load, are left out)", units::count(count))
    }));
    lines.push(String::new());
    if method == Method::Kvtrace {
        lines.push(format!("Pace: {}.", source.paced.why));
    }
    lines
}

/// What the job was made from.
pub fn of_source(block: &BlockResult, origin: &Origin) -> Vec<String> {
    let mut lines = vec![format!("Source: {} ({}), sha256 {}", origin.file, origin.schema, origin.sha256)];
    lines.extend(origin.facts.iter().cloned());
    lines.push(match block.source.as_str() {
        SOURCE => "Not captured: the trace's objects are split as a replay would split them; depth and pace are \
                   assumed."
            .to_owned(),
        probes => {
            let devices: Vec<_> = block.devices.iter().map(|device| device.name.as_str()).collect();
            let devices = if devices.is_empty() { "devices that are not named".to_owned() } else { devices.join(", ") };
            let during =
                block.duration_s.map_or_else(|| "for a time that is not said".to_owned(), |s| format!("{s:.1} s"));
            format!("Captured: {during} on {devices} by {probes}")
        }
    });
    lines.extend(block.notes.iter().map(|note| format!("Note: {note}")));
    lines
}
