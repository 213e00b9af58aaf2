//! Offline analyses of traces and results, and what a file is.

pub mod anonymize;
mod byte_stack;
pub mod columns;
pub mod compare;
pub mod contents;
pub mod curve;
mod duplicates;
pub mod endurance;
pub mod events;
pub mod eviction;
pub mod flow;
pub mod hits;
pub mod identity;
pub mod inputs;
mod likeness;
pub mod lookups;
pub mod lru_curve;
pub mod needs;
pub mod object_curve;
pub mod object_tiers;
pub mod objects;
pub mod plan;
pub mod policies;
pub mod recorded;
pub mod references;
pub mod requests_summary;
pub mod reuse;
pub mod sample;
pub mod series;
mod stack;
pub mod summary;
pub mod working_set;

pub use crate::measure::analysis::ANALYSIS_SCHEMA;
