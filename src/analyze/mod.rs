//! Offline analyses of traces and results, and what a file is.

pub mod anonymize;
pub mod contents;
pub mod curve;
mod duplicates;
pub mod events;
pub mod flow;
pub mod hits;
pub mod identity;
pub mod inputs;
mod likeness;
pub mod lookups;
pub mod policies;
pub mod references;
pub mod requests_summary;
pub mod series;
mod stack;
pub mod summary;

/// The schema of every analysis.
pub const ANALYSIS_SCHEMA: &str = "kvtrace.analysis/1";
