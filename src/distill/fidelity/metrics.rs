//! What a capture is judged by: each metric's figure, how far two captures are apart in it, and
//! the distance that is allowed.

use crate::distill::depth::InFlight;
use crate::distill::pace::{span_ns, squared_variation};
use crate::distill::source::{Source, left_out, sequential};
use crate::distill::streams::Direction;
use crate::measure::{BlockResult, Histogram};

use super::distance::{kolmogorov_smirnov, relative, wasserstein};

/// Sizes up to which a distribution must be nearly exact.
const FEW_SIZES: usize = 10;
/// Requests below which a P99 is a few requests' luck.
const ENOUGH_FOR_P99: u64 = 1000;
/// And below which a median is.
const ENOUGH: u64 = 20;

/// How two captures are compared in a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Difference of percents.
    Points,
    /// Difference over the original.
    Relative,
    /// 1-Wasserstein distance over the original's mean.
    Wasserstein,
    /// Kolmogorov-Smirnov distance.
    Ks,
}

impl Measure {
    /// The word in the card.
    pub fn word(self) -> &'static str {
        match self {
            Self::Points => "points",
            Self::Relative => "relative",
            Self::Wasserstein => "wasserstein",
            Self::Ks => "ks",
        }
    }
}

/// What is read from a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// Reads among the requests, percent.
    ReadShare,
    /// The direction's part of all bytes, percent.
    ByteShare,
    /// Bytes of a request.
    Size,
    /// Requests in flight, from queue to completion, while any was.
    InFlight,
    /// Requests at the device, over the time in which any was there.
    Depth,
    /// Bytes per second.
    Throughput,
    /// A quantile of the time at the device.
    D2c(Quantile),
    /// A quantile of the time from queue to completion.
    Q2c(Quantile),
    /// All times at the device.
    D2cTimes,
    /// All times from queue to completion.
    Q2cTimes,
    /// Requests that begin where the last one of their direction ended, percent.
    Sequential,
    /// Time between the starts of requests.
    Gap,
    /// The squared coefficient of variation of these times.
    Burstiness,
    /// Where on the device requests go, from the lowest place.
    Lba,
}

/// A quantile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantile {
    /// The median.
    P50,
    /// The 99th percentile.
    P99,
}

/// A metric of the card.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    /// Its name.
    pub name: &'static str,
    /// The direction; none for both.
    pub direction: Option<Direction>,
    /// The unit of the figure.
    pub unit: &'static str,
    /// What is read.
    pub figure: Figure,
    /// How it is compared.
    pub measure: Measure,
    /// The distance that is allowed; none for what is shown only.
    pub bound: Option<f64>,
    /// An absolute difference that is allowed whatever the relative one.
    pub slack: f64,
    /// Whether twice the noise floor is allowed where that is more.
    pub noisy: bool,
    /// Whether the runs are put together as one, because the figure is a count of requests and is the
    /// better the more of them there are; else it is the median over the runs.
    pub pooled: bool,
}

impl Definition {
    fn new(name: &'static str, direction: Option<Direction>, unit: &'static str, figure: Figure) -> Self {
        let measure = Measure::Relative;
        Self { name, direction, unit, figure, measure, bound: None, slack: 0.0, noisy: false, pooled: false }
    }

    fn pooled(self) -> Self {
        Self { pooled: true, ..self }
    }

    fn by(self, measure: Measure, bound: f64) -> Self {
        Self { measure, bound: Some(bound), ..self }
    }

