//! A job as a machine reads it (`kvtrace distill-fio --json`).

use serde::Serialize;

use super::exact::Iolog;
use super::facts::Facts;
use super::header;
use super::job::{JOB_SCHEMA, Job, Method, Origin, wants_huge_pages};
use super::section::Section;

/// A job, its values, and where they come from.
#[derive(Debug, Serialize)]
pub struct Machine<'a> {
    /// [`JOB_SCHEMA`].
    pub schema: &'static str,
    /// The tool that wrote it, with its version.
    pub tool: &'static str,
    /// Always true: a job that is not complete is not written.
    pub complete: bool,
    /// What it was made from.
    pub source: &'a Origin,
    /// How.
    pub method: Method,
    /// The command that runs it; FILE is what it runs on.
    pub command: String,
    /// Bytes of FILE.
    pub size_bytes: u64,
    /// What a user should hear.
    pub warnings: &'a [String],
    /// What the source did, by direction.
    pub directions: &'a [Facts],
    /// How its requests began; none of an iolog, which holds the times themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pace: Option<&'a str>,
    /// The parts of the job file, in order.
    pub sections: &'a [Section],
    /// What the iolog holds that the job replays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iolog: Option<Iolog>,
}

impl<'a> Machine<'a> {
    /// Of a distilled job.
    pub fn of(job: &'a Job, origin: &'a Origin, method: Method) -> Self {
        Self {
            schema: JOB_SCHEMA,
            tool: crate::TOOL,
            complete: true,
            source: origin,
            method,
            command: header::command(&origin.job_file, wants_huge_pages(&job.sections)),
            size_bytes: job.size_bytes,
            warnings: &job.warnings,
            directions: &job.facts,
            pace: Some(&job.pace),
            sections: &job.sections,
            iolog: None,
        }
    }
}
