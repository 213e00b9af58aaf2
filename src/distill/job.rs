//! A distilled job: what it is made from, what it warns of, and its text (`kvtrace.job/1`), of which
//! [`super::header`] says where every value comes from and [`super::body`] is what fio reads.

use serde::Serialize;

use crate::error::{Error, Result};
use crate::measure::BlockResult;
use crate::measure::replay::REPLAY_SCHEMA;
use crate::trace::meta::TRACE_SCHEMA;
use crate::units;

use super::body;
use super::buffers::buffers;
use super::cached::written_beside;
use super::context::Context;
use super::depth::{nearest, ring};
use super::engine::is_cached;
use super::facts::Facts;
use super::file_size::FileSize;
use super::header;
use super::logical;
use super::mlperf;
use super::pace::Pace;
use super::portions::{self, Division, Portion};
use super::section::{Section, comment, hoist, reasons_once, wrapped};
use super::source::Source;
use super::streams::{Direction, MAX_FLOW, Stream};
use super::tuning::Tuning;

/// The schema that a job's first line names.
pub const JOB_SCHEMA: &str = "kvtrace.job/1";

/// What makes glibc ask for huge pages below large buffers (glibc manual, "Memory Allocation
/// Tunables"); fio itself only knows pages that were reserved before.
pub const HUGE_PAGES: &str = "GLIBC_TUNABLES=glibc.malloc.hugetlb=1";

/// Whether a job needs them, as its parts say.
pub fn wants_huge_pages(sections: &[Section]) -> bool {
    sections.iter().any(|section| section.get("iomem_align").is_some())
}

/// Where the numbers come from, for the header.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
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

impl Origin {
    /// Whether the source is a replay of ours.
    fn is_replay(&self) -> bool {
        [REPLAY_SCHEMA, TRACE_SCHEMA].contains(&self.schema.as_str())
    }
}

/// How a capture becomes a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Ours.
    #[default]
    Kvtrace,
    /// [`super::mlperf`].
    Mlperf,
}

impl Method {
    /// What the header says of it.
    pub fn about(self) -> &'static str {
        match self {
            Self::Kvtrace => "kvtrace",
            Self::Mlperf => {
                "mlperf: the rules of the MLPerf Storage KV cache benchmark's distiller, computed without its losses, to \
                 be compared with"
            }
        }
    }
}

/// What the user decides.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// fio's `ioengine`.
    pub ioengine: String,
    /// Whether that is the user's own word, which holds in every section.
    pub engine_asked: bool,
    /// How long the job runs.
    pub runtime_ns: u64,
    /// The size of the file that it runs on; none is the source's working set.
    pub size_bytes: Option<u64>,
    /// How the capture becomes a job.
    pub method: Method,
    /// What a proof changed.
    pub tuning: Tuning,
    /// The number of the fio that is here; none where there is none, or it does not say.
    pub fio: Option<(u32, u32)>,
}

impl Options {
    /// The depth that stands in the job for one that is wanted; none where fio's io_uring has none that is
    /// near, and another engine is better.
    pub fn depth(&self, wanted: u32) -> Option<u32> {
        match (self.ioengine.as_str(), self.engine_asked) {
            ("io_uring", true) => Some(nearest(wanted)),
            ("io_uring", false) => ring(wanted),
            _ => Some(wanted),
        }
    }

    /// Whether the user asks for fio's io_uring, which keeps powers of two alone.
    pub fn keeps_powers(&self) -> bool {
        self.engine_asked && self.ioengine == "io_uring"
    }
}

impl Default for Options {
    /// As `kvtrace distill-fio` does without being told.
    fn default() -> Self {
        Self {
            ioengine: "io_uring".to_owned(),
            engine_asked: false,
            runtime_ns: 30 * units::SECOND_NS,
            size_bytes: None,
            method: Method::Kvtrace,
            tuning: Tuning::default(),
            fio: None,
        }
    }
}

/// A distilled job.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// The streams, reads first.
    pub streams: Vec<Stream>,
    /// What [`Options::tuning`] changed, a line each.
    pub tuned: Vec<String>,
    /// What a user should hear beside the file.
    pub warnings: Vec<String>,
    /// The size of the file that it runs on.
    pub size_bytes: u64,
    /// The parts of the file.
    pub sections: Vec<Section>,
    /// What the source did, by direction.
    pub facts: Vec<Facts>,
    /// How its requests began.
    pub pace: String,
    text: String,
}

