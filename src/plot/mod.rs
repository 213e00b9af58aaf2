//! Pictures and the report: charts as data ([`mod@picture`]), drawn to SVG and PNG with an embedded
//! font ([`image`]), and the HTML page that holds them ([`report`]).

pub mod axis;
mod block_sections;
pub mod blocks;
mod condition_sections;
pub mod html;
pub mod image;
pub mod latency;
pub mod picture;
mod render;
pub mod report;
mod request_sections;
mod sections;
pub mod throughput;
pub mod what_if;

use crate::error::{Error, Result};
use crate::measure::{BlockResult, ReplayResult, Saved};

pub use picture::Picture;
pub use report::{ReportInput, report_html};

/// The schema that a picture carries.
pub const PLOT_SCHEMA: &str = "kvtrace.plot/1";

/// What a picture shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// How response and service times are distributed.
    Latency,
    /// Request sizes of the block layer.
    Size,
    /// Bytes moved over time, and how late the replay was.
    Throughput,
    /// Requests in flight at the block layer.
    InFlight,
    /// Where on the device the requests went.
    Lba,
}

/// Draws one kind of picture of a result; `file` names the result in the title.
///
/// # Errors
/// When the result does not hold what the picture shows; the message says what does.
pub fn picture(kind: Kind, result: &Saved, file: &str) -> Result<Picture> {
    match kind {
        Kind::Latency => latency::picture(replay_of(kind, result, file)?, file),
        Kind::Throughput => throughput::picture(replay_of(kind, result, file)?, file),
        Kind::Size => blocks::sizes(block_of(kind, result, file)?, file),
        Kind::InFlight => blocks::in_flight(block_of(kind, result, file)?, file),
        Kind::Lba => blocks::lba(block_of(kind, result, file)?, file),
    }
}

fn replay_of<'a>(kind: Kind, result: &'a Saved, file: &str) -> Result<&'a ReplayResult> {
    match result {
        Saved::Replay(replay) => Ok(replay),
        Saved::Block(_) => {
            Err(Error::usage(format!("{file} is a capture of the block layer; {} needs a replay result", kind.word())))
        }
    }
}

fn block_of<'a>(kind: Kind, result: &'a Saved, file: &str) -> Result<&'a BlockResult> {
    match result {
        Saved::Block(block) => Ok(block),
        Saved::Replay(replay) => replay.block.as_ref().ok_or_else(|| {
            Error::usage(format!(
                "{file} holds no capture of the block layer, which {} needs; repeat the replay with --capture",
                kind.word()
            ))
        }),
    }
}

impl Kind {
    /// The word on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Latency => "latency",
            Kind::Size => "size",
            Kind::Throughput => "throughput",
            Kind::InFlight => "inflight",
            Kind::Lba => "lba",
        }
    }
}
