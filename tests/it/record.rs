//! `kvtrace record` and `kvtrace models`, from their flags to their files.

mod config;
mod determinism;
mod ledger;
mod naive;
mod parity;
mod policies;
mod presets;
mod refusals;
mod statistics;
mod time;
mod walks;
