//! A distilled job: what it is made from, what it warns of, and its text (`kvtrace.job/1`), of which
//! [`super::header`] says where every value comes from and [`super::body`] is what fio reads.

use crate::error::{Error, Result};
use crate::measure::BlockResult;
use crate::units;

use super::body::{self, FileSize};
use super::header::{self, comment};
use super::source::Source;
use super::streams::{Direction, MAX_FLOW, Stream, streams};

/// The schema that a job's first line names.
pub const JOB_SCHEMA: &str = "kvtrace.job/1";

/// What makes glibc ask for huge pages below large buffers (glibc manual, "Memory Allocation
/// Tunables"); fio itself only knows pages that were reserved before.
pub const HUGE_PAGES: &str = "GLIBC_TUNABLES=glibc.malloc.hugetlb=1";

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
    /// The size of the file that it runs on.
    pub size_bytes: u64,
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
        let source = Source::of(block);
        let streams = streams(&source.loads[0], &source.loads[1], source.paced.pace, source.sync.is_some());
        if streams.is_empty() {
            return Err(Error::usage(format!(
                "{}: the capture saw no read and no write of its target, so there is nothing to distil; check its \
                 --dev and process filter ({} on the same devices came from others)",
                origin.file,
                units::count(block.other.histograms.iter().filter(|h| h.name == "size").map(|h| h.count).sum())
            )));
        }
        let size = FileSize::of(&source, options.size_bytes);
        let warnings = warnings(block, &streams);
        let mut text = String::new();
        header::write(&mut text, block, origin, &source);
        for warning in &warnings {
            comment(&mut text, &format!("WARNING: {warning}"));
        }
        body::write(&mut text, &streams, &source, options, &size);
        Ok(Self { streams, warnings, size_bytes: size.bytes, text })
    }

    /// The job file.
    pub fn text(&self) -> &str {
        &self.text
    }
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
