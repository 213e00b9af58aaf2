//! Two groups of results, metric by metric: how far apart they are, how sure that is, and whether
//! they may be ranked at all.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::error::{Error, Result};
use crate::units;

use super::ANALYSIS_SCHEMA;

mod bootstrap;
pub mod load;
pub mod runs;

pub use bootstrap::Estimate;
pub use runs::{Better, Run};

use bootstrap::{RESAMPLES, change, enough, estimate, mean, median, rank_test, stream};

/// How rarely groups without a difference may seem to differ.
const LEVEL: f64 = 0.05;

/// A comparison.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// [`ANALYSIS_SCHEMA`].
    pub schema: &'static str,
    /// `compare`.
    pub kind: &'static str,
    /// The tool that wrote it, with its version.
    pub tool: &'static str,
    /// What is compared: `replay result`, `recording`, …
    pub of: String,
    /// The files of one group.
    pub base: Vec<File>,
    /// Those of the other.
    pub new: Vec<File>,
    /// Whether the groups may be ranked.
    pub ranked: bool,
    /// Why not.
    pub not_ranked: Vec<String>,
    /// Settings that differ, which may be the point of it.
    pub differences: Vec<Difference>,
    /// Resamples of each interval.
    pub resamples: usize,
    /// The metrics that both groups have.
    pub metrics: Vec<Metric>,
    /// Metrics that one group alone has.
    pub left_out: Vec<String>,
}

/// A file of a group.
#[derive(Clone, Debug, Serialize)]
pub struct File {
    /// Its name.
    pub file: String,
    /// Its sha256, in hex.
    pub sha256: String,
}

/// A setting that is not the same everywhere.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Its name.
    pub setting: String,
    /// What the files of one group have.
    pub base: Vec<String>,
    /// What those of the other have.
    pub new: Vec<String>,
}

/// A group's figure.
#[derive(Clone, Debug, Serialize)]
pub struct Side {
    /// The values, in the order of the files and of the trials in them.
    pub values: Vec<f64>,
    /// Their median.
    pub median: Estimate,
    /// Their mean.
    pub mean: Estimate,
}

/// One metric.
#[derive(Clone, Debug, Serialize)]
pub struct Metric {
    /// What.
    pub metric: String,
    /// Its unit.
    pub unit: String,
    /// Which way is better; none where neither is.
    pub better: Option<Better>,
    /// One group.
    pub base: Side,
    /// The other.
    pub new: Side,
    /// How much the median of the new group lies above that of the base, as a share of it; none when
    /// that is 0.
    pub change: Option<Estimate>,
    /// How often chance alone would make the groups differ as much; none for too few runs, and for
    /// figures that are the same every time.
    pub p: Option<f64>,
    /// What follows.
    pub verdict: Verdict,
}

/// What is said of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The new group is better.
    Better,
    /// The new group is worse.
    Worse,
    /// They differ, and neither way is better.
    Differs,
    /// They do not differ as far as these runs tell.
    NoDifference,
    /// No test could tell with so few runs.
    TooFewRuns,
    /// Their load differs, or their numbers may not be believed.
    NotRanked,
}

impl Verdict {
    /// The words in a table.
    pub fn words(self) -> &'static str {
        match self {
            Verdict::Better => "better",
            Verdict::Worse => "WORSE",
            Verdict::Differs => "differs",
            Verdict::NoDifference => "no difference",
            Verdict::TooFewRuns => "too few runs",
            Verdict::NotRanked => "not ranked",
        }
    }
}

impl Comparison {
    /// Compares two groups. With `accept_doubtful`, runs that are not valid are ranked too.
    ///
    /// # Errors
    /// When a group is empty, or what is compared is not of one kind.
    pub fn of(base: &[Run], new: &[Run], accept_doubtful: bool) -> Result<Self> {
        let of = one_kind(base, new)?;
        let mut not_ranked = loads_apart(base, new);
        let doubts = base.iter().chain(new).flat_map(|run| run.doubts.iter().map(|why| format!("{}: {why}", run.file)));
        if !accept_doubtful {
            not_ranked.extend(doubts);
        }
        let (ours, theirs) = (names(base), names(new));
        let left_out: Vec<String> = ours.symmetric_difference(&theirs).map(|metric| (*metric).to_owned()).collect();
        // An analysis is all of its figures; those of a run depend on what it has.
        if !left_out.is_empty() && of.starts_with("analysis") {
            not_ranked.push(one_sided(&left_out));
        }
        let ranked = not_ranked.is_empty();
        let exact = base.iter().chain(new).all(|run| run.exact);
        let metrics: Vec<Metric> = order(base)
            .into_iter()
            .filter(|metric| theirs.contains(metric))
            .map(|metric| compared(metric, base, new, ranked, exact))
            .collect();
        let files =
            |runs: &[Run]| runs.iter().map(|run| File { file: run.file.clone(), sha256: run.sha256.clone() }).collect();
        Ok(Self {
            schema: ANALYSIS_SCHEMA,
            kind: "compare",
            tool: crate::TOOL,
            of,
            base: files(base),
            new: files(new),
            ranked,
            not_ranked,
            differences: differences(base, new),
            resamples: RESAMPLES,
            metrics,
            left_out,
        })
    }
}

