//! `kvtrace run`: record → replay with capture → distil → report, each file in one folder.

use std::path::{Path, PathBuf};

use crate::distill::job::{HUGE_PAGES, JOB_SCHEMA};
use crate::distill::{Job, Options, Origin};
use crate::error::{Error, Result};
use crate::measure::block::BLOCK_SCHEMA;
use crate::measure::replay::REPLAY_SCHEMA;
use crate::measure::{BlockResult, Input, ReplayResult, Saved};
use crate::output::{self, Overwrite};
use crate::plot::report::REPORT_SCHEMA;
use crate::plot::{self, Kind as Picture, PLOT_SCHEMA, ReportInput, image, report_html};
use crate::stop::Stop;
use crate::trace::Tier;
use crate::trace::meta::TRACE_SCHEMA;
use crate::units::{self, Time};

use super::Global;
use super::block_watch::{BlockWatch, Need};
use super::capture::events::EventFlags;
use super::record::{self, Layers, RecordFlags, Recording};
use super::replay::{ReplayFlags, replay_to, say_events};
use super::terminal::Terminal;

/// What was typed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder for everything
    #[arg(short = 'o', value_name = "DIR")]
    dir: PathBuf,
    /// Do not watch the block layer (then there is no job either)
    #[arg(long)]
    no_capture: bool,
    #[command(flatten)]
    events: EventFlags,
    /// How long the distilled fio job runs
    #[arg(long, value_name = "TIME", default_value = "30s")]
    runtime: Time,
    #[command(flatten)]
    record: Box<RecordFlags>,
    #[command(flatten, next_help_heading = "Replay")]
    replay: ReplayFlags,
}

impl Args {
    /// Remembers what was set elsewhere than on the command line.
    pub fn keep(&mut self, layers: Layers) {
        self.record.keep(layers);
    }
}

const REPLAY_FILE: &str = "replay.json";
const JOB_FILE: &str = "job.fio";

/// The pictures of a run, each drawn as SVG and PNG.
const PICTURES: [Picture; 5] = [Picture::Latency, Picture::Throughput, Picture::Size, Picture::InFlight, Picture::Lba];

/// The files of a run.
struct Folder {
    trace: PathBuf,
    replay: PathBuf,
    block: PathBuf,
    job: PathBuf,
    report: PathBuf,
    root: PathBuf,
}

impl Folder {
    fn of(root: &Path) -> Result<Self> {
        if output::is_standard(root) || (root.exists() && !root.is_dir()) {
            return Err(Error::usage(format!("{} is not a folder; -o names one", root.display())));
        }
        Ok(Self {
            trace: root.join("trace.csv.zst"),
            replay: root.join(REPLAY_FILE),
            block: root.join("block.json"),
            job: root.join(JOB_FILE),
            report: root.join("report.html"),
            root: root.to_owned(),
        })
    }

    fn create(&self, overwrite: Overwrite) -> Result<()> {
        output::create_dir(&self.root)?;
        output::check_replaceable(&self.trace, TRACE_SCHEMA, overwrite)?;
        self.derived().iter().try_for_each(|(path, schema)| output::check_replaceable(path, schema, overwrite))
    }

    fn picture(&self, kind: Picture, extension: &str) -> PathBuf {
        self.root.join(kind.word()).with_extension(extension)
    }

    /// What is made of the trace.
    fn derived(&self) -> Vec<(PathBuf, &'static str)> {
        let files = [
            (&self.replay, REPLAY_SCHEMA),
            (&self.block, BLOCK_SCHEMA),
            (&self.job, JOB_SCHEMA),
            (&self.report, REPORT_SCHEMA),
        ];
        let pictures = PICTURES.iter().flat_map(|kind| ["svg", "png"].map(|e| (self.picture(*kind, e), PLOT_SCHEMA)));
        files.into_iter().map(|(path, schema)| (path.clone(), schema)).chain(pictures).collect()
    }

    /// Removes what an earlier run made of another trace, so that the folder never holds a mixture.
    fn clear(&self) -> Result<()> {
        for (path, _) in self.derived() {
            if path.exists() {
                std::fs::remove_file(&path).map_err(|e| Error::writing(&path, &e))?;
            }
        }
        Ok(())
    }
}

pub fn run(args: Args, global: Global, stop: &Stop) -> Result<()> {
    let terminal = Terminal::new(global);
    let folder = Folder::of(&args.dir)?;
    let config = args.replay.config(&folder.trace, &folder.root.join("data"), global);
    crate::replay::check_settings(&config)?;
    let events = args.events.to(&[], global)?;
    if events.is_some() && args.no_capture {
        return Err(Error::usage("--events needs the capture that --no-capture leaves out; drop one of them"));
    }
    let prepared = args.record.prepare()?;
    folder.create(global.overwrite())?;
    terminal.say(format!("everything goes to {}", folder.root.display()));

    args.record.notes().iter().for_each(|note| terminal.say(note));
    let recording = prepared.record(&folder.trace, global.overwrite(), stop, &terminal)?;
    record::summary_lines(&recording).iter().for_each(|line| terminal.say(line));
    folder.clear()?;
    warn_of_no_storage(&recording, &terminal);

    let need = if args.no_capture { None } else { Some(Need::Wanted) };
    let mut watch = need.map(|need| BlockWatch::new(need).with_events(events));
    let replayed = match &mut watch {
        Some(watch) => replay_to(&config, Some(&folder.replay), watch, stop, &terminal),
        None => replay_to(&config, Some(&folder.replay), &mut crate::replay::Unwatched, stop, &terminal),
    };
    let complete = replayed.as_ref().is_ok_and(|replayed| replayed.result.complete);
    let events = watch.as_mut().map_or(Ok(None), |watch| watch.keep_events(complete));
    say_events(&events, &terminal);
    let replayed = replayed?;
    if let Some(why) = watch.as_ref().and_then(BlockWatch::absent) {
        terminal.warn(format!("the block layer was not captured, so no fio job is distilled: {why}"));
    }
    if !replayed.result.complete {
        return Err(replayed.failure.unwrap_or_else(|| Error::interrupted("the replay ended early")));
    }

    let job = match &replayed.result.block {
        Some(block) if moved_data(block) => Some(distil(block, &folder, &args, global, &terminal)?),
        Some(_) => {
            terminal.warn("the block layer saw no I/O of this replay, so no fio job is distilled");
            None
        }
        None => None,
    };
    report(&folder, &recording, &replayed.result, job.as_ref(), global)?;
    if global.json {
        output::to_stdout(&output::to_json(&replayed.result))?;
    }
    let summary = summary(&folder, &recording, &replayed.result, job.is_some());
    draw(&folder, replayed.result, global, &terminal)?;
    summary.iter().for_each(|line| terminal.say(line));
    replayed.failure.map_or(events.map(drop), Err)
}