    /// The metric's figure of a capture; none when it has none.
    pub fn value(&self, block: &BlockResult) -> Option<f64> {
        match self.figure {
            Figure::ReadShare => share(block, Direction::Read, |h| h.count as f64),
            Figure::ByteShare => share(block, self.direction?, |h| h.sum as f64),
            Figure::Size => self.histogram(block, "size")?.mean(),
            Figure::InFlight => in_flight(block, self.direction),
            Figure::Depth => self.distribution(block)?.mean(),
            Figure::D2cTimes => self.histogram(block, "d2c")?.mean(),
            Figure::Q2cTimes => self.histogram(block, "q2c")?.mean(),
            Figure::Throughput => {
                let bytes = self.histogram(block, "size")?.sum as f64;
                let span_s = span_ns(block).map(|ns| ns / 1e9).or(block.duration_s)?;
                (span_s > 0.0).then(|| bytes / span_s)
            }
            Figure::D2c(quantile) => quantile.of(self.histogram(block, "d2c")?),
            Figure::Q2c(quantile) => quantile.of(self.histogram(block, "q2c")?),
            Figure::Sequential => sequential(block, self.direction?).map(|share| share * 100.0),
            Figure::Gap => self.histogram(block, "gap")?.mean(),
            Figure::Burstiness => self.histogram(block, "gap").and_then(squared_variation),
            Figure::Lba => self.histogram(block, "lba").and_then(from_lowest)?.mean(),
        }
    }

    /// How far two captures are apart; none when either has no such figure.
    pub fn distance(&self, original: &BlockResult, other: &BlockResult) -> Option<f64> {
        let (a, b) = (self.value(original)?, self.value(other)?);
        match self.measure {
            Measure::Points | Measure::Relative => self.apart(a, b),
            Measure::Wasserstein => {
                let (x, y) = (self.distribution(original)?, self.distribution(other)?);
                let scale = if a > 0.0 { a } else { 1.0 };
                Some(wasserstein(&x, &y)? / scale)
            }
            Measure::Ks => self.ks(original, other),
        }
    }

    /// The Kolmogorov-Smirnov distance of two captures' distributions; none where the metric is of a
    /// single figure.
    pub fn ks(&self, original: &BlockResult, other: &BlockResult) -> Option<f64> {
        kolmogorov_smirnov(&self.distribution(original)?, &self.distribution(other)?)
    }

    /// Whether it compares two figures, not two distributions.
    pub fn is_one_figure(&self) -> bool {
        matches!(self.measure, Measure::Points | Measure::Relative)
    }

    /// Whether a capture has such requests, but too few of them for the figure.
    pub fn has_too_few(&self, block: &BlockResult) -> bool {
        let times = match self.figure {
            Figure::D2c(_) => self.histogram(block, "d2c"),
            Figure::Q2c(_) => self.histogram(block, "q2c"),
            _ => None,
        };
        times.is_some() && self.value(block).is_none()
    }

    /// How far two figures are apart.
    pub fn apart(&self, original: f64, other: f64) -> Option<f64> {
        match self.measure {
            Measure::Points => Some((original - other).abs()),
            _ => relative(original, other),
        }
    }

    fn distribution(&self, block: &BlockResult) -> Option<Histogram> {
        match self.figure {
            Figure::Size => self.histogram(block, "size").cloned(),
            Figure::Depth => InFlight::of(block, self.direction?)?.device,
            Figure::D2cTimes => self.histogram(block, "d2c").cloned(),
            Figure::Q2cTimes => self.histogram(block, "q2c").cloned(),
            Figure::Gap => self.histogram(block, "gap").cloned(),
            Figure::Lba => self.histogram(block, "lba").and_then(from_lowest),
            _ => None,
        }
    }

    fn histogram<'a>(&self, block: &'a BlockResult, name: &str) -> Option<&'a Histogram> {
        block.histogram(name, self.direction.map(Direction::word)).filter(|h| h.count > 0)
    }
}

impl Quantile {
    fn of(self, histogram: &Histogram) -> Option<f64> {
        let (q, least) = match self {
            Self::P50 => (0.5, ENOUGH),
            Self::P99 => (0.99, ENOUGH_FOR_P99),
        };
        (histogram.count >= least).then(|| histogram.quantile(q))?
    }
}

