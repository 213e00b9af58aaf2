//! A recording into files: the trace, and who asked beside it.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::output::{self, Output, Overwrite};
use crate::progress::Progress;
use crate::serve::{self, ObjectKind, Sink};
use crate::stop::Stop;
use crate::trace::meta::{Meta, ModelFacts, RecordStats, Source, TRACE_SCHEMA};
use crate::trace::{Relay, RequestsWriter, Row, Served, TraceWriter, WriteOptions, requests_path};
use crate::workload::{Skipped, TraceFacts, TraceFormat, Workload};

use super::foresight;
use super::settings::{Settings, SourceSettings};
use super::source::{describe, source, workload};

/// So many objects that are all too large for a tier say that the tier is too small, and not that
/// they are a few large ones.
const TOO_LARGE_FOR_CHANCE: u64 = 50;

/// A recording that was made.
#[derive(Clone, Debug)]
pub struct Recording {
    /// The trace.
    pub trace: PathBuf,
    /// The requests file; none when the trace went to standard output.
    pub requests: Option<PathBuf>,
    /// The metadata of the trace, with the statistics.
    pub meta: Meta,
}

/// The files, each written by a thread of its own.
struct Files {
    trace: Relay<Row, TraceWriter>,
    requests: Option<Relay<Served, RequestsWriter>>,
}

/// The files when everything is in them that was recorded.
struct Written {
    trace: TraceWriter,
    requests: Option<RequestsWriter>,
}

/// Rows that go to the writing thread at a time: some microseconds of work on either side, in
/// memory that a processor's cache holds.
const BATCH_ROWS: usize = 2048;
/// Requests likewise.
const BATCH_REQUESTS: usize = 256;

impl Sink for Files {
    fn row(&mut self, row: Row) -> Result<()> {
        self.trace.push(row)
    }

    fn request(&mut self, served: Served) -> Result<()> {
        match &mut self.requests {
            Some(requests) => requests.push(served),
            None => Ok(()),
        }
    }
}

impl Files {
    fn create(trace: TraceWriter, requests: Option<RequestsWriter>) -> Result<Self> {
        let rows = |trace: &mut TraceWriter, rows: &[Row]| rows.iter().try_for_each(|row| trace.write_row(row));
        let served = |requests: &mut RequestsWriter, batch: &[Served]| {
            batch.iter().try_for_each(|served| requests.write_served(served))
        };
        let requests =
            requests.map(|requests| Relay::start("requests", BATCH_REQUESTS, requests, served)).transpose()?;
        Ok(Self { trace: Relay::start("trace", BATCH_ROWS, trace, rows)?, requests })
    }

    fn close(self) -> Result<Written> {
        let requests = self.requests.map(Relay::close).transpose()?;
        Ok(Written { trace: self.trace.close()?, requests })
    }
}

impl Written {
    fn finish(self, meta: &Meta) -> Result<()> {
        let requests = self.requests.map(|requests| requests.close(meta)).transpose()?;
        self.trace.finish(meta)?;
        requests.map_or(Ok(()), Output::finish)
    }

    fn keep_partial(self, meta: &Meta) -> Result<PathBuf> {
        if let Some(requests) = self.requests {
            requests.keep_partial(meta)?;
        }
        self.trace.keep_partial(meta)
    }
}

/// A recording whose input is open and whose flags are checked.
pub struct Prepared {
    settings: Settings,
    /// What is read.
    inputs: Vec<PathBuf>,
    skipped: Skipped,
    workload: Workload,
    facts: Option<TraceFacts>,
}

impl Prepared {
    pub(super) fn new(settings: Settings, config: Option<&Path>) -> Result<Self> {
        let sources = match &settings.source {
            SourceSettings::Synthetic(_) => Vec::new(),
            SourceSettings::ShareGpt { file, .. } => vec![file.clone()],
            SourceSettings::Requests { files, .. } => files.clone(),
        };
        let named = ["model", "gpu-model"].into_iter().filter_map(|flag| settings.flags.get(flag)?.as_str());
        let inputs = sources.into_iter().chain(config.map(Path::to_owned)).chain(named.map(PathBuf::from)).collect();
        let skipped = Skipped::default();
        let (workload, facts) = workload(&settings, &skipped)?;
        Ok(Self { settings, inputs, skipped, workload, facts })
    }

    /// The format of a trace of requests.
    pub(super) fn format(&self) -> Option<TraceFormat> {
        Some(self.facts.as_ref()?.format)
    }

    /// Makes the recording.
    ///
    /// # Errors
    /// As [`super::RecordFlags::record`].
    pub fn record(self, trace: &Path, overwrite: Overwrite, stop: &Stop, progress: &dyn Progress) -> Result<Recording> {
        self.check_outputs(trace, overwrite)?;
        record(self, trace, overwrite, stop, progress)
    }

