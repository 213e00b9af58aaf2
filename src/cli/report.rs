//! `kvtrace report`: one HTML page of results of any kind.

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::output;
use crate::plot::report::REPORT_SCHEMA;
use crate::plot::{Content, report_html};
use crate::stop::Stop;

use super::terminal::Terminal;
use super::{Global, inputs};

/// What was typed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Any mix of replay results, captures, capture events, fidelity cards, analyses (JSON), traces or
    /// their .meta.json, and distilled fio jobs; several replays are shown side by side
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// The page (`-` is stdout)
    #[arg(long, short, value_name = "REPORT.html")]
    output: PathBuf,
}

pub fn run(args: Args, global: Global, stop: &Stop) -> Result<()> {
    let terminal = Terminal::new(global);
    if !output::is_standard(&args.output) {
        output::check_replaceable(&args.output, REPORT_SCHEMA, global.overwrite())?;
    }
    let sources: Result<Vec<_>> = args.inputs.iter().map(|path| inputs::read(path, stop, &terminal)).collect();
    let sources = sources?;
    let plans: Vec<_> = sources.iter().filter(|source| matches!(source.content, Content::Plan(_))).collect();
    if let [_, second, ..] = plans[..] {
        return Err(Error::usage(format!(
            "{} is the second plan; a page has the controls of one: make a page of each",
            second.name
        )));
    }
    output::write_all(&args.output, REPORT_SCHEMA, global.overwrite(), report_html(&sources).as_bytes())
}
