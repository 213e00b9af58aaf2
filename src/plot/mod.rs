//! Pictures and the report: charts as data ([`mod@picture`]), drawn to SVG and PNG with an embedded
//! font ([`image`]), and the HTML page that holds them ([`report`]).

mod analysis_sections;
pub mod axis;
mod block_sections;
pub mod blocks;
mod condition_sections;
pub mod curve;
pub mod fidelity;
mod fidelity_sections;
pub mod heat;
pub mod html;
pub mod image;
pub mod latency;
mod layout;
pub mod over_time;
pub mod picture;
mod render;
mod replay_sections;
pub mod report;
mod request_sections;
pub mod reuse;
pub mod rows;
mod sections;
mod side_by_side;
pub mod sources;
pub mod throughput;
pub mod trace;
mod verdicts;
pub mod what_if;
mod where_time;
pub mod working_set;

use crate::error::{Error, Result};
use crate::measure::{Analysis, BlockResult, ReplayResult};

pub use curve::Scale;
pub use picture::Picture;
pub use report::report_html;
pub use sources::{Content, Source};

/// The schema that a picture carries.
pub const PLOT_SCHEMA: &str = "kvtrace.plot/1";

/// What a picture shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// How response and service times, or those of block requests, are distributed.
    Latency,
    /// Request sizes of the block layer.
    Size,
    /// Bytes moved over time, and how late the replay was.
    Throughput,
    /// Requests in flight at the block layer.
    InFlight,
    /// Where on the device the requests went.
    Lba,
    /// A source and its fio job beside each other.
    Fidelity,
    /// How full the tiers are over time.
    Occupancy,
    /// How requests arrive.
    Arrivals,
    /// Hit ratio by capacity.
    Curve,
    /// Hit ratios by definition.
    Hits,
    /// Time and stack distance of reuse.
    Reuse,
    /// How much of the reuse the most used blocks have.
    Popularity,
    /// Blocks in use at a time.
    WorkingSet,
    /// Writes per day and years.
    Endurance,
    /// Changes with their intervals.
    Compare,
}

/// Draws one kind of picture; kinds of curves take several sources, others one.
///
/// # Errors
/// When a source does not hold what the picture shows; the message says what does.
pub fn picture(kind: Kind, sources: &[Source], scale: Scale) -> Result<Picture> {
    let several = matches!(kind, Kind::Curve | Kind::Reuse | Kind::Popularity | Kind::WorkingSet);
    let first = sources.first().ok_or_else(|| Error::usage("no input; name a file to draw"))?;
    if let Some(second) = sources.get(1).filter(|_| !several) {
        return Err(Error::usage(format!("{} is drawn of one file; leave {} out", kind.word(), second.name)));
    }
    let name = first.name.as_str();
    match kind {
        Kind::Latency => match &first.content {
            Content::Replay(replay) => latency::picture(replay, name),
            Content::Block(block) => latency::of_block(block, name),
            _ => Err(first.refused(kind.word(), "a replay result or a capture")),
        },
        Kind::Throughput => throughput::picture(replay_of(kind, first)?, name),
        Kind::Size => blocks::sizes(block_of(kind, first)?, name),
        Kind::InFlight => blocks::in_flight(block_of(kind, first)?, name),
        Kind::Lba => match &first.content {
            Content::Events(map) => Ok(map.picture(name)),
            _ => blocks::lba(block_of(kind, first)?, name),
        },
        Kind::Fidelity => match &first.content {
            Content::Fidelity(card) => fidelity::picture(card, name),
            _ => Err(first.refused(kind.word(), "the card that `kvtrace distill-fio --prove` writes")),
        },
        Kind::Occupancy | Kind::Arrivals => match &first.content {
            Content::Trace(over) if kind == Kind::Occupancy => trace::occupancy(over, name),
            Content::Trace(over) => trace::arrivals(over, name),
            _ => Err(first.refused(kind.word(), "a trace")),
        },
        Kind::Curve => curve::picture(&analyses(kind, sources)?, scale),
        Kind::Hits => rows::hits(analyses(kind, sources)?[0].1, name),
        Kind::Reuse => reuse::picture(&analyses(kind, sources)?),
        Kind::Popularity => reuse::popularity(&analyses(kind, sources)?),
        Kind::WorkingSet => working_set::picture(&analyses(kind, sources)?),
        Kind::Endurance => rows::endurance(analyses(kind, sources)?[0].1, name),
        Kind::Compare => rows::compare(analyses(kind, sources)?[0].1, name),
    }
}

