//! `kvtrace info`

use crate::error::Result;

use super::Global;

/// What was typed.
#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(_args: Args, _global: Global) -> Result<()> {
    todo!()
}
