//! Offline analyses of traces and results, and what a file is.

pub mod compare;
pub mod contents;
pub mod curve;
mod duplicates;
pub mod hits;
pub mod identity;
mod likeness;
pub mod policies;
pub mod references;
mod stack;
pub mod summary;

pub use crate::measure::analysis::ANALYSIS_SCHEMA;
