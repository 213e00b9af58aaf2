//! What fio says that it issued, beside what reached the device: what lies between may cut requests
//! in two, or add some of its own.

use std::fs::File;
use std::io::{Read, Seek};

use rustix::fs::{MemfdFlags, memfd_create};
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::measure::BlockResult;
use crate::units;

/// The share of requests more than fio issued from which on it is said.
const MORE: f64 = 0.005;

/// Where fio writes its report.
pub struct Report(File);

#[derive(Deserialize)]
struct Said {
    jobs: Vec<Job>,
}

#[derive(Deserialize)]
struct Job {
    read: Side,
    write: Side,
}

#[derive(Deserialize)]
struct Side {
    total_ios: u64,
}

impl Report {
    /// An empty one, in memory.
    ///
    /// # Errors
    /// When the system gives none.
    pub fn new() -> Result<Self> {
        let file = memfd_create("fio-report", MemfdFlags::CLOEXEC);
        file.map(|fd| Self(File::from(fd))).map_err(|e| Error::unavailable(format!("no memory for fio's report: {e}")))
    }

    /// For fio to write to.
    ///
    /// # Errors
    /// When the process may open no more files.
    pub fn writer(&self) -> Result<File> {
        self.0.try_clone().map_err(|e| Error::unavailable(format!("no memory for fio's report: {e}")))
    }

    /// Reads and writes that fio issued; none when its report cannot be read.
    fn issued(mut self) -> Option<[u64; 2]> {
        let mut text = String::new();
        self.0.rewind().ok()?;
        self.0.read_to_string(&mut text).ok()?;
        // Whatever fio says before its report is no part of it.
        let said: Said = serde_json::from_str(text.get(text.find('{')?..)?).ok()?;
        let sum = |side: fn(&Job) -> u64| said.jobs.iter().map(side).sum();
        Some([sum(|job| job.read.total_ios), sum(|job| job.write.total_ios)])
    }

    /// That more requests reached the device than fio issued, if they did; not where it issued some of
    /// `largest` bytes that the device splits, as it did the source's.
    pub fn beside(self, block: &BlockResult, largest: u64) -> Option<String> {
        if block.devices.iter().any(|device| (1..largest).contains(&(device.max_sectors_kb << 10))) {
            return None;
        }
        // What goes through the page cache reaches the device as the kernel's requests.
        if block.histogram("cached_write", None).is_some_and(|calls| calls.count > 0) {
            return None;
        }
        let issued: u64 = self.issued()?.iter().sum();
        let sizes = block.histograms.iter().filter(|histogram| histogram.name == "size");
        more(issued, sizes.map(|histogram| histogram.count).sum())
    }
}

fn more(issued: u64, seen: u64) -> Option<String> {
    let extra = seen.checked_sub(issued).filter(|extra| *extra as f64 > MORE * issued as f64)?;
    Some(format!(
        "fio issued {} requests and the device got {} more: a filesystem cuts what crosses from one extent of the file to \
         the next, adds its own, and fio's program is read from it; a block device as --target has none of that",
        units::count(issued),
        units::count(extra)
    ))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_was_added_on_the_way_is_said() {
        assert_eq!(more(1000, 1004), None);
        assert_eq!(more(1000, 900), None, "merged");
        assert!(more(1000, 1021).unwrap().contains("1,000 requests and the device got 21 more"));
    }

    #[test]
    fn fio_s_report_is_found_behind_its_other_words() {
        let report = Report::new().unwrap();
        let json = r#"{"jobs": [{"read": {"total_ios": 7}, "write": {"total_ios": 2}, "trim": {}}]}"#;
        write!(report.writer().unwrap(), "note: something\n{json}\n").unwrap();
        assert_eq!(report.issued(), Some([7, 2]));
        assert_eq!(Report::new().unwrap().issued(), None);
    }
}
