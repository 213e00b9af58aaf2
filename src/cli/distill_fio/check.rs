//! What makes no sense together is refused before anything runs.

use crate::error::{Error, Result};

use super::Args;
use super::kind::Kind;

/// Refuses a command after `--` that would not be run.
///
/// # Errors
/// Without a proof, and for a trace, whose replay is the original.
pub fn original(args: &Args) -> Result<()> {
    if args.prove.command.is_empty() {
        return Ok(());
    }
    if !args.prove.prove {
        return Err(Error::usage(
            "a command after -- is the original that --prove runs again; add --prove --target PATH, or leave it out",
        ));
    }
    if Kind::of(&args.input)? == Kind::Trace {
        return Err(Error::usage(format!(
            "{} is a trace, and --prove replays a trace as the original; leave the command after -- out",
            args.input.display()
        )));
    }
    Ok(())
}
