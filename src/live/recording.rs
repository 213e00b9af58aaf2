//! Recordings of KV events, read message by message: msgpack as it was received, one value after
//! another or each behind its length (32 bits, big-endian), plain or wrapped with what the recorder
//! knew (`{recv_ns, endpoint, topic, seq, payload}`, or the three parts of a ZeroMQ message as a
//! list); or JSON lines, a batch or an event each.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use crate::error::{Error, Result};
use crate::trace::Input;

use super::batch;
use super::kv_event::KvBatch;
use super::likeness::{LiveKind, kind_of};
use super::tally::Tally;
use super::value::Value;

/// A message longer than this is none.
const LONGEST: usize = 64 << 20;
/// How much of a file is looked at to tell what it is.
const HEAD: u64 = 64 << 10;

/// A message, and who sent it as its number what, where the recorder kept that.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// The batch.
    pub message: Value,
    /// The endpoint or the topic that it came from.
    pub source: Option<String>,
    /// Its number, from which gaps are told.
    pub seq: Option<u64>,
}

/// A batch, and where it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    /// What it says.
    pub batch: KvBatch,
    /// The endpoint or the topic; none where the recording does not say.
    pub source: Option<String>,
    /// The number of the message at its sender.
    pub seq: Option<u64>,
}

/// A recording being read; memory is that of one message.
pub struct EventRecording {
    input: BufReader<Box<dyn Read + Send>>,
    name: String,
    sha256: String,
    kind: LiveKind,
    /// Whether each frame stands behind its length.
    prefixed: bool,
    messages: u64,
    over: bool,
    /// Fields that are not known, and how often they were met.
    pub unknown: Tally,
    /// What was left out, by reason.
    pub skipped: Tally,
}

impl EventRecording {
    /// Opens a recording, packed with zstd or not.
    ///
    /// # Errors
    /// When it cannot be read, or is no recording of events.
    pub fn open(path: &Path) -> Result<Self> {
        Self::of(&Input::open(path)?)
    }

    /// Reads one that is open already.
    ///
    /// # Errors
    /// As [`EventRecording::open`].
    pub fn of(input: &Input) -> Result<Self> {
        let head = input.head(HEAD)?;
        let kind = kind_of(&head).filter(|kind| kind.is_events());
        let Some(kind) = kind else {
            return Err(Error::usage(format!(
                "{} is no recording of KV events: it begins neither with a msgpack batch nor with JSON lines of events",
                input.name
            )));
        };
        Ok(Self {
            input: BufReader::with_capacity(256 << 10, input.text()?),
            name: input.name.clone(),
            sha256: input.sha256.clone(),
            kind,
            prefixed: kind == LiveKind::EventFrames && head.first() == Some(&0),
            messages: 0,
            over: false,
            unknown: Tally::default(),
            skipped: Tally::default(),
        })
    }

    /// What kind of recording it is.
    pub fn kind(&self) -> LiveKind {
        self.kind
    }

    /// The sha256 of the file, in hex.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    fn next_batch(&mut self) -> Result<Option<Received>> {
        loop {
            let value = if self.kind == LiveKind::EventLines { self.line()? } else { self.frame()? };
            let Some(value) = value else { return Ok(None) };
            self.messages += 1;
            let place = self.place();
            let wrong = |why: String| Error::usage(format!("{place}: {why}"));
            let Frame { message, source, seq } = match unwrap(&value) {
                Ok(frame) => frame,
                Err(why) => return Err(wrong(why)),
            };
            // The mark by which a replay of old messages ends.
            if matches!(&message, Value::Bytes(bytes) if bytes.is_empty()) {
                self.skipped.count("message without content (the end of a replay)");
                continue;
            }
            let batch = match lone_event(&message) {
                Some(at_s) => {
                    let event = batch::event(&message, &mut self.unknown, &mut self.skipped);
                    KvBatch { at_s, rank: rank_of(&message), events: event.into_iter().collect() }
                }
                None => batch::decode(&message, &mut self.unknown, &mut self.skipped).map_err(wrong)?,
            };
            return Ok(Some(Received { batch, source, seq }));
        }
    }

    fn place(&self) -> String {
        let what = if self.kind == LiveKind::EventLines { "line" } else { "message" };
        format!("{}, {what} {}", self.name, self.messages)
    }

    fn line(&mut self) -> Result<Option<Value>> {
        let mut text = Vec::new();
        loop {
            text.clear();
            let read = (&mut self.input).take(LONGEST as u64).read_until(b'\n', &mut text);
            let length = read.map_err(|e| Error::reading(Path::new(&self.name), &e))?;
            if length == 0 {
                return Ok(None);
            }
            let line = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&text).trim_ascii();
            if line.is_empty() {
                continue;
            }
            match serde_json::from_slice(line) {
                Ok(value) => return Ok(Some(value)),
                // The last line of a recorder that was killed.
                Err(e) if e.is_eof() && !text.ends_with(b"\n") => {
                    self.skipped.count("last line that is cut off");
                    return Ok(None);
                }
                Err(e) => {
                    self.messages += 1;
                    return Err(Error::usage(format!("{}: this is no JSON ({e})", self.place())));
                }
            }
        }
    }

    fn frame(&mut self) -> Result<Option<Value>> {
        let at_end = self.input.fill_buf().map_err(|e| Error::reading(Path::new(&self.name), &e))?.is_empty();
        if at_end {
            return Ok(None);
        }
        let read = if self.prefixed {
            self.prefixed_frame()
        } else {
            rmp_serde::from_read(&mut self.input).map_err(Broken::from)
        };
        match read {
            Ok(value) => Ok(Some(value)),
            Err(Broken::Cut) => {
                self.skipped.count("last message that is cut off");
                Ok(None)
            }
            Err(Broken::Wrong(why)) => {
                self.messages += 1;
                Err(Error::usage(format!(
                    "{}: {why}; the recording is damaged, or its frames are of another kind",
                    self.place()
                )))
            }
        }
    }

    fn prefixed_frame(&mut self) -> Result<Value, Broken> {
        let mut length = [0u8; 4];
        self.input.read_exact(&mut length).map_err(Broken::reading)?;
        let length = u32::from_be_bytes(length) as usize;
        if length > LONGEST {
            return Err(Broken::Wrong(format!("a length of {length} bytes is none of a message")));
        }
        let mut bytes = Vec::new();
        (&mut self.input).take(length as u64).read_to_end(&mut bytes).map_err(Broken::reading)?;
        if bytes.len() < length {
            return Err(Broken::Cut);
        }
        rmp_serde::from_slice(&bytes).map_err(|e| Broken::Wrong(format!("this is no msgpack ({e})")))
    }
}