/// The card's metrics for a source, in its order. Directions that the source does not have are left
/// out; one of which it has so little that its job has none is shown and not judged.
pub fn definitions(original: &BlockResult) -> Vec<Definition> {
    let mut all =
        vec![Definition::new("read_share", None, "percent", Figure::ReadShare).by(Measure::Points, 1.0).pooled()];
    let stray = left_out(original);
    // A queue has one depth, and how much of it each direction takes is the device's choice.
    let one_queue = Source::of(original).shares_a_queue(original);
    if one_queue {
        all.push(deep(Definition::new("in_flight", None, "ios", Figure::InFlight)));
    }
    for direction in Direction::ALL {
        let sizes = original.histogram("size", Some(direction.word())).filter(|h| h.count > 0);
        let Some(sizes) = sizes else { continue };
        let judged = of_direction(direction, sizes.buckets.len() <= FEW_SIZES);
        let is_shown =
            |definition: &Definition| stray == Some(direction) || (one_queue && definition.figure == Figure::InFlight);
        let shown =
            |definition| if is_shown(&definition) { Definition { bound: None, ..definition } } else { definition };
        all.extend(judged.into_iter().map(shown));
    }
    all
}

fn of_direction(direction: Direction, few_sizes: bool) -> Vec<Definition> {
    let new = |name, unit, figure| Definition::new(name, Some(direction), unit, figure);
    let noisy = |definition: Definition| Definition { noisy: true, ..definition };
    let size_bound = if few_sizes { 0.01 } else { 0.03 };
    vec![
        new("byte_share", "percent", Figure::ByteShare).by(Measure::Relative, 0.02).pooled(),
        new("size", "bytes", Figure::Size).by(Measure::Wasserstein, size_bound).pooled(),
        deep(new("in_flight", "ios", Figure::InFlight)),
        spread(new("depth", "ios", Figure::Depth)),
        noisy(new("throughput", "bytes/s", Figure::Throughput).by(Measure::Relative, 0.10)),
        noisy(new("d2c_p50", "ns", Figure::D2c(Quantile::P50)).by(Measure::Relative, 0.20)),
        noisy(new("d2c_p99", "ns", Figure::D2c(Quantile::P99)).by(Measure::Relative, 0.20)),
        spread(new("d2c", "ns", Figure::D2cTimes)),
        new("q2c_p50", "ns", Figure::Q2c(Quantile::P50)),
        new("q2c_p99", "ns", Figure::Q2c(Quantile::P99)),
        spread(new("q2c", "ns", Figure::Q2cTimes)),
        new("sequential", "percent", Figure::Sequential).by(Measure::Points, 5.0).pooled(),
        Definition { measure: Measure::Ks, ..new("gap", "ns", Figure::Gap) },
        new("burstiness", "ratio", Figure::Burstiness),
        spread(new("lba", "bytes", Figure::Lba)),
    ]
}

/// A number in flight, within a share or one request.
fn deep(definition: Definition) -> Definition {
    Definition { slack: 1.0, ..definition.by(Measure::Relative, 0.15) }
}

/// The mean number in flight, of both directions without one.
fn in_flight(block: &BlockResult, direction: Option<Direction>) -> Option<f64> {
    let of = |direction| InFlight::of(block, direction).map(|in_flight| in_flight.mean);
    match direction {
        Some(direction) => of(direction),
        None => Direction::ALL.into_iter().filter_map(of).reduce(|a, b| a + b),
    }
}

/// A distribution that is shown as a whole.
fn spread(definition: Definition) -> Definition {
    Definition { measure: Measure::Wasserstein, ..definition }
}

fn share(block: &BlockResult, direction: Direction, amount: impl Fn(&Histogram) -> f64) -> Option<f64> {
    let of = |direction: Direction| block.histogram("size", Some(direction.word())).map_or(0.0, &amount);
    let all: f64 = Direction::ALL.into_iter().map(of).sum();
    (all > 0.0).then(|| of(direction) * 100.0 / all)
}

/// Places counted from the lowest one: a file lies elsewhere on another run or another device.
fn from_lowest(lba: &Histogram) -> Option<Histogram> {
    let base = lba.buckets.first()?.0;
    let mut moved = lba.clone();
    moved.buckets.iter_mut().for_each(|bucket| {
        bucket.0 -= base;
        bucket.1 -= base;
    });
    moved.sum -= i128::from(base) * i128::from(lba.count);
    Some(moved)
}