impl Job {
    /// Distils what a capture saw of its target.
    ///
    /// # Errors
    /// When the capture has no sizes, or saw no request with one; when the file that is asked for
    /// is smaller than a request.
    pub fn distil(block: &BlockResult, origin: &Origin, options: &Options) -> Result<Self> {
        Self::divided(block, &Division::Whole, origin, options)
    }

    /// Distils a source that is divided.
    ///
    /// # Errors
    /// As [`Job::distil`]; when there is nothing to divide by.
    pub fn divided(block: &BlockResult, division: &Division, origin: &Origin, options: &Options) -> Result<Self> {
        check_sizes(block, origin)?;
        let whole = Source::of(block);
        let size = FileSize::of(block, &whole, options.size_bytes);
        let (streams, sections, tuned) = match options.method {
            Method::Kvtrace => {
                let portions = division.portions(block, &whole, &origin.file)?;
                let buffers = buffers(whole.largest_piece(), origin.is_replay(), &block.devices);
                let global = body::global(options, &size, buffers);
                sections(&portions, division, global, options, &size)
            }
            Method::Mlperf => {
                let stream = mlperf::stream(&whole, block);
                let sections = mlperf::sections(&stream, block, options, &size);
                (Some(stream).filter(|stream| stream.count() > 0).into_iter().collect(), sections, Vec::new())
            }
        };
        if streams.is_empty() {
            return Err(nothing(block, origin));
        }
        check_file(&size, &streams)?;
        let facts: Vec<Facts> = Direction::ALL.into_iter().map(|d| Facts::of(block, &whole, d)).collect();
        let mut warnings = warnings(block, &whole, &streams);
        warnings.extend(smaller(&size));
        warnings.extend(size.cuts(&streams, &whole));
        let mut header = header::lines(block, origin, &whole, &facts, options.method, wants_huge_pages(&sections));
        header.extend(division.about());
        header.extend(tuned.iter().map(|change| format!("Tuned by a proof: {change}.")));
        let text = text(&header, &warnings, &sections);
        let pace = whole.pace().why.clone();
        Ok(Self { streams, tuned, warnings, size_bytes: size.bytes, sections, facts, pace, text })
    }

    /// The largest request that it issues.
    pub fn largest(&self) -> u64 {
        self.streams.iter().flat_map(|stream| &stream.parts).map(|part| part.split.largest()).max().unwrap_or(0)
    }

