//! Offline analyses of traces and results, and what a file is.

pub mod contents;
pub mod curve;
mod duplicates;
pub mod endurance;
pub mod hits;
pub mod identity;
mod likeness;
pub mod needs;
pub mod plan;
pub mod policies;
pub mod references;
mod stack;
pub mod summary;

/// The schema of every analysis.
pub const ANALYSIS_SCHEMA: &str = "kvtrace.analysis/1";
