//! `kvtrace analyze anonymize`

use std::path::PathBuf;

use crate::analyze::anonymize::{Salt, anonymize};
use crate::cli::Global;
use crate::cli::analyze::input::of_pipe;
use crate::cli::terminal::Terminal;
use crate::error::Result;
use crate::output;
use crate::stop::Stop;
use crate::units;

/// What was typed after `anonymize`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A trace, a trace of requests (Mooncake, Bailian, kv-cache-tester, BurstGPT, Azure, Vidur) or
    /// LMCache's lookup log
    input: PathBuf,
    /// The file to give away; of a trace the name says the format (.csv, .csv.zst, .parquet)
    #[arg(long, short)]
    output: PathBuf,
    /// Replace equal names by equal ones in every file with this salt [default: a random one, which
    /// is kept nowhere]
    #[arg(long, value_name = "TEXT")]
    salt: Option<String>,
}

pub fn run(args: &Args, global: Global, stop: &Stop) -> Result<()> {
    let salt = args.salt.as_deref().map_or_else(Salt::random, Salt::of)?;
    let terminal = Terminal::new(global);
    let done = anonymize(&args.input, &args.output, &salt, global.overwrite(), stop, &terminal)
        .map_err(|e| of_pipe(std::slice::from_ref(&args.input), e))?;
    for (field, count) in &done.removed {
        terminal.say(format!("left out: {field}, {} times", units::count(*count)));
    }
    if done.shifted_s != 0.0 {
        terminal.say(format!("shifted: every stamp by {} s", -done.shifted_s));
    }
    let replaced: Vec<_> = done.replaced.iter().map(|(kind, n)| format!("{kind} {}", units::count(*n))).collect();
    terminal.say(format!("replaced: {}", replaced.join(", ")));
    terminal.say(if done.references > 0 {
        format!(
            "the same hits: LRU of every capacity from 1 to {} over {}, before and after",
            units::count(done.capacities_equal),
            units::plural(done.references, "reference")
        )
    } else {
        "no ids: the same lengths and gaps before and after".to_owned()
    });
    terminal.say(format!("written: {} ({})", args.output.display(), units::plural(done.rows, "row")));
    if global.json { output::to_stdout(&output::to_json(&done)) } else { Ok(()) }
}
