//! The flags of a recording, named as the reference's where it has them, in the groups in which
//! help shows them. `kvtrace run` takes them too.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use clap::error::{ContextKind, ContextValue};
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::model::{KvDtype, Model};
use crate::output::Overwrite;
use crate::progress::Progress;
use crate::stop::Stop;

use super::super::columns::ColumnsFlag;
use super::layers::Layers;
use super::run::{Prepared, Recording};
use super::settings::Settings;

mod cache;
mod files;
mod foreign;
mod objects;
mod rag;
mod tier_rules;
mod time;
mod users;
mod values;

pub(super) use cache::CacheFlags;
pub(super) use files::{FileFlags, FormatFlag};
pub(super) use foreign::ForeignFlags;
pub(super) use objects::ObjectFlags;
pub(super) use rag::{RagFlags, TokenRange};
pub(super) use time::TimeFlags;
pub(super) use users::UserFlags;

/// What is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SourceKind {
    /// Users who think, ask and do not wait
    Synthetic,
    /// Conversations of a ShareGPT file
    Sharegpt,
    /// Requests of a trace of requests, whatever its format
    #[value(alias = "burstgpt")]
    Requests,
}

/// What to say when a format of requests is typed where a source is meant.
pub fn explain_source(error: &clap::Error) -> Option<Error> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let word = text(ContextKind::InvalidValue).filter(|_| text(ContextKind::InvalidArg) == Some("<SOURCE>"))?;
    FormatFlag::from_str(word, true).ok()?;
    Some(Error::usage(format!(
        "`{word}` is a format, and the source is `requests`, which finds the format by itself: `kvtrace record requests \
         FILE -o TRACE`"
    )))
}

/// Defaults of everything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// What the MLPerf Storage KV cache benchmark documents
    Mlperf,
    /// What vLLM does with LMCache or an offload tier
    Engine,
}

/// Everything that says what a recording is.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Recording")]
pub struct RecordFlags {
    /// What to record
    #[arg(value_name = "SOURCE", help_heading = None::<&str>)]
    pub source: SourceKind,
    /// The files of a source that is not synthetic; a pattern such as 'BurstGPT_*.csv' will do
    #[arg(value_name = "FILE", help_heading = None::<&str>)]
    pub files: Vec<PathBuf>,
    /// A name that `kvtrace models` lists, the path of a Hugging Face config.json, or bytes:N
    #[arg(long, default_value = "llama3.1-8b")]
    pub model: String,
    /// Element type of the KV cache, instead of the model's
    #[arg(long, value_name = "TYPE")]
    pub kv_dtype: Option<KvDtype>,
    /// Time in which requests arrive: seconds, or 30s, 10m [1s to 24h; synthetic: 60, files: until
    /// they end]
    #[arg(long, value_name = "TIME", value_parser = values::seconds)]
    pub duration: Option<u64>,
    /// Requests at most; 0: no limit
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub max_requests: u64,
    /// Seed of every random draw
    #[arg(long, default_value_t = 42, value_name = "N")]
    pub seed: u64,
    /// What the flags default to
    #[arg(long, value_enum, default_value_t = Profile::Mlperf)]
    pub profile: Profile,
    /// A published invocation of the reference, under what else is given (see --list-presets)
    #[arg(long, value_name = "NAME")]
    pub preset: Option<String>,
    /// With --preset mlperf-option-N: the rank, added to the preset's seed
    #[arg(long, value_name = "N")]
    pub rank: Option<u32>,
    /// List the presets
    #[arg(long)]
    pub list_presets: bool,
    /// A YAML or TOML file that sets flags by their names, users, models; what is typed wins
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Columns of a CSV
    #[arg(long, value_enum, default_value_t = ColumnsFlag::Full)]
    pub columns: ColumnsFlag,
    /// Seconds to add to the stamps of a CSV
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    pub epoch: u32,
    #[command(flatten)]
    pub(super) users: UserFlags,
    #[command(flatten)]
    pub(super) rag: RagFlags,
    #[command(flatten)]
    pub(super) from_files: FileFlags,
    #[command(flatten)]
    pub(super) objects: ObjectFlags,
    #[command(flatten)]
    pub(super) cache: CacheFlags,
    #[command(flatten)]
    pub(super) time: TimeFlags,
    #[command(flatten)]
    pub(super) foreign: ForeignFlags,
    #[arg(skip)]
    pub(super) layers: Layers,
}

