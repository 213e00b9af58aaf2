//! Tests that drive the real binary, in one program so that it links once.
//!
//! `structure` reads the source, `trace`, `record`, `replay`, `capture`, `distill`, `report` and
//! `analyze` each hold one subcommand family, `hosts` shards and trials, `run` the whole pipeline, `bad_input` what must be refused,
//! `samples` results made by hand.

mod analyze;
mod bad_input;
mod capture;
mod contents;
mod distill;
mod hosts;
mod loop_device;
mod plots;
mod record;
mod replay;
mod report;
mod run;
mod samples;
mod small_disk;
mod structure;
mod support;
mod trace;