fn replay_of(kind: Kind, source: &Source) -> Result<&ReplayResult> {
    match &source.content {
        Content::Replay(replay) => Ok(replay),
        _ => Err(source.refused(kind.word(), "a replay result")),
    }
}

fn block_of(kind: Kind, source: &Source) -> Result<&BlockResult> {
    match &source.content {
        Content::Block(block) => Ok(block),
        Content::Replay(replay) => replay.block.as_ref().ok_or_else(|| {
            Error::usage(format!(
                "{} holds no capture of the block layer, which {} needs; repeat the replay with --capture",
                source.name,
                kind.word()
            ))
        }),
        _ => Err(source.refused(kind.word(), "a capture, or a replay with --capture")),
    }
}

fn analyses(kind: Kind, sources: &[Source]) -> Result<Vec<(&str, &Analysis)>> {
    let mut found = Vec::with_capacity(sources.len());
    for source in sources {
        match &source.content {
            Content::Analysis(analysis) => found.push((source.name.as_str(), &**analysis)),
            _ => return Err(source.refused(kind.word(), "a result of `kvtrace analyze … -o FILE.json`")),
        }
    }
    Ok(found)
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 15] = [
        Kind::Latency,
        Kind::Size,
        Kind::Throughput,
        Kind::InFlight,
        Kind::Lba,
        Kind::Fidelity,
        Kind::Occupancy,
        Kind::Arrivals,
        Kind::Curve,
        Kind::Hits,
        Kind::Reuse,
        Kind::Popularity,
        Kind::WorkingSet,
        Kind::Endurance,
        Kind::Compare,
    ];

    /// The word on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Latency => "latency",
            Kind::Size => "size",
            Kind::Throughput => "throughput",
            Kind::InFlight => "inflight",
            Kind::Lba => "lba",
            Kind::Fidelity => "fidelity",
            Kind::Occupancy => "occupancy",
            Kind::Arrivals => "arrivals",
            Kind::Curve => "curve",
            Kind::Hits => "hits",
            Kind::Reuse => "reuse",
            Kind::Popularity => "popularity",
            Kind::WorkingSet => "working-set",
            Kind::Endurance => "endurance",
            Kind::Compare => "compare",
        }
    }

    /// What it shows, and of what, in a line.
    pub fn meaning(self) -> &'static str {
        match self {
            Kind::Latency => "Times of objects by tier, direction and phase (replay), or of requests (capture)",
            Kind::Size => "Request sizes at the block layer (capture, or replay with one)",
            Kind::Throughput => "Bytes over time, and lateness of a paced run (replay)",
            Kind::InFlight => "Requests in flight at the block layer, by time (capture, or replay with one)",
            Kind::Lba => "Where on the device the requests went (capture, or replay with one); over time (events)",
            Kind::Fidelity => "A source and its distilled fio job beside each other (card of distill-fio --prove)",
            Kind::Occupancy => "How full the tiers are over time (trace)",
            Kind::Arrivals => "How requests arrive, and how they crowd at each scale of time (trace)",
            Kind::Curve => "Hit ratio by capacity (analyze curve; several files)",
            Kind::Hits => "Hit ratios by what each counts (analyze hits)",
            Kind::Reuse => "After what time and stack distance blocks are used again (analyze reuse; several files)",
            Kind::Popularity => "How much of the reuse the most used blocks have (analyze reuse; several files)",
            Kind::WorkingSet => "How many blocks are in use at a time (analyze working-set; several files)",
            Kind::Endurance => "Writes per day, drive writes per day and years (analyze endurance)",
            Kind::Compare => "Changes with their intervals (analyze compare)",
        }
    }
}