    /// The job file.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// The jobs of all portions, and the file's parts.
fn sections(
    portions: &[Portion],
    division: &Division,
    mut global: Section,
    options: &Options,
    size: &FileSize,
) -> (Vec<Stream>, Vec<Section>, Vec<String>) {
    let mut streams: Vec<Vec<Stream>> =
        portions.iter().map(|portion| portion.streams(*division == Division::Phases, options)).collect();
    let one_by_one = portions.len() > 1 && *division != Division::Phases;
    if *division == Division::Phases {
        portions::balance(&mut streams);
    }
    let tuned = streams.iter_mut().flat_map(|streams| options.tuning.apply(streams)).collect();
    let flat: Vec<Stream> = streams.concat();
    let in_turns = flat.iter().any(|stream| stream.turn.is_some());
    if one_by_one || in_turns {
        global.settings.retain(|setting| setting.name != "runtime");
    }
    let mut all = vec![global];
    for (at, (portion, own)) in portions.iter().zip(&streams).enumerate() {
        let beside = if one_by_one { own } else { &flat };
        let context = Context {
            source: &portion.source,
            beside,
            options,
            size: size.bytes,
            flow_id: one_by_one.then_some(at + 1),
        };
        let mut jobs: Vec<Section> = own.iter().map(|stream| body::section(stream, &context)).collect();
        if one_by_one {
            body::in_turn(&mut jobs, own, portions, at, options.runtime_ns);
        } else if in_turns {
            body::one_after_another(&mut jobs, own, options.runtime_ns);
        }
        if let Some(first) = jobs.first_mut().filter(|_| portions.len() > 1) {
            first.about.splice(0..0, portion.about());
        }
        all.extend(jobs);
    }
    hoist(&mut all, "ioengine");
    hoist(&mut all, "direct");
    (flat, all, tuned)
}

/// A file of comments and sections.
fn text(header: &[String], warnings: &[String], sections: &[Section]) -> String {
    let warnings = warnings.iter().flat_map(|warning| wrapped(&format!("WARNING: {warning}")));
    // A command stands on one line, however long the name of the job.
    let header =
        header.iter().flat_map(|line| if line.contains(HUGE_PAGES) { vec![comment(line)] } else { wrapped(line) });
    let sections = reasons_once(sections);
    let lines = header.chain(warnings).chain(sections.iter().flat_map(Section::lines));
    lines.map(|line| line + "\n").collect()
}

fn check_sizes(block: &BlockResult, origin: &Origin) -> Result<()> {
    if Direction::ALL.iter().any(|direction| block.histogram("size", Some(direction.word())).is_some()) {
        return Ok(());
    }
    Err(Error::usage(format!(
        "{}: its source ({}) has no request sizes, so there is nothing to distil; capture with eBPF (`kvtrace doctor` \
         says what that needs)",
        origin.file, block.source
    )))
}

fn nothing(block: &BlockResult, origin: &Origin) -> Error {
    Error::usage(format!(
        "{}: the capture saw no read and no write of its target, so there is nothing to distil; check its --dev and \
         process filter ({} on the same devices came from others)",
        origin.file,
        units::count(block.other.histograms.iter().filter(|h| h.name == "size").map(|h| h.count).sum())
    ))
}

/// Refuses a file that does not hold the largest request: fio would.
fn check_file(size: &FileSize, streams: &[Stream]) -> Result<()> {
    let largest = streams.iter().flat_map(|stream| &stream.parts).map(|part| part.split.largest()).max().unwrap_or(0);
    if size.bytes >= largest {
        return Ok(());
    }
    Err(Error::usage(format!(
        "--size {} is smaller than the job's largest request ({}), and fio refuses such a job; give at least that, or \
         leave --size out for the source's working set ({})",
        units::bytes(size.bytes),
        units::bytes(largest),
        units::bytes(size.touched)
    )))
}

/// That the file is smaller than what the source worked on.
fn smaller(size: &FileSize) -> Option<String> {
    (size.bytes < size.touched).then(|| {
        format!(
            "the file ({}) is smaller than what the source worked on ({}): requests come back to the same place more \
             often, which caches below the file may serve",
            units::bytes(size.bytes),
            units::bytes(size.touched)
        )
    })
}

fn warnings(block: &BlockResult, source: &Source, streams: &[Stream]) -> Vec<String> {
    let mut all = Vec::new();
    if !block.complete {
        all.push("the capture was interrupted; the job describes the part that was seen".to_owned());
    }
    if block.tainted {
        all.push(format!("the capture is tainted ({}); its numbers may be off", block.taint_reasons.join("; ")));
    }
    let has = |name: &str| block.histograms.iter().any(|histogram| histogram.name == name && histogram.count > 0);
    if block.source == logical::SOURCE {
        all.push(
            "a trace alone says nothing of time: iodepth is what a replay keeps in flight, and the job is as fast as the \
             device"
                .to_owned(),
        );
    } else if has("inflight") && !has("inflight_time") {
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
    let bursts = matches!(source.paced.pace, Pace::Bursts { .. });
    if source.sync.is_some() && bursts && !block.histograms.iter().any(|h| h.name == "syscall_write") {
        all.push(
            "writes come in bursts and syncs follow them, as the kernel does for a program that writes through the page \
             cache, but system calls were not captured: with `kvtrace capture --syscalls` a job repeats the program's \
             calls, which behave like it; requests in bursts do less"
                .to_owned(),
        );
    }
    if let Some(times) = written_beside(block).filter(|_| source.sync.is_some() && source.cached.is_none()) {
        all.push(format!(
            "the device wrote {times:.1} times what the program wrote to the page cache, so something else was written \
             with it (pages that were dirty before, parts of pages): the job repeats the device's requests, not the \
             program's calls; `sync` before a capture"
        ));
    }
    if source.loads[0].mix.count() > 0 && is_cached(block, Direction::Read) {
        all.push(
            "what was read came through the page cache, whose readahead made the requests: the job asks the device for \
             them, and does not wait for a call before the next as the program did"
                .to_owned(),
        );
    }
    if let Some(size) = source.odd_size().filter(|_| source.cached.is_none()) {
        all.push(format!(
            "the source has requests of {size} bytes, which is no multiple of 4 KiB: the job needs a device whose logical \
             blocks are 512 bytes"
        ));
    }
    if total < 100 {
        let requests = units::plural(total, "request");
        all.push(format!("the source has only {requests}; shares of so few say little"));
    }
    all
}
