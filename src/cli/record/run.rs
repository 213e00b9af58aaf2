//! A recording into files: the trace, and who asked beside it.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::checksum;
use crate::error::{Error, Result};
use crate::output::{self, Overwrite};
use crate::progress::Progress;
use crate::serve::{self, Sink};
use crate::stop::Stop;
use crate::trace::meta::{Meta, ModelFacts, RecordStats, Source, TRACE_SCHEMA};
use crate::trace::{RequestsWriter, Row, Served, TraceWriter, WriteOptions, requests_path};
use crate::workload::{Paced, ShareGpt, Skipped, Synthetic, SyntheticOptions, WithQueries, Workload};

use super::foresight;
use super::settings::{Settings, SourceSettings};

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

struct Files {
    trace: TraceWriter,
    requests: Option<RequestsWriter>,
}

impl Sink for Files {
    fn row(&mut self, row: Row) -> Result<()> {
        self.trace.write_row(&row)
    }

    fn request(&mut self, served: Served) -> Result<()> {
        match &mut self.requests {
            Some(requests) => requests.write((&served).into()),
            None => Ok(()),
        }
    }
}

impl Files {
    fn finish(self, meta: &Meta) -> Result<()> {
        if let Some(requests) = self.requests {
            requests.finish(meta)?;
        }
        self.trace.finish(meta)
    }

    fn keep_partial(self, meta: &Meta) -> Result<PathBuf> {
        if let Some(requests) = self.requests {
            requests.keep_partial(meta)?;
        }
        self.trace.keep_partial(meta)
    }
}

/// Makes a recording.
pub(super) fn record(
    settings: &Settings,
    trace: &Path,
    overwrite: Overwrite,
    stop: &Stop,
    progress: &dyn Progress,
) -> Result<Recording> {
    let skipped = Skipped::default();
    let workload = workload(settings, &skipped)?;
    let options = WriteOptions { columns: settings.columns, overwrite };
    let requests = (!output::is_standard(trace)).then(|| requests_path(trace));
    let mut files = Files {
        trace: TraceWriter::create(trace, options, settings.epoch_ns)?,
        requests: requests.as_deref().map(|path| RequestsWriter::create(path, overwrite)).transpose()?,
    };
    let source = source(settings, progress)?;
    let config = foresight::config(settings, stop, progress)?;
    let mut recorded = serve::record(&config, workload, &mut files, stop, progress)?;
    // Some columns have no place for some rows.
    recorded.stats.rows = files.trace.rows();
    for (reason, count) in skipped.counts() {
        *recorded.stats.skipped.entry(reason).or_insert(0) += count;
    }
    check_worth_keeping(&recorded.stats, settings, recorded.complete)?;
    let meta = meta(settings, source, recorded.stats, recorded.complete);
    if !recorded.complete {
        let kept = files.keep_partial(&meta)?;
        return Err(Error::interrupted(format!("interrupted; what there is so far is {}", kept.display())));
    }
    files.finish(&meta)?;
    Ok(Recording { trace: trace.to_owned(), requests, meta })
}

pub(super) fn workload(settings: &Settings, skipped: &Skipped) -> Result<Workload> {
    match &settings.source {
        SourceSettings::Synthetic(options) => {
            let requests = Box::new(synthetic(settings, *options));
            Ok(Workload::Open(match &settings.config.rag {
                Some(rag) => Box::new(WithQueries::new(requests, settings.seed, rag.request_probability)),
                None => requests,
            }))
        }
        SourceSettings::ShareGpt { file, options, request_rate } => {
            let conversations = Box::new(ShareGpt::open(file, settings.seed, *options, skipped.clone())?);
            Ok(match request_rate {
                Some(rate) => Workload::Open(Box::new(Paced::new(conversations, options.users, *rate, settings.seed))),
                None => Workload::Closed(conversations),
            })
        }
    }
}

/// The users of a list, or drawn ones.
fn synthetic(settings: &Settings, options: SyntheticOptions) -> Synthetic {
    let Some(users) = settings.users.as_deref() else { return Synthetic::new(settings.seed, options) };
    let population = options.population;
    let classed = users.iter().zip(0..).map(|(user, number)| {
        let drawn = || population.qos(settings.seed.stream("listed user qos", number, 0).unit());
        (user.character, user.qos.unwrap_or_else(drawn))
    });
    Synthetic::of(settings.seed, options, classed)
}

fn source(settings: &Settings, progress: &dyn Progress) -> Result<Source> {
    match &settings.source {
        SourceSettings::Synthetic(_) => Ok(Source { kind: "synthetic".to_owned(), file: None, sha256: None }),
        SourceSettings::ShareGpt { file, .. } => Ok(Source {
            kind: "sharegpt".to_owned(),
            file: file.file_name().map(|name| name.to_string_lossy().into_owned()),
            sha256: Some(sha256(file, progress)?),
        }),
    }
}

fn sha256(path: &Path, progress: &dyn Progress) -> Result<String> {
    let unreadable = |e| Error::reading(path, &e);
    let mut file = File::open(path).map_err(unreadable)?;
    progress.stage("checksum", file.metadata().ok().map(|facts| facts.len()), "bytes");
    let counted = |piece: &[u8]| {
        progress.advance(piece.len() as u64);
        Ok(())
    };
    let sum = checksum::of_stream(&mut file, counted).map_err(unreadable)?;
    progress.done();
    Ok(sum)
}

/// A complete recording without a request or a row is of no use to anybody; say which setting made it so.
fn check_worth_keeping(stats: &RecordStats, settings: &Settings, complete: bool) -> Result<()> {
    if (stats.rows > 0 && stats.requests > 0) || !complete {
        return Ok(());
    }
    let skipped: Vec<String> = stats.skipped.iter().map(|(reason, count)| format!("{count} x {reason}")).collect();
    Err(Error::usage(match (&settings.source, stats.requests) {
        (SourceSettings::Synthetic(_), 0) => {
            "no user asks anything in that time; a longer --duration or more --num-users helps".to_owned()
        }
        (SourceSettings::ShareGpt { file, .. }, 0) => {
            format!("{} holds no conversation that can be used ({})", file.display(), skipped.join(", "))
        }
        _ => format!(
            "nothing was stored ({}); raise --storage-capacity-gb, or choose a smaller --model",
            skipped.join(", ")
        ),
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
