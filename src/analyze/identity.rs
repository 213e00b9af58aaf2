//! What a file is: any file that kvtrace writes or reads, found by content.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::live::{EventRecording, LiveKind, Lookups, kind_of};
use crate::measure::events::{EVENTS_SCHEMA, EventsReader};
use crate::output;
use crate::trace::meta::{ModelFacts, Source, TierCapacity};
use crate::trace::parquet::footer_value;
use crate::trace::{Format, Input, REQUESTS_SCHEMA, RequestsReader, TraceReader, requests_path};

use super::{ANALYSIS_SCHEMA, likeness};

/// The schema of an identity.
pub const INFO_SCHEMA: &str = "kvtrace.info/1";
/// How much of a file is looked at to tell what it is.
const HEAD: u64 = 64 << 10;
/// A larger JSON is not one of our results.
const MAX_JSON: u64 = 1 << 30;
/// Most facts that are taken from a result.
const MAX_FACTS: usize = 60;

/// What a file is.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Identity {
    /// [`INFO_SCHEMA`].
    pub schema: &'static str,
    /// The tool that looked, with its version.
    pub tool: &'static str,
    /// The file's path as it was typed.
    pub file: String,
    /// Its length.
    pub size_bytes: u64,
    /// Its sha256, in hex.
    pub sha256: String,
    /// What it is, in words.
    pub what: String,
    /// `csv`, `csv.zst`, `parquet`, `json`, `jsonl`, `msgpack`, `ini`, `svg`, `png` or `html`.
    pub format: &'static str,
    /// The schema that it carries; none for a stranger's file.
    pub contains: Option<String>,
    /// The tool that wrote it.
    pub written_by: Option<String>,
    /// Whether it is whole or was interrupted.
    pub complete: Option<bool>,
    /// The seed.
    pub seed: Option<u64>,
    /// What was recorded.
    pub source: Option<Source>,
    /// The model.
    pub model: Option<ModelFacts>,
    /// Ranks that share one object.
    pub tensor_parallel: Option<u32>,
    /// The tiers and their capacities.
    pub tiers: Vec<TierCapacity>,
    /// Rows.
    pub rows: Option<u64>,
    /// Time from the first row to the last.
    pub span_s: Option<f64>,
    /// What to add to a row's time to get the source's own stamps; none when that is nothing.
    pub epoch_ns: Option<i64>,
    /// Rows of a foreign trace that were out of time order.
    pub inversions: Option<u64>,
    /// The requests file beside a trace.
    pub requests_file: Option<String>,
    /// The single values of a result, by their place in it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: BTreeMap<String, Value>,
}

/// Whether the first bytes of a file, unpacked, are those of a trace, as far as they tell: every
/// Parquet file is taken for one.
pub fn is_trace(head: &[u8]) -> bool {
    head.starts_with(b"PAR1") || likeness::of(head) == likeness::Likeness::Trace
}

impl Identity {
    /// Looks at a file; a trace is read to its end.
    ///
    /// # Errors
    /// When it cannot be read, or is nothing that kvtrace knows: the message says what it looks
    /// like.
    pub fn of(path: &Path) -> Result<Self> {
        let input = Input::open(path)?;
        let base = Self {
            schema: INFO_SCHEMA,
            tool: crate::TOOL,
            file: path.display().to_string(),
            size_bytes: input.size_bytes,
            sha256: input.sha256.clone(),
            ..Self::default()
        };
        if input.format == Format::Parquet {
            return base.parquet(input);
        }
        let head = input.head(HEAD)?;
        if head.trim_ascii_start().starts_with(b"{") && likeness::names_our_schema(&head) {
            return base.result(&input);
        }
        if let Some((format, what)) = shown(&head) {
            return Ok(Self { what: what.to_owned(), format, contains: output::first_schema(&head), ..base });
        }
        if let Some(kind) = kind_of(&head) {
            return base.recording(&input, kind);
        }
        match likeness::of(&head) {
            likeness::Likeness::Trace => base.trace(input),
            likeness::Likeness::Other(words) => {
                Err(Error::usage(format!("{} is not a file that info knows: it looks like {words}", input.name)))
            }
        }
    }

    /// A recording of a live system, read to its end.
    fn recording(self, input: &Input, kind: LiveKind) -> Result<Self> {
        let base = Self { what: kind.words().to_owned(), ..self };
        let mut stamps: Option<(f64, f64)> = None;
        let mut note = |at_s: f64| {
            let (first, last) = stamps.get_or_insert((at_s, at_s));
            (*first, *last) = (first.min(at_s), last.max(at_s));
        };
        let mut rows = 0u64;
        if kind == LiveKind::Lookups {
            for lookup in Lookups::of(input)? {
                note(lookup?.at_ns as f64 / 1e9);
                rows += 1;
            }
        } else {
            for received in EventRecording::of(input)? {
                let batch = received?.batch;
                note(batch.at_s);
                rows += batch.events.len() as u64;
            }
        }
        let format = if kind == LiveKind::EventFrames { "msgpack" } else { "jsonl" };
        Ok(Self { format, rows: Some(rows), span_s: stamps.map(|(first, last)| last - first), ..base })
    }

    fn parquet(self, input: Input) -> Result<Self> {
        if let Ok(requests) = RequestsReader::of(&input) {
            return Ok(self.requests(&requests));
        }
        match footer_value(input.rewound()?, &input.name, EVENTS_SCHEMA)? {
            Some(_) => self.events(&input),
            None => match footer_value(input.rewound()?, &input.name, ANALYSIS_SCHEMA)? {
                Some(json) => Ok(self.analysis(&json)),
                None => self.trace(input),
            },
        }
    }