/// The metrics that one group alone has, in words: how many, and the first of them.
pub fn one_sided(left_out: &[String]) -> String {
    format!("{} in one group only: {}", units::plural(left_out.len() as u64, "metric"), load::first(left_out))
}

fn one_kind(base: &[Run], new: &[Run]) -> Result<String> {
    let (Some(first), Some(_)) = (base.first(), new.first()) else {
        return Err(Error::usage("both groups need a file: compare A B, or --base A… --new B…"));
    };
    match base.iter().chain(new).find(|run| run.what != first.what) {
        Some(other) => Err(Error::usage(format!(
            "{} is a {} and {} a {}; compare results of one kind",
            first.file, first.what, other.file, other.what
        ))),
        None => Ok(first.what.clone()),
    }
}

/// What makes the load of one run another than that of the first, in words.
fn loads_apart(base: &[Run], new: &[Run]) -> Vec<String> {
    let first = &base[0];
    let mut apart = Vec::new();
    for run in base[1..].iter().chain(new) {
        let names: BTreeSet<&String> = first.load.keys().chain(run.load.keys()).collect();
        for name in names {
            let value = |run: &Run| run.load.get(name).cloned().unwrap_or_else(|| "not said".to_owned());
            let (a, b) = (value(first), value(run));
            if a != b {
                let (a, b) = load::apart(&a, &b);
                apart.push(format!("{name} is {a} in {} and {b} in {}", first.file, run.file));
            }
        }
        let names: BTreeSet<&String> = first.shape.keys().chain(run.shape.keys()).collect();
        for name in names {
            match (first.shape.get(name), run.shape.get(name)) {
                (Some((a, allowed)), Some((b, _))) if (a - b).abs() <= *allowed => {}
                (a, b) => {
                    let said = |v: Option<&(f64, f64)>| v.map_or("none".to_owned(), |v| format!("{:.1}", v.0));
                    apart.push(format!("{name} is {} in {} and {} in {}", said(a), first.file, said(b), run.file));
                }
            }
        }
    }
    apart
}

fn differences(base: &[Run], new: &[Run]) -> Vec<Difference> {
    let names: BTreeSet<&String> = base.iter().chain(new).flat_map(|run| run.settings.keys()).collect();
    let values = |runs: &[Run], name: &String| -> Vec<String> {
        let all = runs.iter().map(|run| run.settings.get(name).cloned().unwrap_or_else(|| "not said".to_owned()));
        all.collect::<BTreeSet<_>>().into_iter().collect()
    };
    names
        .into_iter()
        .map(|name| Difference { setting: name.clone(), base: values(base, name), new: values(new, name) })
        .filter(|difference| difference.base != difference.new || difference.base.len() > 1)
        .collect()
}

fn names(runs: &[Run]) -> BTreeSet<&str> {
    runs.iter().flat_map(|run| &run.figures).map(|figure| figure.metric.as_str()).collect()
}

/// The metrics in the order in which they first appear.
fn order(runs: &[Run]) -> Vec<&str> {
    let mut seen = BTreeSet::new();
    let all = runs.iter().flat_map(|run| &run.figures).map(|figure| figure.metric.as_str());
    all.filter(|metric| seen.insert(*metric)).collect()
}

fn compared(metric: &str, base: &[Run], new: &[Run], ranked: bool, exact: bool) -> Metric {
    let of = |runs: &[Run]| -> Vec<f64> {
        let figures = runs.iter().flat_map(|run| &run.figures).filter(|figure| figure.metric == metric);
        figures.flat_map(|figure| figure.values.clone()).filter(|value| value.is_finite()).collect()
    };
    let known = base.iter().flat_map(|run| &run.figures).find(|figure| figure.metric == metric);
    let (unit, better) = known.map_or((String::new(), None), |figure| (figure.unit.clone(), figure.better));
    let (a, b) = (of(base), of(new));
    let mut draws = stream(metric);
    let change = change(&a, &b, &mut draws);
    let tested = (!exact && enough(a.len(), b.len())).then(|| rank_test(&a, &b, &mut draws));
    let mut side = |values: Vec<f64>| Side {
        median: estimate(&values, median, &mut draws),
        mean: estimate(&values, mean, &mut draws),
        values,
    };
    let (base, new) = (side(a), side(b));
    let differ = match tested {
        // Where the base is 0 there is no share to have an interval of.
        Some(p) => Some(p <= LEVEL && change.is_none_or(excludes_zero)),
        None if exact => Some(base.values != new.values && base.median.value != new.median.value),
        None => None,
    };
    let verdict = match differ {
        _ if !ranked => Verdict::NotRanked,
        None => Verdict::TooFewRuns,
        Some(false) => Verdict::NoDifference,
        Some(true) => direction(better, base.median.value, new.median.value),
    };
    Metric { metric: metric.to_owned(), unit, better, base, new, change, p: tested, verdict }
}

