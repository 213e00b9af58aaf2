//! Executing a trace against real tiers: plan, prepare, run, report.

mod config;
mod extents;
mod fits;
mod fill;
mod guard;
mod memory;
mod names;
mod objects;
mod plan;
mod prepare;
mod resolve;
mod ring;
mod rows;
mod slab;
mod target;
mod verify;

pub use config::{IoMode, Pace, Prepare, ReplayConfig, Verify};
pub use plan::{Plan, PlanFacts, plan};
pub use target::Target;
