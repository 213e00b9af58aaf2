//! The loads that a source is made of: the whole, slices of its time, or phases side by side.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::measure::{BlockResult, Histogram};
use crate::units;

use super::job::Options;
use super::pace::{Pace, Paced};
use super::sizes::SizeMix;
use super::slices::{Cuts, Window};
use super::source::Source;
use super::streams::{Direction, Habits, MAX_FLOW, Stream, streams, weights};

/// The share of all requests below which what belongs to no phase is left out.
const STRAY: f64 = 0.002;
/// The share in order from which on places are not random, in whole percents.
const SOME: f64 = 0.005;

/// How a source is divided.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Division {
    /// Not at all.
    #[default]
    Whole,
    /// Into slices of its time.
    Slices {
        /// Which, and why.
        cuts: Cuts,
        /// The windows that they are made of.
        windows: Vec<Window>,
        /// What each slice did; empty where only the windows say.
        blocks: Vec<BlockResult>,
    },
    /// Into the phases that its capture tells apart.
    Phases,
}

/// A load, and when it ran.
#[derive(Clone, Debug, PartialEq)]
pub struct Portion {
    /// What its jobs' names begin with; empty for the whole.
    pub name: String,
    /// What it does.
    pub source: Source,
    /// From when to when, in ns of the source; both 0 for what lasts as long as the whole.
    pub span_ns: (u64, u64),
    /// The time in which its requests were counted; none where that is not known.
    pub counted_s: Option<f64>,
}

impl Division {
    /// The loads, those without requests left out.
    ///
    /// # Errors
    /// When there are no phases.
    pub fn portions(&self, block: &BlockResult, whole: &Source, file: &str) -> Result<Vec<Portion>> {
        match self {
            Self::Slices { cuts, windows, blocks } if cuts.slices.len() > 1 => {
                Ok(in_turn(block, whole, cuts, windows, blocks))
            }
            Self::Phases => beside(block, whole, file),
            _ => Ok(vec![Portion { name: String::new(), source: whole.clone(), span_ns: (0, 0), counted_s: None }]),
        }
    }

    /// What the header says of it; none for a source that was never looked at over time.
    pub fn about(&self) -> Vec<String> {
        match self {
            Self::Whole => Vec::new(),
            Self::Slices { cuts, .. } if cuts.slices.len() < 2 => vec![format!("Slices of time: {}.", cuts.why)],
            Self::Slices { cuts, .. } => vec![
                format!("Slices of time: {}.", cuts.why),
                "They run one after another (stonewall), each as long as its share of the source's time.".to_owned(),
            ],
            Self::Phases => vec![
                "Phases: their jobs run beside each other, as phases overlap in time; a phase's depth is its part of the \
                 requests in flight. Which phase was busy when is not kept."
                    .to_owned(),
            ],
        }
    }
}

impl Portion {
    /// The jobs of the load, named after it; `beside` those of others.
    pub fn streams(&self, beside: bool, options: &Options) -> Vec<Stream> {
        let source = &self.source;
        let habits = Habits { beside, powers: options.keeps_powers(), ..source.habits() };
        let pace = match &source.paced.pace {
            // Those of slices and phases would have to take turns within theirs.
            Pace::Mixed(bursts) if !self.name.is_empty() => Pace::Mixed(bursts.single()),
            pace => pace.clone(),
        };
        let mut all = match &source.cached {
            Some(cached) => vec![cached.stream()],
            None => streams(&source.loads[0], &source.loads[1], &pace, habits),
        };
        for stream in &mut all {
            let asked = source.engine(stream.parts.iter().map(|part| part.direction));
            stream.engine = stream.engine.or(asked);
            if let Some(threads) = source.threads_of(stream) {
                stream.share_out(threads, |direction| source.in_order(direction).is_some_and(|share| share >= SOME));
            }
        }
        if !self.name.is_empty() {
            all.iter_mut().for_each(|stream| stream.name = format!("{}-{}", self.name, stream.name));
        }
        all
    }

    /// What it does, in a few lines.
    pub fn about(&self) -> Vec<String> {
        let (from, to) = self.span_ns;
        let seconds = |ns: u64| ns as f64 / 1e9;
        let when = if to > from {
            format!(", {:.2} s to {:.2} s of the source", seconds(from), seconds(to))
        } else {
            String::new()
        };
        let mut lines = vec![format!("{}{when}:", self.name)];
        let loads = Direction::ALL.into_iter().zip(&self.source.loads).filter(|(_, load)| load.mix.count() > 0);
        lines.extend(loads.map(|(direction, load)| {
            let count = load.mix.count() as f64;
            let rate = self.counted_s.map(|seconds| format!(" ({:.0}/s)", count / seconds)).unwrap_or_default();
            format!(
                "  {direction}: {} requests{rate}, mean {}, in flight {:.2}",
                units::count(load.mix.count()),
                units::bytes(load.mix.mean().round() as u64),
                load.in_flight
            )
        }));
        lines.push(format!("  pace: {}", self.source.pace().why));
        lines
    }
}

fn in_turn(
    block: &BlockResult,
    whole: &Source,
    cuts: &Cuts,
    windows: &[Window],
    blocks: &[BlockResult],
) -> Vec<Portion> {
    let mut all = Vec::new();
    for (at, slice) in cuts.slices.iter().enumerate() {
        let own = &windows[slice.clone()];
        let (Some(first), Some(last)) = (own.first(), own.last()) else { continue };
        let mut source = match blocks.get(at) {
            Some(own) => Source::within(block, own),
            None => scaled(whole, own, windows),
        };
        let share = source.bytes() as f64 / whole.bytes().max(1) as f64;
        let ns = (last.to_ns - first.from_ns) as f64;
        source.cached = whole.cached.as_ref().map(|cached| cached.part(share, ns));
        if source.bytes() > 0 {
            let span_ns = (first.from_ns, last.to_ns);
            let span_s = (span_ns.1 - span_ns.0) as f64 / 1e9;
            let counted_s = blocks.get(at).map_or(Some(span_s), |own| own.duration_s);
            all.push(Portion { name: format!("slice-{}", all.len() + 1), source, span_ns, counted_s });
        }
    }
    all
}

