//! `kvtrace record` and `kvtrace models`, from their flags to their files.

mod blocks;
mod config;
mod determinism;
mod documents;
mod ledger;
mod naive;
mod parity;
mod policies;
mod presets;
mod refusals;
mod sources;
mod statistics;
mod time;
mod walks;