    fn check_outputs(&self, trace: &Path, overwrite: Overwrite) -> Result<()> {
        if trace.extension().is_some_and(|extension| extension == "parquet") && self.settings.epoch_ns != 0 {
            return Err(Error::usage("--epoch is added to the stamps of a CSV; those of Parquet start at 0"));
        }
        if output::is_standard(trace) {
            return Ok(());
        }
        if !trace.exists() {
            output::check_replaceable(trace, TRACE_SCHEMA, overwrite)?;
        }
        let identity = |path: &Path| path.metadata().ok().map(|facts| (facts.dev(), facts.ino()));
        for written in [trace.to_owned(), requests_path(trace), output::sidecar_path(trace)] {
            let Some(target) = identity(&written) else { continue };
            if let Some(input) = self.inputs.iter().find(|input| identity(input) == Some(target)) {
                let (written, input) = (written.display(), input.display());
                return Err(Error::usage(format!("{written} would replace {input}, which is read; choose another -o")));
            }
        }
        Ok(())
    }
}

fn record(
    prepared: Prepared,
    trace: &Path,
    overwrite: Overwrite,
    stop: &Stop,
    progress: &dyn Progress,
) -> Result<Recording> {
    let Prepared { settings, skipped, workload, facts, .. } = prepared;
    let settings = &settings;
    let options = WriteOptions { columns: settings.columns, overwrite };
    let requests = (!output::is_standard(trace)).then(|| requests_path(trace));
    let mut files = Files::create(
        TraceWriter::create(trace, options, settings.epoch_ns)?,
        requests.as_deref().map(|path| RequestsWriter::create(path, overwrite)).transpose()?,
    )?;
    let mut source = source(settings, progress)?;
    let config = foresight::config(settings, stop, progress)?;
    let mut recorded = serve::record(&config, workload, &mut files, stop, progress)?;
    if let Some(facts) = facts {
        describe(&mut source, &facts);
    }
    let files = files.close()?;
    // Some columns have no place for some rows.
    recorded.stats.rows = files.trace.rows();
    for (reason, count) in skipped.counts() {
        *recorded.stats.skipped.entry(reason).or_insert(0) += count;
    }
    check_worth_keeping(&recorded.stats, settings, recorded.complete)?;
    let meta = meta(settings, source, recorded.stats, recorded.complete);
    if !recorded.complete {
        let kept = files.keep_partial(&meta)?;
        return Err(Error::interrupted(if output::is_standard(trace) {
            "interrupted; what there is so far went to standard output".to_owned()
        } else {
            format!("interrupted; what there is so far is {}", kept.display())
        }));
    }
    files.finish(&meta)?;
    Ok(Recording { trace: trace.to_owned(), requests, meta })
}

/// A complete recording without a request or a row is of no use to anybody; say which setting made it so.
fn check_worth_keeping(stats: &RecordStats, settings: &Settings, complete: bool) -> Result<()> {
    let went_past = |what: &&&str| stats.notes.get(**what).is_some_and(|objects| *objects >= TOO_LARGE_FOR_CHANCE);
    if let Some(what) = serve::STAYED_EMPTY.iter().find(went_past).filter(|_| complete) {
        return Err(Error::usage(format!("{} x {what}", stats.notes[*what])));
    }
    if (stats.rows > 0 && stats.requests > 0) || !complete {
        return Ok(());
    }
    let skipped: Vec<String> = stats.skipped.iter().map(|(reason, count)| format!("{count} x {reason}")).collect();
    let reasons = if skipped.is_empty() { String::new() } else { format!(" ({})", skipped.join(", ")) };
    Err(Error::usage(match (&settings.source, stats.requests) {
        (SourceSettings::Synthetic(_), 0) => {
            "no user asks anything in that time; a longer --duration or more --num-users helps".to_owned()
        }
        (SourceSettings::ShareGpt { file, .. }, 0) => {
            format!("{} holds no conversation that can be used{reasons}", file.display())
        }
        (SourceSettings::Requests { files, .. }, 0) => {
            let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
            format!("{} holds no request that can be used{reasons}", names.join(", "))
        }
        _ if skipped.is_empty() && settings.config.objects.kind != ObjectKind::Turns => {
            "nothing was stored: no prompt fills a token block; --partial-blocks keep stores what does not, and \
             --objects token-blocks:N with a smaller N cuts finer"
                .to_owned()
        }
        _ => format!("nothing was stored{reasons}; raise --storage-capacity-gb, or choose a smaller --model"),
    }))
}

fn meta(settings: &Settings, source: Source, stats: RecordStats, complete: bool) -> Meta {
    let config = &settings.config;
    Meta {
        schema: TRACE_SCHEMA.to_owned(),
        tool: crate::TOOL.to_owned(),
        complete,
        seed: Some(settings.seed.0),
        profile: Some(settings.profile.clone()),
        source,
        model: Some(ModelFacts {
            name: config.model.name.clone(),
            bytes_per_token: config.model.bytes_per_token(),
            kv_dtype: config.model.dtype_word().to_owned(),
        }),
        tensor_parallel: config.tensor_parallel,
        tiers: settings.tiers(),
        time_model: config.time_model(),
        epoch_ns: settings.epoch_ns,
        rows: Some(stats.rows),
        inversions: None,
        flags: settings.flags.clone(),
        record: Some(stats),
    }
}
