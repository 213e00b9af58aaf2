//! `kvtrace record`

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::output;
use crate::stop::Stop;

use super::Global;
use super::terminal::Terminal;

mod config;
mod flags;
mod foresight;
mod layers;
mod presets;
mod profile;
mod run;
mod settings;
mod source;
mod summary;

pub use flags::{RecordFlags, explain_source};
pub use layers::{Arranged, Layers, arrange, explain};
pub use presets::list as list_presets;
pub use run::Recording;
pub use summary::lines as summary_lines;

/// What was typed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The trace: .csv, .csv.zst, .parquet, or - for CSV on stdout
    #[arg(short = 'o', value_name = "TRACE", required_unless_present = "print_config")]
    trace: Option<PathBuf>,
    /// Print what is in force, and record nothing
    #[arg(long)]
    print_config: bool,
    #[command(flatten)]
    flags: Box<RecordFlags>,
}

impl Args {
    /// Remembers what was set elsewhere than on the command line.
    pub fn keep(&mut self, layers: Layers) {
        self.flags.keep(layers);
    }
}

pub fn run(args: Args, global: Global, stop: &Stop) -> Result<()> {
    let terminal = Terminal::new(global);
    let settings = args.flags.settings()?;
    if args.print_config {
        return output::to_stdout(&settings.print(global.json));
    }
    args.flags.notes().iter().for_each(|note| terminal.say(note));
    let trace = args.trace.expect("clap requires it without --print-config");
    if global.json && output::is_standard(&trace) {
        return Err(Error::usage("-o - and --json both write to stdout; give the trace a name or leave out --json"));
    }
    let recording = args.flags.record(&trace, global.overwrite(), stop, &terminal)?;
    for line in summary::lines(&recording) {
        terminal.say(line);
    }
    match &recording.meta.record {
        Some(stats) if global.json => output::to_stdout(&output::to_json(stats)),
        _ => Ok(()),
    }
}