    /// What the block layer did, a row a request.
    fn events(self, input: &Input) -> Result<Self> {
        let events = EventsReader::of(input)?;
        let meta = events.meta();
        Ok(Self {
            what: "the requests that a capture saw".to_owned(),
            format: "parquet",
            contains: Some(EVENTS_SCHEMA.to_owned()),
            written_by: Some(meta.tool.clone()),
            complete: Some(meta.complete),
            rows: Some(events.rows()),
            ..self
        })
    }

    /// The table of an analysis, whose JSON lies in the footer.
    fn analysis(self, json: &[u8]) -> Self {
        let said: Value = serde_json::from_slice(json).unwrap_or_default();
        let text = |name: &str| said.get(name).and_then(Value::as_str).map(str::to_owned);
        Self {
            what: format!("the table of an analysis ({})", text("kind").unwrap_or_default()),
            format: "parquet",
            contains: Some(ANALYSIS_SCHEMA.to_owned()),
            written_by: text("tool"),
            ..self
        }
    }

    fn requests(self, requests: &RequestsReader) -> Self {
        let meta = requests.meta().clone();
        Self {
            what: "the requests of a trace".to_owned(),
            format: "parquet",
            contains: Some(REQUESTS_SCHEMA.to_owned()),
            written_by: Some(meta.tool),
            complete: Some(meta.complete),
            seed: meta.seed,
            source: Some(meta.source),
            rows: Some(requests.rows()),
            ..self
        }
    }

    fn trace(self, input: Input) -> Result<Self> {
        let beside =
            Some(requests_path(input.path())).filter(|path| !output::is_standard(input.path()) && path.exists());
        let mut reader = TraceReader::of(input)?;
        let mut rows = 0u64;
        let mut span: Option<(i64, i64)> = None;
        for record in &mut reader {
            let at_ns = record?.at_ns;
            rows += 1;
            span = Some((span.map_or(at_ns, |(first, _)| first), at_ns));
        }
        let meta = reader.meta().clone();
        let ours = reader.is_ours();
        let whose = if ours { "a trace" } else { "a trace without kvtrace's metadata" };
        let (format, packing) = match reader.format() {
            Format::Csv => ("csv", "CSV"),
            Format::CsvZst => ("csv.zst", "CSV, packed with zstd"),
            Format::Parquet => ("parquet", "Parquet"),
        };
        Ok(Self {
            what: format!("{whose}, {packing}"),
            format,
            contains: ours.then_some(meta.schema),
            written_by: ours.then_some(meta.tool),
            complete: ours.then_some(meta.complete),
            seed: meta.seed,
            source: ours.then_some(meta.source),
            model: meta.model,
            tensor_parallel: ours.then_some(meta.tensor_parallel),
            tiers: meta.tiers,
            rows: Some(rows),
            span_s: span.map(|(first, last)| (last - first) as f64 / 1e9),
            epoch_ns: (meta.epoch_ns != 0).then_some(meta.epoch_ns),
            inversions: meta.inversions,
            requests_file: beside.map(|path| path.display().to_string()),
            ..self
        })
    }

    fn result(self, input: &Input) -> Result<Self> {
        if input.size_bytes > MAX_JSON {
            return Err(Error::usage(format!("{} is longer than any result of kvtrace", input.name)));
        }
        let value: Value = serde_json::from_reader(std::io::BufReader::new(input.text()?))
            .map_err(|e| Error::usage(format!("{}: the JSON is damaged: {e}; get the whole file", input.name)))?;
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let contains = text("schema");
        let kind = contains.as_deref().and_then(|schema| schema.strip_prefix("kvtrace.")).unwrap_or_default();
        let words = match kind.split('/').next().unwrap_or_default() {
            "replay" => "the result of a replay".to_owned(),
            "block" => "what the block layer did (a capture)".to_owned(),
            "analysis" => format!("an analysis ({})", text("kind").unwrap_or_default()),
            "fidelity" => "how faithful a distilled job is".to_owned(),
            "record" => "the statistics of a recording".to_owned(),
            "trace" => "the metadata of a trace (the sidecar of a CSV)".to_owned(),
            "info" => "what a file is (from info)".to_owned(),
            other => format!("JSON of kvtrace ({other})"),
        };
        let mut facts = BTreeMap::new();
        gather(&value, "", &mut facts);
        for known in ["schema", "tool", "complete", "seed"] {
            facts.remove(known);
        }
        Ok(Self {
            what: words,
            format: "json",
            written_by: text("tool"),
            complete: value.get("complete").and_then(Value::as_bool),
            seed: value.get("seed").and_then(Value::as_u64),
            contains,
            facts,
            ..self
        })
    }
}

/// Files of ours that are made to be looked at or run, not read back.
fn shown(head: &[u8]) -> Option<(&'static str, &'static str)> {
    let schema = output::first_schema(head)?;
    match schema.split('/').next()? {
        "kvtrace.job" if head.starts_with(b"# ") => Some(("ini", "a distilled fio job")),
        "kvtrace.plot" if head.starts_with(b"\x89PNG") => Some(("png", "a picture")),
        "kvtrace.plot" if head.starts_with(b"<") => Some(("svg", "a picture")),
        "kvtrace.report" if head.starts_with(b"<") => Some(("html", "a report")),
        _ => None,
    }
}

/// The single values of an object and of the objects in it, lists left out.
fn gather(value: &Value, place: &str, facts: &mut BTreeMap<String, Value>) {
    let Some(object) = value.as_object() else { return };
    for (name, value) in object {
        let place = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
        match value {
            Value::Object(_) if !place.contains('.') => gather(value, &place, facts),
            Value::Bool(_) | Value::Number(_) | Value::String(_) if facts.len() < MAX_FACTS => {
                facts.insert(place, value.clone());
            }
            _ => {}
        }
    }
}