/// Why a frame cannot be read.
enum Broken {
    /// The file ends in it.
    Cut,
    /// It is something else.
    Wrong(String),
}

impl Broken {
    fn reading(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::UnexpectedEof { Broken::Cut } else { Broken::Wrong(error.to_string()) }
    }
}

impl From<rmp_serde::decode::Error> for Broken {
    fn from(error: rmp_serde::decode::Error) -> Self {
        use rmp_serde::decode::Error as E;
        match error {
            E::InvalidMarkerRead(e) | E::InvalidDataRead(e) => Self::reading(e),
            other => Broken::Wrong(format!("this is no msgpack ({other})")),
        }
    }
}

impl Iterator for EventRecording {
    type Item = Result<Received>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let next = self.next_batch().transpose();
        self.over = !matches!(next, Some(Ok(_)));
        next
    }
}

/// What a recorder wrapped around a batch, taken off.
///
/// # Errors
/// When what is wrapped is no msgpack, in words.
pub fn unwrap(value: &Value) -> Result<Frame, String> {
    let plain = |message| Frame { message, source: None, seq: None };
    if let Some(payload) = value.get("payload") {
        let text = |name: &str| value.get(name).and_then(Value::text).map(str::to_owned);
        let seq = value.get("seq").and_then(sequence);
        return Ok(Frame { message: inner(payload)?, source: text("endpoint").or_else(|| text("topic")), seq });
    }
    match value {
        Value::List(parts) => match &parts[..] {
            [topic, seq @ Value::Bytes(_), payload @ Value::Bytes(_)] => {
                Ok(Frame { message: inner(payload)?, source: topic.text().map(str::to_owned), seq: sequence(seq) })
            }
            _ => Ok(plain(value.clone())),
        },
        _ => Ok(plain(value.clone())),
    }
}

/// The number of a message: a number, or eight bytes big-endian as they are sent. All ones mark the
/// end of a replay.
fn sequence(value: &Value) -> Option<u64> {
    match value {
        Value::Bytes(bytes) => Some(u64::from_be_bytes(bytes.as_slice().try_into().ok()?)).filter(|n| *n != u64::MAX),
        other => other.count(),
    }
}

/// A payload: msgpack in bytes or in hex, or the batch itself.
fn inner(payload: &Value) -> Result<Value, String> {
    let bytes = match payload {
        Value::Bytes(bytes) => bytes.clone(),
        Value::Text(hex) => of_hex(hex).ok_or("its payload is text that is no hex")?,
        other => return Ok(other.clone()),
    };
    if bytes.is_empty() {
        return Ok(Value::Bytes(bytes));
    }
    rmp_serde::from_slice(&bytes).map_err(|e| format!("its payload is no msgpack ({e})"))
}

fn of_hex(text: &str) -> Option<Vec<u8>> {
    let text = text.trim().as_bytes();
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    text.chunks(2).map(|pair| Some((digit(pair[0])? * 16 + digit(pair[1])?) as u8)).collect()
}

/// When a line that is a single event says that it was; none for a batch.
fn lone_event(value: &Value) -> Option<f64> {
    value.get("type").or_else(|| value.get("_tag"))?;
    let stamps = ["ts", "timestamp", "_recv_ts"];
    Some(stamps.iter().find_map(|name| value.get(name)?.number()).filter(|at| *at >= 0.0).unwrap_or(0.0))
}

fn rank_of(value: &Value) -> Option<u64> {
    value.get("data_parallel_rank").or_else(|| value.get("dp_rank")).and_then(Value::count)
}
