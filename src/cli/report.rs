//! `kvtrace report`: one HTML page of a replay and what belongs to it.

use std::path::PathBuf;

use crate::distill::job::JOB_SCHEMA;
use crate::error::{Error, Result};
use crate::measure::{BlockResult, Input, ReplayResult, Saved};
use crate::output;
use crate::plot::{ReportInput, report_html};
use crate::trace::Meta;
use crate::trace::meta::TRACE_SCHEMA;

use super::Global;

/// What was typed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A replay result; and, in any order, a block result, the trace's .meta.json, a distilled fio job
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// The page (`-` is stdout)
    #[arg(long, short, value_name = "REPORT.html")]
    output: PathBuf,
}

/// The inputs, told apart by what they hold.
#[derive(Default)]
struct Parts {
    replay: Option<(Box<ReplayResult>, Input)>,
    block: Option<(Box<BlockResult>, String)>,
    meta: Option<Box<Meta>>,
    job: Option<(String, String)>,
}

impl Parts {
    fn add(&mut self, input: Input) -> Result<()> {
        let name = input.name.clone();
        let taken = if input.text.starts_with("# ") && input.text.lines().next().is_some_and(|l| l.contains(JOB_SCHEMA))
        {
            self.job.replace((input.text, input.name)).is_some()
        } else if input.schema().as_deref() == Some(TRACE_SCHEMA) {
            let meta = serde_json::from_str(&input.text).map_err(|e| Error::usage(format!("{name}: {e}")))?;
            self.meta.replace(meta).is_some()
        } else {
            match input.result()? {
                Saved::Replay(replay) => self.replay.replace((replay, input)).is_some(),
                Saved::Block(block) => self.block.replace((block, input.name)).is_some(),
            }
        };
        if taken {
            return Err(Error::usage(format!(
                "{name} is the second file of its kind; a report takes one replay and at most one of each other kind"
            )));
        }
        Ok(())
    }
}

pub fn run(args: Args, global: Global) -> Result<()> {
    let mut parts = Parts::default();
    for path in &args.inputs {
        parts.add(Input::read(path)?)?;
    }
    let Some((replay, input)) = &parts.replay else {
        return Err(Error::usage(
            "no replay result among the inputs; a report is of a replay: name the file that `kvtrace replay` wrote",
        ));
    };
    let page = report_html(&ReportInput {
        replay,
        file: &input.name,
        sha256: &input.sha256,
        block: parts.block.as_ref().map(|(block, name)| (&**block, name.as_str())),
        meta: parts.meta.as_deref(),
        job: parts.job.as_ref().map(|(text, name)| (text.as_str(), name.as_str())),
    });
    output::write_all(&args.output, global.overwrite(), page.as_bytes())
}
