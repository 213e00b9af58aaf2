//! Measured values: histograms and the result types that pass between stages.

pub mod block;
pub mod conditions;
pub mod histogram;
pub mod precondition;
pub mod replay;
pub mod requests;
pub mod sample;
pub mod saved;

pub use block::BlockResult;
pub use histogram::{Histogram, LogLinear};
pub use replay::ReplayResult;
pub use saved::{Input, Saved};
