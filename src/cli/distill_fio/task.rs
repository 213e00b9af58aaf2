//! A job file that a proof runs, and how long fio may take for it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::distill::job::wants_huge_pages;
use crate::distill::section::Section;
use crate::distill::{Fio, Job};
use crate::error::Error;
use crate::units;

/// The least that fio may take longer than its job runs.
const GRACE: Duration = Duration::from_secs(60);
/// What storage that works at all writes in a second: a memory card.
const SLOWEST: u64 = 4 * units::MIB;

/// A job file.
#[derive(Clone, Debug)]
pub struct Task {
    pub file: PathBuf,
    /// It replays an iolog beside it.
    pub is_iolog: bool,
    /// Its buffers are on huge pages.
    pub huge_pages: bool,
    /// Its largest request.
    pub largest_bytes: u64,
    /// What it works on.
    pub size_bytes: u64,
    pub due: Due,
}

impl Task {
    /// A distilled job in a file; `grace` is what was asked for.
    pub fn of(job: &Job, file: &Path, grace: Option<Duration>) -> Self {
        let due = Due::of_job(running(&job.sections), grace);
        Self {
            file: file.to_owned(),
            is_iolog: false,
            huge_pages: wants_huge_pages(&job.sections),
            largest_bytes: job.largest(),
            size_bytes: job.size_bytes,
            due,
        }
    }

    /// What runs it on a target.
    pub fn command(&self, fio: &Fio, target: &Path) -> Command {
        if self.is_iolog { fio.replay(&self.file, target) } else { fio.run(&self.file, target, self.huge_pages) }
    }
}

/// How long fio may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// How long what it does takes by itself.
    work: Duration,
    /// How much longer it may take.
    grace: Duration,
}

impl Due {
    /// A job that runs so long.
    pub fn of_job(work: Duration, grace: Option<Duration>) -> Self {
        Self { work, grace: grace.unwrap_or(GRACE.max(work)) }
    }

    /// A replay of so long that moves so many bytes, which slow storage does later.
    pub fn of_replay(span: Duration, bytes: u64, grace: Option<Duration>) -> Self {
        let slow = Duration::from_secs(bytes / SLOWEST);
        Self { work: span, grace: grace.unwrap_or(GRACE.max(span) + slow) }
    }

    /// Writing so many bytes.
    pub fn of_writing(bytes: u64) -> Self {
        Self { work: Duration::from_secs(bytes / SLOWEST), grace: GRACE }
    }

    /// Reading a job.
    pub fn of_parsing() -> Self {
        Self { work: Duration::ZERO, grace: GRACE }
    }

    /// When fio hangs.
    pub fn limit(self) -> Duration {
        self.work + self.grace
    }

    /// What is said of a fio that was ended after so long.
    pub fn missed(self, after: Duration, killed: bool, said: Option<&str>) -> Error {
        let seconds = |time: Duration| units::ns(time.as_secs_f64() * 1e9);
        let how = if killed { "did not end at SIGINT either and was killed" } else { "was ended" };
        let said = said.map_or_else(String::new, |line| format!(" (its last words: {line})"));
        Error::io(format!(
            "fio hung: it had not ended after {}, though its work takes {}, and {how}{said}; look for errors of the device \
             (dmesg), or try --ioengine libaio, a smaller --size or a shorter --runtime",
            seconds(after),
            seconds(self.work)
        ))
    }
}

/// How long the jobs of a file run: those that follow one another (`stonewall`) one after the other,
/// none before its `startdelay`, which counts from fio's start.
fn running(sections: &[Section]) -> Duration {
    let time = |section: &Section, name| section.get(name).and_then(parsed).unwrap_or_default();
    let (global, jobs): (Vec<_>, Vec<_>) = sections.iter().partition(|section| section.name == "global");
    let default = global.first().map_or(Duration::ZERO, |global| time(global, "runtime"));
    let (mut begin, mut end) = (Duration::ZERO, Duration::ZERO);
    for job in jobs {
        if job.get("stonewall").is_some() {
            begin = end;
        }
        let runtime = job.get("runtime").and_then(parsed).unwrap_or(default);
        end = end.max(begin.max(time(job, "startdelay")) + runtime);
    }
    end
}

/// A time as a job's body writes it.
fn parsed(text: &str) -> Option<Duration> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let number: u64 = text[..text.len() - unit.len()].parse().ok()?;
    match unit {
        "s" | "" => Some(Duration::from_secs(number)),
        "ms" => Some(Duration::from_millis(number)),
        "us" => Some(Duration::from_micros(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distill::section::Setting;

    fn section(name: &str, settings: &[(&'static str, &str)]) -> Section {
        let settings = settings.iter().map(|(name, value)| Setting::new(name, value)).collect();
        Section { name: name.to_owned(), about: Vec::new(), settings }
    }

    #[test]
    fn slices_take_as_long_as_they_do_one_after_another() {
        let one = [section("global", &[("runtime", "30s")]), section("read", &[]), section("write", &[])];
        assert_eq!(running(&one), Duration::from_secs(30));
        let slices = [
            section("global", &[]),
            section("slice-1-read", &[("runtime", "1500ms")]),
            section("slice-2-read", &[("stonewall", "1"), ("startdelay", "2s"), ("runtime", "3s")]),
            section("slice-2-write", &[("startdelay", "2s"), ("runtime", "3s")]),
            section("slice-3-read", &[("stonewall", "1"), ("startdelay", "4s"), ("runtime", "500000us")]),
        ];
        assert_eq!(running(&slices), Duration::from_millis(5500));
    }

    #[test]
    fn a_hang_is_more_than_a_minute_and_more_than_twice_the_work() {
        let due = |seconds| Due::of_job(Duration::from_secs(seconds), None).limit().as_secs();
        assert_eq!((due(5), due(60), due(600)), (65, 120, 1200));
        assert_eq!(Due::of_job(Duration::from_secs(5), Some(Duration::from_secs(1))).limit().as_secs(), 6);
        let slow = Due::of_replay(Duration::from_secs(5), 4 << 30, None);
        assert_eq!(slow.limit().as_secs(), 5 + 60 + 1024, "4 GiB on the slowest storage");
        let said = slow.missed(Duration::from_secs(9), true, Some("hm")).to_string();
        assert!(said.contains("9.00 s") && said.contains("killed") && said.contains("hm"), "{said}");
    }
}
