//! Measured values: histograms and the result types that pass between stages.

pub mod block;
pub mod histogram;
pub mod replay;

pub use block::BlockResult;
pub use histogram::{Histogram, LogLinear};
pub use replay::ReplayResult;