/// The flags of a group that are in force, by their long names.
pub(super) type InForce = Vec<(&'static str, Value)>;

/// Collects what is wrong with what was typed, so that all of it is said at once.
#[derive(Debug, Default)]
pub(super) struct Complaints(Vec<String>);

impl Complaints {
    /// Something is wrong.
    pub fn say(&mut self, what: impl Into<String>) {
        self.0.push(what.into());
    }

    /// A whole number has to be in a range.
    pub fn whole(&mut self, flag: &str, value: u64, low: u64, high: u64) {
        if !(low..=high).contains(&value) {
            self.say(format!("--{flag} {value}: allowed are {low} to {high}"));
        }
    }

    /// A number has to be in a range; NaN is in none.
    pub fn real(&mut self, flag: &str, value: f64, low: f64, high: f64) {
        if !(low..=high).contains(&value) {
            self.say(format!("--{flag} {value}: allowed are {low} to {high}"));
        }
    }

    /// The value, or what is wrong with it.
    pub fn keep<T, E: std::fmt::Display>(&mut self, result: std::result::Result<T, E>) -> Option<T> {
        result.map_err(|why| self.say(why.to_string())).ok()
    }

    /// How much is wrong so far: what is computed from values that are wrong is not worth saying.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Everything that is wrong, in the order in which it was found.
    pub fn into_lines(self) -> Vec<String> {
        self.0
    }
}

impl RecordFlags {
    /// Remembers what was set elsewhere than on the command line.
    pub fn keep(&mut self, layers: Layers) {
        let sections = &layers.sections;
        self.time.retime(&sections.generation_ns);
        let model = Model::resolve_among(&self.model, self.kv_dtype, &sections.models);
        if let (Ok(model), true) = (model, self.rag.enable_rag && self.rag.rag_doc_tokens.is_none()) {
            let (low, high) = sections.document_tokens[usize::from(model.is_large())];
            self.rag.rag_doc_tokens = Some(TokenRange { low, high });
        }
        self.layers = layers;
    }

    /// What somebody should know about what was set elsewhere.
    pub fn notes(&self) -> &[String] {
        &self.layers.notes
    }

    /// What is in force.
    ///
    /// # Errors
    /// All flags that are out of range or contradict each other, together.
    pub fn settings(&self) -> Result<Settings> {
        Settings::of(self)
    }

    /// Records into `trace` and a requests file beside it.
    ///
    /// # Errors
    /// Unusable flags or input, a file that cannot be written; an interrupted recording, whose
    /// files are kept as `<stem>.partial.<ext>`.
    pub fn record(
        &self,
        trace: &Path,
        overwrite: Overwrite,
        stop: &Stop,
        progress: &dyn Progress,
    ) -> Result<Recording> {
        self.prepare()?.record(trace, overwrite, stop, progress)
    }

    /// Opens what is read and checks what can be known before the first file is made.
    ///
    /// # Errors
    /// Unusable flags or input.
    pub fn prepare(&self) -> Result<Prepared> {
        let prepared = Prepared::new(self.settings()?, self.config.as_deref())?;
        if let Some(format) = prepared.format() {
            self.from_files.check_format(self, format)?;
        }
        Ok(prepared)
    }

    /// Says what is out of range or contradicts something else.
    pub(super) fn check(&self, complaints: &mut Complaints) {
        self.foreign.check(complaints);
        complaints.whole("duration", self.duration.unwrap_or(1), 1, 86_400);
        self.users.check(self, complaints);
        self.from_files.check(self, complaints);
        self.objects.check(self, complaints);
        self.cache.check(complaints);
        self.time.check(self, complaints);
        let population = &self.layers.sections.population;
        if population.interactive > population.responsive {
            complaints.say(format!(
                "qos_distribution: responsive_threshold {} counts the interactive share {} too, so it is not below it",
                population.responsive, population.interactive
            ));
        }
    }

    /// Every flag in force, by its long name.
    pub(super) fn in_force(&self, duration_s: Option<u64>, model: &Model) -> BTreeMap<String, Value> {
        let own = vec![
            ("model", json!(self.model)),
            ("kv-dtype", json!(model.kv_dtype.map(KvDtype::word))),
            ("duration", json!(duration_s)),
            ("max-requests", json!(self.max_requests)),
            ("seed", json!(self.seed)),
            ("profile", json!(word(self.profile))),
            ("columns", json!(word(self.columns))),
            ("epoch", json!(self.epoch)),
        ];
        let mut sections = self.layers.sections.print();
        sections.extend(self.preset.iter().map(|name| ("preset", json!(name))));
        sections.extend(self.rank.iter().map(|rank| ("rank", json!(rank))));
        let groups = [
            own,
            sections,
            self.users.in_force(),
            self.rag.in_force(model),
            self.from_files.in_force(self),
            self.objects.in_force(self),
            self.cache.in_force(self.profile),
            self.time.in_force(),
            vec![("workers", json!(self.workers()))],
        ];
        groups.into_iter().flatten().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// The word of a flag's value.
pub(super) fn word(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|possible| possible.get_name().to_owned()).unwrap_or_default()
}