/// The whole's load at the rate of some of its windows.
fn scaled(whole: &Source, own: &[Window], windows: &[Window]) -> Source {
    let bytes = |windows: &[Window], way: usize| windows.iter().map(|window| window.bytes[way]).sum::<f64>();
    let seconds = |windows: &[Window]| windows.iter().map(|w| (w.to_ns - w.from_ns) as f64 / 1e9).sum::<f64>();
    let active = windows.iter().filter(|window| window.bytes.iter().sum::<f64>() > 0.0).copied().collect::<Vec<_>>();
    let mut source = Source { cached: None, ..whole.clone() };
    let mut faster = [1.0; 2];
    for (way, faster) in faster.iter_mut().enumerate() {
        let share = if bytes(windows, way) > 0.0 { bytes(own, way) / bytes(windows, way) } else { 0.0 };
        *faster = share * seconds(&active) / seconds(own);
        let mix = &mut source.loads[way].mix;
        let part = |count: u64| ((count as f64 * share).round() as u64).max(u64::from(share > 0.0));
        *mix = SizeMix::from_sizes(mix.sizes().iter().map(|&(size, count)| (size, part(count))));
        source.loads[way].in_flight *= *faster;
    }
    if let Pace::Rate { per_second, .. } = &mut source.paced.pace {
        per_second.iter_mut().zip(faster).for_each(|(rate, faster)| *rate *= faster);
        source.paced.why = "the rate that storage moved bytes at, as the replay's series has it".to_owned();
    }
    source
}

fn beside(block: &BlockResult, whole: &Source, file: &str) -> Result<Vec<Portion>> {
    let phases = block.phases.as_ref().filter(|phases| !phases.is_empty()).ok_or_else(|| {
        Error::usage(format!(
            "{file} tells no phases apart, so --by phase has nothing to go by; captures of `kvtrace replay --capture`, and \
             of programs that call `kvtrace mark`, do"
        ))
    })?;
    let sets: BTreeMap<&str, Vec<Histogram>> = phases
        .iter()
        .map(|(name, set)| (name.as_str(), set.histograms.clone()))
        .chain([("unphased", unphased(block))])
        .collect();
    let total: u64 = whole.loads.iter().map(|load| load.mix.count()).sum();
    let portions = sets.into_iter().filter_map(|(name, mut histograms)| {
        // The time with anything in flight is that of all phases together.
        histograms.retain(|h| h.name != "inflight_time");
        histograms.extend(block.histogram("inflight_time", None).cloned());
        let own = BlockResult { histograms, ..block.clone() };
        let mut source = Source::within(block, &own);
        let requests = source.loads.each_ref().map(|load| load.mix.count());
        if requests.iter().sum::<u64>() as f64 <= STRAY * total as f64 {
            return None;
        }
        source.paced = Paced { pace: part_of(whole, requests, total), why: "its part of the whole's".to_owned() };
        source.sync = whole.sync;
        source.cached = None;
        Some(Portion { name: name.to_owned(), source, span_ns: (0, 0), counted_s: None })
    });
    Ok(portions.collect())
}

/// What was done in no phase.
fn unphased(block: &BlockResult) -> Vec<Histogram> {
    let phases = block.phases.iter().flatten();
    let mut counted: Vec<Histogram> = Vec::new();
    for histogram in phases.flat_map(|(_, set)| &set.histograms) {
        match counted.iter_mut().find(|sum| sum.is(&histogram.name, histogram.op.as_deref())) {
            Some(sum) => sum.merge(histogram),
            None => counted.push(histogram.clone()),
        }
    }
    let rest = |h: &Histogram| match counted.iter().find(|sum| sum.is(&h.name, h.op.as_deref())) {
        Some(sum) => h.since(sum),
        None => h.clone(),
    };
    block.histograms.iter().map(rest).collect()
}

/// The whole's pace, as far as a phase has part in it.
fn part_of(whole: &Source, requests: [u64; 2], total: u64) -> Pace {
    let share = requests.iter().sum::<u64>() as f64 / total as f64;
    let own = [0, 1].map(|way| requests[way] as f64 / whole.loads[way].mix.count().max(1) as f64);
    let part = |burst: u64| ((burst as f64 * share).round() as u64).max(1);
    match &whole.paced.pace {
        Pace::Saturated => Pace::Saturated,
        Pace::Rate { per_second, poisson } => {
            Pace::Rate { per_second: [per_second[0] * own[0], per_second[1] * own[1]], poisson: *poisson }
        }
        Pace::Bursts { requests: burst, idle_ns } => Pace::Bursts { requests: part(*burst), idle_ns: *idle_ns },
        Pace::Mixed(bursts) => Pace::Mixed(bursts.part(share, own)),
    }
}

/// Weights that keep the shares of jobs of several loads that run beside each other, where nothing
/// else paces them.
pub fn balance(portions: &mut [Vec<Stream>]) {
    let all = || portions.iter().flatten();
    if all().count() < 2 || all().any(|stream| stream.brake.is_some()) {
        return;
    }
    let counts: Vec<u64> = all().map(Stream::count).collect();
    let weights = weights(&counts);
    for (stream, weight) in portions.iter_mut().flatten().zip(weights) {
        stream.flow = Some(weight.min(MAX_FLOW));
    }
}
