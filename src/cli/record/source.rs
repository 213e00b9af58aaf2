//! Where requests come from: the workload that the settings ask for, and what the metadata says of
//! its files.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::checksum;
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::trace::meta::{Source, SourceFile};
use crate::workload::{
    Paced, RequestTrace, Requests, ShareGpt, Skipped, Synthetic, SyntheticOptions, TraceFacts, TraceFormat,
    WithQueries, Workload,
};

use super::settings::{Settings, SourceSettings};

/// The requests, and what will be known of the trace that they come from.
pub(super) fn workload(settings: &Settings, skipped: &Skipped) -> Result<(Workload, Option<TraceFacts>)> {
    Ok(match &settings.source {
        SourceSettings::Synthetic(options) => {
            let requests = Box::new(synthetic(settings, *options));
            let requests: Requests = match &settings.config.rag {
                Some(rag) => Box::new(WithQueries::new(requests, settings.seed, rag.request_probability)),
                None => requests,
            };
            (Workload::Open(requests), None)
        }
        SourceSettings::ShareGpt { file, options, request_rate } => {
            let conversations = Box::new(ShareGpt::open(file, settings.seed, *options, skipped.clone())?);
            let workload = match request_rate {
                Some(rate) => Workload::Open(Box::new(Paced::new(conversations, options.users, *rate, settings.seed))),
                None => Workload::Closed(conversations),
            };
            (workload, None)
        }
        SourceSettings::Requests { files, options } => {
            let requests = RequestTrace::open(files, settings.seed, *options, skipped.clone())?;
            let facts = requests.facts();
            (Workload::Open(Box::new(requests)), Some(facts))
        }
    })
}

/// Says what the trace of requests was.
pub(super) fn describe(source: &mut Source, facts: &TraceFacts) {
    source.format = Some(facts.format.word().to_owned());
    source.time_unit = Some(facts.time_unit.map_or("wall clock time", |unit| unit.word()).to_owned());
    source.block_tokens = facts.block_tokens;
    source.first_stamp = facts.first_stamp_ns().map(|ns| ns as f64 / 1e9);
    source.inversions = Some(facts.inversions());
    source.shared_prefixes = Some(if facts.format == TraceFormat::BurstGpt {
        "assumed: a prompt of a session begins with what was said before in it".to_owned()
    } else {
        "none: a trace has the prompts that it has".to_owned()
    });
}

/// Where it comes from, with the checksum of every file.
pub(super) fn source(settings: &Settings, progress: &dyn Progress) -> Result<Source> {
    match &settings.source {
        SourceSettings::Synthetic(_) => Ok(Source { kind: "synthetic".to_owned(), ..Source::default() }),
        SourceSettings::ShareGpt { file, .. } => Ok(Source {
            kind: "sharegpt".to_owned(),
            file: Some(name_of(file)),
            sha256: Some(sha256(file, progress)?),
            ..Source::default()
        }),
        SourceSettings::Requests { files, .. } => {
            let file_of = |path: &PathBuf| Ok(SourceFile { name: name_of(path), sha256: sha256(path, progress)? });
            let mut files = files.iter().map(file_of).collect::<Result<Vec<_>>>()?;
            let only = (files.len() == 1).then(|| files.remove(0));
            Ok(Source {
                kind: "requests".to_owned(),
                file: only.as_ref().map(|file| file.name.clone()),
                sha256: only.map(|file| file.sha256),
                files,
                ..Source::default()
            })
        }
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
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