fn excludes_zero(change: Estimate) -> bool {
    change.low.is_some_and(|low| low > 0.0) || change.high.is_some_and(|high| high < 0.0)
}

fn direction(better: Option<Better>, base: f64, new: f64) -> Verdict {
    match better {
        None => Verdict::Differs,
        Some(Better::Higher) if new > base => Verdict::Better,
        Some(Better::Lower) if new < base => Verdict::Better,
        Some(_) => Verdict::Worse,
    }
}

/// How many metrics have each verdict.
pub fn verdicts(metrics: &[Metric]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    metrics.iter().for_each(|metric| *counts.entry(metric.verdict.words()).or_default() += 1);
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyze::compare::runs::Figure;

    fn run(file: &str, load: &str, value: f64) -> Run {
        let figure = |metric: &str, better, value| Figure {
            metric: metric.to_owned(),
            unit: "ns".to_owned(),
            better,
            values: vec![value],
        };
        Run {
            file: file.to_owned(),
            sha256: String::new(),
            what: "replay result".to_owned(),
            exact: false,
            load: [("trace sha256".to_owned(), load.to_owned())].into(),
            shape: BTreeMap::new(),
            settings: BTreeMap::new(),
            doubts: Vec::new(),
            figures: vec![figure("p99", Some(Better::Lower), value), figure("zero", None, 0.0)],
        }
    }

    fn group(values: &[f64]) -> Vec<Run> {
        values.iter().map(|value| run("a.json", "ab", *value)).collect()
    }

    #[test]
    fn four_clear_runs_are_ranked_and_three_are_not() {
        let slow = group(&[100.0, 101.0, 102.0, 103.0]);
        let fast = group(&[80.0, 81.0, 82.0, 83.0]);
        let verdict = |a: &[Run], b: &[Run]| Comparison::of(a, b, false).unwrap().metrics[0].verdict;
        assert_eq!(verdict(&slow, &fast), Verdict::Better);
        assert_eq!(verdict(&fast, &slow), Verdict::Worse);
        assert_eq!(verdict(&slow, &slow), Verdict::NoDifference);
        assert_eq!(verdict(&slow[..3], &fast[..3]), Verdict::TooFewRuns);
        let comparison = Comparison::of(&slow, &fast, false).unwrap();
        let change = comparison.metrics[0].change.unwrap();
        assert!(change.low.unwrap() <= change.value && change.value <= change.high.unwrap() && change.value < -0.15);
        assert_eq!((comparison.metrics[1].change, comparison.metrics[1].verdict), (None, Verdict::NoDifference));
    }

    #[test]
    fn another_load_is_named_and_not_ranked() {
        let mut other = group(&[80.0, 81.0, 82.0, 83.0]);
        other[2] = run("c.json", &"cd".repeat(32), 82.0);
        let comparison = Comparison::of(&group(&[100.0; 4]), &other, false).unwrap();
        assert!(!comparison.ranked && comparison.metrics[0].verdict == Verdict::NotRanked);
        assert_eq!(comparison.not_ranked, ["trace sha256 is ab in a.json and cdcdcdcdcdcd… in c.json"]);
        other[2].what = "recording".to_owned();
        assert!(Comparison::of(&group(&[1.0]), &other, false).unwrap_err().to_string().contains("one kind"));
    }

    #[test]
    fn doubtful_runs_are_ranked_only_when_asked_for() {
        let mut doubtful = group(&[80.0, 81.0, 82.0, 83.0]);
        doubtful[0].doubts.push("it is not valid: late".to_owned());
        let base = group(&[100.0, 101.0, 102.0, 103.0]);
        let comparison = Comparison::of(&base, &doubtful, false).unwrap();
        assert_eq!(comparison.not_ranked, ["a.json: it is not valid: late"]);
        assert!(Comparison::of(&base, &doubtful, true).unwrap().ranked);
    }
}
