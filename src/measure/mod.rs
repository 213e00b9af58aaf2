//! Measured values: histograms and the result types that pass between stages.

pub mod analysis;
pub mod block;
pub mod comparable;
pub mod conditions;
pub mod events;
pub mod fidelity;
pub mod gds;
pub mod histogram;
pub mod merge;
pub mod precondition;
pub mod replay;
pub mod requests;
pub mod runs;
pub mod sample;
pub mod saved;
pub mod sums;
mod timeline;
pub mod trials;

pub use analysis::Analysis;
pub use block::BlockResult;
pub use fidelity::Fidelity;
pub use histogram::{Histogram, LogLinear};
pub use replay::ReplayResult;
pub use saved::{Input, Saved};
