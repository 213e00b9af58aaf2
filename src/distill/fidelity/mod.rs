//! How like its source a job behaves: [`distance`] between histograms, [`metrics`] of a capture,
//! and the card that puts two groups of captures side by side.

pub mod card;
pub mod distance;
pub mod metrics;

pub use card::compare;