/// Writes the block result and the job distilled from it.
fn distil(block: &BlockResult, folder: &Folder, args: &Args, global: Global, terminal: &Terminal) -> Result<Job> {
    output::write_all(&folder.block, BLOCK_SCHEMA, global.overwrite(), &output::to_json(block))?;
    let input = Input::read(&folder.block)?;
    let origin = Origin {
        file: input.name,
        schema: BLOCK_SCHEMA.to_owned(),
        sha256: input.sha256,
        facts: Vec::new(),
        job_file: JOB_FILE.to_owned(),
    };
    let options = Options { runtime_ns: args.runtime.0, ..Options::default() };
    let job = Job::distil(block, &origin, &options)?;
    job.warnings.iter().for_each(|warning| terminal.warn(warning));
    output::write_all(&folder.job, JOB_SCHEMA, global.overwrite(), job.text().as_bytes())?;
    Ok(job)
}

fn warn_of_no_storage(recording: &Recording, terminal: &Terminal) {
    let mut used = recording.meta.record.iter().flat_map(|stats| &stats.tiers);
    if !used.any(|used| used.tier == Tier::Storage && used.peak_bytes > 0) {
        terminal.warn(
            "nothing reached storage: the tiers above it hold everything; a smaller --gpu-mem-gb or --cpu-mem-gb, or \
             more load, changes that",
        );
    }
}

fn moved_data(block: &BlockResult) -> bool {
    block.histograms.iter().any(|histogram| histogram.name == "size" && histogram.count > 0)
}

/// Draws the pictures that the result holds.
fn draw(folder: &Folder, replay: ReplayResult, global: Global, terminal: &Terminal) -> Result<()> {
    let of_block = replay.block.as_ref().is_some_and(moved_data);
    let result = Saved::Replay(Box::new(replay));
    for kind in PICTURES.into_iter().filter(|kind| of_block || matches!(kind, Picture::Latency | Picture::Throughput)) {
        match plot::picture(kind, &result, REPLAY_FILE) {
            Ok(picture) => {
                let svg = image::svg(&picture)?;
                output::write_all(&folder.picture(kind, "svg"), PLOT_SCHEMA, global.overwrite(), svg.as_bytes())?;
                output::write_all(
                    &folder.picture(kind, "png"),
                    PLOT_SCHEMA,
                    global.overwrite(),
                    &image::png(&picture)?,
                )?;
            }
            Err(error) => terminal.warn(format!("no picture of {}: {error}", kind.word())),
        }
    }
    Ok(())
}

fn report(
    folder: &Folder,
    recording: &Recording,
    replay: &ReplayResult,
    job: Option<&Job>,
    global: Global,
) -> Result<()> {
    let page = report_html(&ReportInput {
        replay,
        file: REPLAY_FILE,
        sha256: &Input::read(&folder.replay)?.sha256,
        block: None,
        meta: Some(&recording.meta),
        job: job.map(|job| (job.text(), JOB_FILE)),
    });
    output::write_all(&folder.report, REPORT_SCHEMA, global.overwrite(), page.as_bytes())
}

fn summary(folder: &Folder, recording: &Recording, replay: &ReplayResult, distilled: bool) -> Vec<String> {
    let (read, written) = replay.storage_gb_per_s().unwrap_or_default();
    let at = |name: &str| folder.root.join(name).display().to_string();
    let mut lines = vec![
        String::new(),
        format!("trace    {}: {}", units::plural(recording.meta.rows.unwrap_or(0), "row"), folder.trace.display()),
        format!(
            "replay   storage read {read:.2} GB/s and wrote {written:.2} GB/s over {:.1} s, {}: {}",
            replay.totals.wall_s,
            if replay.valid { "valid" } else { "NOT VALID" },
            folder.replay.display()
        ),
        format!("verdict  {}: {}", replay.verdict.bound, replay.verdict.because),
    ];
    if distilled {
        lines.push(format!("block    {}", folder.block.display()));
        lines.push(format!("fio job  {HUGE_PAGES} fio --filename=FILE {}", folder.job.display()));
    }
    lines.push(format!("pictures {}, {}, …", at("latency.svg"), at("throughput.svg")));
    lines.push(format!("report   {}", folder.report.display()));
    lines
}
