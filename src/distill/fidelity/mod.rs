//! How like its source a job behaves: [`distance`] between histograms, [`metrics`] of a capture,
//! the card that puts two groups of captures side by side, what it keeps of them ([`mod@kept`]), and
//! what it leaves out where only one of them has it ([`like`]).

pub mod card;
pub mod distance;
pub mod kept;
pub mod like;
pub mod metrics;

pub use card::compare;
pub use kept::kept;
