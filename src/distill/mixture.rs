//! What was in flight over time, as a mixture of bursts.
//!
//! A burst that is asked for at once and served one after the other has each number up to its own in
//! flight for as long, and one that keeps a queue full has that of the queue for most of its time. Any
//! distribution that falls is a mixture of the former alone (Khinchine 1938). Weights that fit are found by
//! expectation and maximisation (Dempster, Laird, Rubin 1977).

use crate::measure::Histogram;

/// How many times its depth the requests are of a burst that keeps a queue full.
const KEPT: u64 = 4;
/// From one depth that is tried to the next.
const STEP: f64 = 1.15;
/// The part of the time beyond whose depth none is tried.
const MOST: f64 = 0.995;
/// How near fewer bursts have to be, for more not to be tried.
const NEAR: f64 = 0.08;
/// The part of the time that is compared on its own.
const DEEP: f64 = 0.99;
/// As many bursts at most, each a job of its own.
const BURSTS: usize = 3;
/// How many times as far a better fit is at most.
const BETTER: f64 = 0.999;
/// Rounds of expectation and maximisation.
const ROUNDS: usize = 60;

/// A kind of burst.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kind {
    /// The most in flight at once.
    pub depth: u32,
    length: u64,
}

impl Kind {
    /// Its requests.
    pub fn requests(self) -> u64 {
        u64::from(self.depth) * self.length
    }

    /// The part of its time with no more than so many in flight: until its depth is left, a burst keeps it.
    fn up_to(self, number: u32) -> f64 {
        if number >= self.depth {
            return 1.0;
        }
        f64::from(number) / self.requests() as f64
    }
}

/// What was in flight, and for how much of the time, between one depth that is tried and the next.
pub struct Cells {
    /// The highest number of each.
    edges: Vec<u32>,
    /// Its part of the time with any in flight.
    time: Vec<f64>,
}

impl Cells {
    /// None where nothing was in flight.
    pub fn of(depths: &Histogram) -> Option<Self> {
        let busy = || depths.buckets.iter().filter(|bucket| bucket.0 > 0);
        let all = busy().map(|bucket| bucket.2).sum::<u64>() as f64;
        let mut time = 0.0;
        let most = busy().find(|bucket| {
            time += bucket.2 as f64;
            time >= MOST * all
        })?;
        let most = u32::try_from(most.1 - 1).ok()?;
        let mut edges: Vec<u32> = Vec::new();
        let mut edge = 1.0f64;
        while edges.last().is_none_or(|last| *last < most) {
            edges.push(edge.round() as u32);
            edges.dedup();
            edge *= STEP;
        }
        let mut time = vec![0.0; edges.len()];
        for &(low, high, ns) in busy() {
            let middle = ((low + high - 1) / 2) as u32;
            let at = edges.partition_point(|edge| *edge < middle).min(edges.len() - 1);
            time[at] += ns as f64 / all;
        }
        Some(Self { edges, time })
    }

    /// The mean in flight while any was.
    pub fn mean(&self) -> f64 {
        let mut below = 0;
        let cells = self.edges.iter().zip(&self.time).map(|(edge, time)| {
            let middle = f64::from(below + 1 + edge) / 2.0;
            below = *edge;
            middle * time
        });
        cells.sum()
    }

    /// The fewest bursts that are near, or the nearest, and how far they are: of all that are asked for at once,
    /// and then any is exchanged for a nearer one of either kind as long as there is one.
    pub fn fit(&self) -> (Vec<(Kind, f64)>, f64) {
        let kinds = |length: u64| self.edges.iter().map(move |depth| Kind { depth: *depth, length });
        let at_once: Vec<Kind> = kinds(1).collect();
        let all: Vec<Kind> = kinds(1).chain(kinds(KEPT).filter(|kind| kind.depth > 1)).collect();
        let with = |chosen: Vec<Kind>| (self.distance(&chosen, &self.weights(&chosen)), chosen);
        let nearest = |a: &(f64, Vec<Kind>), b: &(f64, Vec<Kind>)| a.0.total_cmp(&b.0);
        let mut best = (f64::INFINITY, Vec::new());
        for many in 1..=BURSTS {
            let chosen = combinations(&at_once, many).into_iter().map(with).min_by(nearest);
            let Some(mut chosen) = chosen else { break };
            let exchanged = |chosen: &[Kind]| {
                let one = |at: usize| {
                    let other = move |kind: &Kind| [&chosen[..at], &[*kind], &chosen[at + 1..]].concat();
                    all.iter().map(other)
                };
                (0..chosen.len()).flat_map(one).map(with).min_by(nearest)
            };
            while let Some(nearer) = exchanged(&chosen.1).filter(|nearer| nearer.0 < chosen.0 * BETTER) {
                chosen = nearer;
            }
            if chosen.0 < best.0 {
                best = chosen;
            }
            if best.0 <= NEAR {
                break;
            }
        }
        best.1.sort_by_key(|kind| kind.requests());
        let weights = self.weights(&best.1);
        (best.1.into_iter().zip(weights).collect(), best.0)
    }

    /// A kind's part of its time in a cell.
    fn within(&self, kind: Kind, cell: usize) -> f64 {
        let below = if cell == 0 { 0.0 } else { kind.up_to(self.edges[cell - 1]) };
        kind.up_to(self.edges[cell]) - below
    }

