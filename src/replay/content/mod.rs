//! What objects contain: made up, reproducible, checked.

pub mod fill;
pub mod verify;
