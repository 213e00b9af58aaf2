//! `kvtrace record` and `kvtrace models`, from their flags to their files.

mod blocks;
mod determinism;
mod ledger;
mod parity;
mod policies;
mod refusals;
mod sources;
mod statistics;
mod time;
mod walks;
