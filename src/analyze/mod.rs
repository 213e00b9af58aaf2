//! Offline analyses of traces and results, and what a file is.

pub mod contents;
mod duplicates;
pub mod identity;
mod likeness;
pub mod summary;

/// The schema of every analysis.
pub const ANALYSIS_SCHEMA: &str = "kvtrace.analysis/1";
