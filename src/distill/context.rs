//! What a section of a job file is written from.

use super::job::Options;
use super::source::Source;
use super::streams::Stream;

/// What a section is written from.
pub struct Context<'a> {
    /// The load that its jobs stand for.
    pub source: &'a Source,
    /// All jobs that run beside each other.
    pub beside: &'a [Stream],
    /// What the user decides.
    pub options: &'a Options,
    /// The size of the file.
    pub size: u64,
    /// fio's `flow_id` of the jobs; none where all of a file's jobs are one flow.
    pub flow_id: Option<usize>,
}
