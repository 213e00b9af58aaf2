//! The original that a proof replays: a trace, with the flags of `kvtrace replay`.

use std::path::Path;

use crate::cli::replay::ReplayFlags;

use super::Args;

/// How a trace is replayed.
#[derive(Clone, Copy)]
pub struct Again<'a> {
    pub trace: &'a Path,
    pub flags: &'a ReplayFlags,
}

impl<'a> Again<'a> {
    pub fn of(args: &'a Args) -> Self {
        Self { trace: &args.input, flags: &args.replay }
    }
}
