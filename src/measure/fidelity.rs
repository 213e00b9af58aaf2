//! How like its source a distilled job behaves (`kvtrace.fidelity/1`): the card of a proof.

use serde::{Deserialize, Serialize};

use crate::units;

use super::block::BlockResult;

/// The schema of a fidelity card.
pub const FIDELITY_SCHEMA: &str = "kvtrace.fidelity/1";

/// A proof: what a source did, what its job did, and how far apart they are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Fidelity {
    /// [`FIDELITY_SCHEMA`].
    pub schema: String,
    /// The tool that wrote it, with its version.
    pub tool: String,
    /// False when the proof was interrupted.
    pub complete: bool,
    /// The source.
    pub original: Proved,
    /// The job.
    pub distilled: Proved,
    /// One line of the card each.
    pub metrics: Vec<Metric>,
    /// Whether every metric that was judged keeps its bound.
    pub pass: bool,
    /// Metrics that have a bound and could not be judged: nothing is said of them by `pass`.
    #[serde(default)]
    pub not_judged: usize,
    /// What `--tune` changed and tried, and what it could not reach; none without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuned: Option<Tuned>,
    /// What a reader must know: what was not run again, what was tainted, what was left out.
    pub notes: Vec<String>,
}

/// How a job was tuned.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tuned {
    /// How often the job ran with other values than the first.
    pub rounds: u32,
    /// The round whose job was kept; 0 is the job as it was distilled.
    pub kept: u32,
    /// What was changed in the job that was kept, a line each: from what to what.
    pub changes: Vec<String>,
    /// What each round tried and what came of it.
    pub tried: Vec<String>,
    /// Which bounds could not be reached, and why.
    pub unreached: Vec<String>,
}

/// One of the two that are compared.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Proved {
    /// File name.
    pub file: String,
    /// sha256 of the file.
    pub sha256: String,
    /// How often it ran under capture; 0 is a recording alone.
    pub runs: u32,
    /// What ran, as a shell would take it; none for a recording.
    pub command: Option<String>,
    /// The devices on which it ran.
    pub devices: Vec<String>,
    /// What the block layer did in each run, or in the recording: the histograms of the target from
    /// which every figure of the card can be computed again, and nothing else.
    #[serde(default)]
    pub blocks: Vec<BlockResult>,
}

/// One metric of the card.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// What is compared, e.g. `size`, `d2c_p99`.
    pub name: String,
    /// `read`, `write`, or none for both together.
    pub op: Option<String>,
    /// The unit of `original` and `distilled`: `ns`, `bytes`, `ios`, `bytes/s`, `percent`, `ratio`.
    pub unit: String,
    /// The source's figure; none where it has none.
    pub original: Option<f64>,
    /// The job's.
    pub distilled: Option<f64>,
    /// How the two figures come from the runs: `median`, or `pooled`, the figure of all runs' requests
    /// together.
    #[serde(default)]
    pub over: String,
    /// The source's figure in each run (or in the recording).
    #[serde(default)]
    pub original_runs: Vec<Option<f64>>,
    /// The job's in each run.
    #[serde(default)]
    pub distilled_runs: Vec<Option<f64>>,
    /// How the distance is measured: `points` (difference of percents), `relative` (difference over
    /// the original), `wasserstein` (1-Wasserstein over the original's mean), `ks`
    /// (Kolmogorov-Smirnov, 0 to 1).
    pub measure: String,
    /// How far apart the two are, in that measure: of figures the two above; of distributions those of
    /// all requests where `over` is `pooled`, else the median over all pairs of runs.
    pub distance: Option<f64>,
    /// Of distributions also the Kolmogorov-Smirnov distance, 0 to 1, as a median over the same pairs.
    #[serde(default)]
    pub ks: Option<f64>,
    /// How far apart two runs of the same thing are, in the same measure: the larger one of the source's
    /// and the job's; none after single runs.
    pub noise_floor: Option<f64>,
    /// The distance that is allowed; none for what is shown and not judged.
    pub bound: Option<f64>,
    /// The distance that passes: the bound, or for what depends on the device's mood the larger of it
    /// and twice the floor.
    #[serde(default)]
    pub allowed: Option<f64>,
    /// Whether the distance keeps the bound, or for what depends on the device's mood the larger
    /// of it and twice the floor; none where nothing is judged.
    pub pass: Option<bool>,
}

impl Fidelity {
    /// Whether nothing is missed, and something is beyond its bound on a machine too noisy to tell.
    pub fn is_undecided(&self) -> bool {
        let beyond = |metric: &Metric| metric.is_unjudged() && metric.is_beyond();
        self.metrics.iter().all(|metric| metric.pass != Some(false)) && self.metrics.iter().any(beyond)
    }
}

impl Metric {
    /// Whether it passed only because two runs of the same thing differ by more than the bound.
    pub fn passed_by_noise(&self) -> bool {
        self.pass == Some(true) && self.is_beyond() && self.distance <= self.allowed && self.allowed > self.bound
    }

    /// Whether it has a bound and could not be judged.
    pub fn is_unjudged(&self) -> bool {
        self.bound.is_some() && self.pass.is_none()
    }

    /// Whether the distance is beyond the bound itself.
    pub fn is_beyond(&self) -> bool {
        self.distance.zip(self.bound).is_some_and(|(distance, bound)| distance > bound)
    }

    /// What became of it, for people.
    pub fn verdict(&self) -> &'static str {
        match self.pass {
            Some(true) if self.passed_by_noise() => "ok, as far as the noise tells",
            Some(true) if self.is_beyond() => "ok, within 1",
            Some(true) => "ok",
            Some(false) => "MISSED",
            None if self.bound.is_none() => "shown only",
            None if self.is_beyond() && self.noise_floor.is_some() => "not judged: too noisy",
            None => "not judged",
        }
    }

    /// One of its figures with its unit; `-` for none.
    pub fn figure(&self, value: Option<f64>) -> String {
        let Some(value) = value else { return "-".to_owned() };
        match self.unit.as_str() {
            "ns" => units::ns(value),
            "bytes" => units::bytes(value.round().max(0.0) as u64),
            "bytes/s" => format!("{} MB/s", units::three_digits(value / 1e6)),
            "percent" => format!("{value:.2} %"),
            _ => units::three_digits(value),
        }
    }

    /// One of its distances; `-` for none. Relative distances and Wasserstein distances over the mean
    /// are shares, shown as percents.
    pub fn apart(&self, value: Option<f64>) -> String {
        let Some(value) = value.map(f64::abs) else { return "-".to_owned() };
        match self.measure.as_str() {
            "points" => format!("{value:.2} pt"),
            "ks" => format!("ks {value:.3}"),
            _ if value < 0.1 => format!("{:.2} %", value * 100.0),
            _ => format!("{:.1} %", value * 100.0),
        }
    }
}

impl Proved {
    /// How often it really ran under capture, in words: an interrupted proof has fewer runs than it was to have.
    pub fn ran(&self) -> String {
        let done = self.blocks.len() as u64;
        match u64::from(self.runs) {
            0 => "a recording".to_owned(),
            runs if done > 0 && done < runs => format!("{done} of {}", units::plural(runs, "run")),
            runs => units::plural(runs, "run"),
        }
    }
}
