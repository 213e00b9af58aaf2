//! `kvtrace mark`: tells a running capture in which phase its target is.

use clap::ValueEnum;

use crate::capture::phase;
use crate::error::Result;
use crate::trace::Phase;

use super::Global;
use super::terminal::Terminal;

/// What was typed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The target's I/O that begins after this returns is counted under the phase too, until another \
                        is set. Only the user who runs the capture, or root, may set it."
)]
pub struct Args {
    /// The phase that begins; `none` ends the last one
    #[arg(value_name = "PHASE")]
    phase: Word,
    /// The process id of the `kvtrace capture` [default: the only one that runs]
    #[arg(long, value_name = "CAPTURE_PID")]
    pid: Option<u32>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Word {
    Prefill,
    Decode,
    Evict,
    None,
}

impl Word {
    fn phase(self) -> Option<Phase> {
        match self {
            Word::Prefill => Some(Phase::Prefill),
            Word::Decode => Some(Phase::Decode),
            Word::Evict => Some(Phase::Evict),
            Word::None => None,
        }
    }
}

pub fn run(args: &Args, global: Global) -> Result<()> {
    let phase = args.phase.phase();
    let pid = phase::mark(phase, args.pid)?;
    Terminal::new(global).say(format!("the capture with process id {pid} is in phase {}", phase::word(phase)));
    Ok(())
}
