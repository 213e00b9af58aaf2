//! `kvtrace capture`

use crate::error::Result;
use crate::stop::Stop;

use super::Global;

/// What was typed.
#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(_args: Args, _global: Global, _stop: &Stop) -> Result<()> {
    todo!()
}