    /// The kinds' parts of the time that make what was in flight likeliest.
    fn weights(&self, kinds: &[Kind]) -> Vec<f64> {
        let mut weights = vec![1.0 / kinds.len() as f64; kinds.len()];
        let parts: Vec<Vec<f64>> =
            (0..self.edges.len()).map(|cell| kinds.iter().map(|kind| self.within(*kind, cell)).collect()).collect();
        for _ in 0..ROUNDS {
            let mut next = vec![0.0; kinds.len()];
            for (time, parts) in self.time.iter().zip(&parts) {
                let all: f64 = weights.iter().zip(parts).map(|(weight, part)| weight * part).sum();
                if all > 0.0 {
                    let own = weights.iter().zip(parts).map(|(weight, part)| time * weight * part / all);
                    next.iter_mut().zip(own).for_each(|(next, own)| *next += own);
                }
            }
            let all: f64 = next.iter().sum();
            weights = next.into_iter().map(|weight| weight / all.max(f64::MIN_POSITIVE)).collect();
        }
        weights
    }

    /// The 1-Wasserstein distance over the mean, and how far the depth of 99 % of the time is, relative: what waits
    /// longest waits there.
    fn distance(&self, kinds: &[Kind], weights: &[f64]) -> f64 {
        let (mut below, mut own, mut distance) = (0, 0.0, 0.0);
        let mut most = [None; 2];
        for (edge, time) in self.edges.iter().zip(&self.time) {
            let before = [own, made(kinds, weights, below)];
            own += time;
            let after = [own, made(kinds, weights, *edge)];
            distance += (after[0] - after[1]).abs() * f64::from(edge - below);
            for (most, (before, after)) in most.iter_mut().zip(before.into_iter().zip(after)) {
                if most.is_none() && after >= DEEP {
                    let inside = (DEEP - before) / (after - before).max(f64::MIN_POSITIVE);
                    *most = Some(f64::from(below) + inside * f64::from(edge - below));
                }
            }
            below = *edge;
        }
        let most = most.map(|most| most.unwrap_or(f64::from(below)));
        distance / self.mean() + (most[1] / most[0] - 1.0).abs()
    }
}

/// The part of the time with no more than so many in flight.
fn made(kinds: &[Kind], weights: &[f64], number: u32) -> f64 {
    kinds.iter().zip(weights).map(|(kind, weight)| weight * kind.up_to(number)).sum()
}

/// So many of them, in their order.
fn combinations(all: &[Kind], many: usize) -> Vec<Vec<Kind>> {
    if many == 0 {
        return vec![Vec::new()];
    }
    let with = |(at, first): (usize, &Kind)| -> Vec<Vec<Kind>> {
        combinations(&all[at + 1..], many - 1).into_iter().map(|rest| [vec![*first], rest].concat()).collect()
    };
    all.iter().enumerate().flat_map(with).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::measure::LogLinear;

    /// Parts of the time with 1, 2, 3… in flight.
    fn fit(time: &[u64]) -> (Vec<(u32, u64, f64)>, f64) {
        let mut counter = LogLinear::new(5);
        time.iter().zip(1..).for_each(|(ns, depth)| counter.record_many(depth, *ns));
        let (bursts, distance) = Cells::of(&counter.save("inflight_time", None, "ios")).unwrap().fit();
        (
            bursts.into_iter().map(|(kind, share)| (kind.depth, kind.requests(), (share * 100.0).round())).collect(),
            distance,
        )
    }

    #[test]
    fn bursts_that_drain_are_found_as_they_were() {
        // Sixteen at once have each number in flight for as long; three sorts of them lie on one another.
        assert_eq!(fit(&[100; 16]), (vec![(16, 16, 100.0)], 0.0));
        let sorts =
            |depth: u64| [(2, 10), (8, 50), (28, 40)].iter().filter(|s| depth <= s.0).map(|s| s.1 * 560 / s.0).sum();
        let (bursts, distance) = fit(&(1..=28).map(sorts).collect::<Vec<u64>>());
        assert!(distance < 0.08 && bursts.len() <= 3, "{bursts:?} {distance}");
        let mean: f64 = bursts.iter().map(|(depth, _, share)| share / 100.0 * f64::from(depth + 1) / 2.0).sum();
        assert!(
            (mean - 8.2).abs() < 0.5 && bursts.last().is_some_and(|last| (28..=30).contains(&last.0)),
            "{bursts:?}"
        );
    }

    #[test]
    fn a_burst_that_keeps_a_queue_has_its_depth() {
        let (bursts, distance) = fit(&[10, 10, 10, 10, 10, 10, 10, 250]);
        assert!(matches!(bursts[..], [(8, 32, _)]) && distance < 0.05, "{bursts:?} {distance}");
    }

    #[test]
    fn a_replay_is_like_three_bursts() {
        // Writes of a ShareGPT replay with two tiers of memory above.
        let writes = [
            171, 128, 110, 97, 89, 99, 90, 52, 24, 25, 14, 18, 12, 11, 6, 10, 5, 4, 2, 2, 2, 1, 1, 2, 2, 2, 3, 3, 4, 2,
            3, 1, 1, 3, 0, 0, 0, 1, 1,
        ];
        let (bursts, distance) = fit(&writes);
        assert_eq!(bursts.iter().map(|burst| burst.0).collect::<Vec<_>>(), [7, 14, 33]);
        assert!(distance < 0.15, "{distance}");
    }

    proptest! {
        #[test]
        fn shares_make_a_whole(time in prop::collection::vec(0u64..1000, 1..80)) {
            prop_assume!(time.iter().sum::<u64>() > 0);
            let (bursts, _) = fit(&time);
            let all: f64 = bursts.iter().map(|burst| burst.2).sum();
            prop_assert!((all - 100.0).abs() <= 1.5 && bursts.len() <= 3, "{:?}", bursts);
            prop_assert!(bursts.iter().all(|burst| u64::from(burst.0) <= burst.1));
        }
    }
}
