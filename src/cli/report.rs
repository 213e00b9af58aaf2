//! `kvtrace report`: one HTML page of a replay and what belongs to it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::distill::job::JOB_SCHEMA;
use crate::error::{Error, Result};
use crate::measure::{BlockResult, Input, ReplayResult, Saved};
use crate::output;
use crate::plot::report::REPORT_SCHEMA;
use crate::plot::{ReportInput, report_html};
use crate::trace::meta::TRACE_SCHEMA;
use crate::trace::{Meta, TraceReader};

use super::Global;
use super::what_if::plan_page;

/// What was typed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A plan of `analyze plan`, alone; or a replay result, and, in any order, a block result, the trace or its .meta.json, a distilled fio job
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// The page (`-` is stdout)
    #[arg(long, short, value_name = "REPORT.html")]
    output: PathBuf,
}

/// The first bytes of a zstd frame.
const ZSTD_MAGIC: [u8; 4] = zstd::zstd_safe::MAGICNUMBER.to_le_bytes();

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
            let meta = Meta::from_json(input.text.as_bytes()).map_err(|e| e.context(&name))?;
            return self.add_meta(meta, Path::new(&name));
        } else {
            match input.result()? {
                Saved::Replay(replay) => self.replay.replace((replay, input)).is_some(),
                Saved::Block(block) => self.block.replace((block, input.name)).is_some(),
            }
        };
        only_one(taken, &name)
    }

    fn add_meta(&mut self, meta: Meta, path: &Path) -> Result<()> {
        only_one(self.meta.replace(Box::new(meta)).is_some(), &path.display().to_string())
    }
}

fn only_one(taken: bool, name: &str) -> Result<()> {
    match taken {
        true => Err(Error::usage(format!(
            "{name} is the second file of its kind; a report takes one replay and at most one of each other kind"
        ))),
        false => Ok(()),
    }
}

/// Whether a file begins as a JSON result or a job does, compressed or not; a trace does not.
fn begins_as_text(path: &Path) -> Result<bool> {
    if output::is_standard(path) {
        return Ok(true);
    }
    let read = || -> io::Result<Vec<u8>> {
        let mut head = Vec::new();
        File::open(path)?.take(4).read_to_end(&mut head)?;
        if head == ZSTD_MAGIC {
            head.clear();
            zstd::Decoder::new(File::open(path)?)?.take(1).read_to_end(&mut head)?;
        }
        Ok(head)
    };
    let head = read().map_err(|e| Error::reading(path, &e))?;
    Ok(head.first().is_none_or(|byte| b"{[#".contains(byte) || byte.is_ascii_whitespace()))
}

pub fn run(args: Args, global: Global) -> Result<()> {
    if let Some(page) = plan_page(&args.inputs)? {
        return output::write_all(&args.output, REPORT_SCHEMA, global.overwrite(), page.as_bytes());
    }
    let mut parts = Parts::default();
    for path in &args.inputs {
        match begins_as_text(path)? {
            true => parts.add(Input::read(path)?)?,
            false => parts.add_meta(TraceReader::open(path)?.meta().clone(), path)?,
        }
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
    output::write_all(&args.output, REPORT_SCHEMA, global.overwrite(), page.as_bytes())
}
