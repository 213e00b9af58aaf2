//! What pictures and reports are made of: inputs of any kind, each with its name.

use crate::error::{Error, Result};
use crate::measure::{Analysis, BlockResult, Fidelity, Input, ReplayResult, Saved};
use crate::trace::Meta;

use super::heat::HeatMap;
use super::over_time::OverTime;
use super::what_if::PlanFile;

/// An input.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its file name, without its folder.
    pub name: String,
    /// The sha256 of its file, in hex; empty where it is not a file.
    pub sha256: String,
    /// What it holds.
    pub content: Content,
}

/// What an input holds.
#[derive(Clone, Debug)]
pub enum Content {
    /// `kvtrace.replay/1`.
    Replay(Box<ReplayResult>),
    /// `kvtrace.block/1`.
    Block(Box<BlockResult>),
    /// `kvtrace.fidelity/1`.
    Fidelity(Box<Fidelity>),
    /// `kvtrace.analysis/1`.
    Analysis(Box<Analysis>),
    /// `kvtrace.analysis/1` of the kind `plan`.
    Plan(Box<PlanFile>),
    /// A trace, read.
    Trace(Box<OverTime>),
    /// The metadata of a trace alone.
    Meta(Box<Meta>),
    /// Capture events, read.
    Events(Box<HeatMap>),
    /// A fio job.
    Job(String),
}

impl Content {
    /// What it is called in a sentence.
    pub fn what(&self) -> &'static str {
        match self {
            Content::Replay(_) => "a replay result",
            Content::Block(_) => "a capture of the block layer",
            Content::Fidelity(_) => "a fidelity card",
            Content::Analysis(_) => "an analysis",
            Content::Plan(_) => "a plan",
            Content::Trace(_) => "a trace",
            Content::Meta(_) => "the metadata of a trace",
            Content::Events(_) => "capture events",
            Content::Job(_) => "a fio job",
        }
    }
}

impl Source {
    /// A saved result.
    ///
    /// # Errors
    /// When the input holds none.
    pub fn of(input: &Input) -> Result<Self> {
        let content = match input.result()? {
            Saved::Replay(replay) => Content::Replay(replay),
            Saved::Block(block) => Content::Block(block),
            Saved::Fidelity(card) => Content::Fidelity(card),
            Saved::Analysis(analysis) if analysis.kind == "plan" => Content::Plan(Box::new(PlanFile::of(input)?)),
            Saved::Analysis(analysis) => Content::Analysis(analysis),
        };
        Ok(Self { name: input.name.clone(), sha256: input.sha256.clone(), content })
    }

    /// That this is not what is needed.
    pub fn refused(&self, kind: &str, needs: &str) -> Error {
        Error::usage(format!("{} is {}; {kind} needs {needs}", self.name, self.content.what()))
    }
}
