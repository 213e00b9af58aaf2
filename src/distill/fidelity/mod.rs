//! How like its source a job behaves: [`distance`] between histograms, [`metrics`] of a capture,
//! the card that puts two groups of captures side by side, and what it keeps of them ([`mod@kept`]).

pub mod card;
pub mod distance;
pub mod kept;
pub mod metrics;

pub use card::compare;
pub use kept::kept;
