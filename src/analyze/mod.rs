//! Offline analyses of traces and results, and what a file is.

mod byte_stack;
pub mod compare;
pub mod contents;
pub mod curve;
mod duplicates;
pub mod endurance;
pub mod eviction;
pub mod hits;
pub mod identity;
mod likeness;
pub mod lru_curve;
pub mod needs;
pub mod object_curve;
pub mod objects;
pub mod plan;
pub mod policies;
pub mod recorded;
pub mod references;
pub mod reuse;
pub mod sample;
mod stack;
pub mod summary;
pub mod working_set;

pub use crate::measure::analysis::ANALYSIS_SCHEMA;
