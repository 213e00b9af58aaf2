//! The sizes of a direction as fio jobs: one, or more where rare large sizes would be lost in whole percents.

use super::sizes::{SizeMix, Split};
use super::streams::{Direction, MAX_FLOW, Part};

/// The most jobs that one direction's sizes are cut into.
const MAX_PARTS: usize = 3;
/// The share of a direction's requests that a job of its own may have: what is more is moved little by
/// whole percents, and `flow` between two jobs costs depth.
const RARE: f64 = 0.03;
/// How far the mean size of a direction may be off before rare sizes get a job, relative.
const MEAN_BOUND: f64 = 0.01;
/// How far sizes may be moved on average, relative to the mean size: few sizes must be nearly
/// exact, many may not be.
const DISTANCE_BOUND: (usize, f64, f64) = (10, 0.01, 0.03);

/// One direction as one part, or more where its rare large sizes need their own. Sizes that the device
/// splits may be moved farther: it gets the same pieces.
pub fn cut(direction: Direction, mix: SizeMix, requests: u64, split: bool) -> Vec<Part> {
    let few = mix.sizes().len() <= DISTANCE_BOUND.0 && !split;
    let bound = if few { DISTANCE_BOUND.1 } else { DISTANCE_BOUND.2 };
    let (mean, count) = (mix.mean(), mix.count() as f64);
    let mut mixes = vec![mix];
    while mixes.len() < MAX_PARTS {
        let last = mixes.last().expect("there is always a part");
        let share = last.count() as f64 / count;
        let split = Split::of(last);
        if share * split.distance <= bound * mean && share * (split.mean - last.mean()).abs() <= MEAN_BOUND * mean {
            break;
        }
        let Some((low, high)) = best_cut(last, requests, split.distance) else { break };
        mixes.pop();
        mixes.extend([low, high]);
    }
    mixes.into_iter().map(|mix| Part { direction, split: Split::of(&mix), mix }).collect()
}

/// Where to cut a mix in two so that sizes are moved least; none when no cut that fio's weights
/// can carry improves on `whole`.
fn best_cut(mix: &SizeMix, requests: u64, whole: f64) -> Option<(SizeMix, SizeMix)> {
    let smallest = requests as f64 / f64::from(MAX_FLOW);
    let mut best = (whole, None);
    for index in candidates(mix) {
        let (low, high) = mix.split_at(index);
        let share = high.count() as f64 / mix.count() as f64;
        if (high.count().min(low.count()) as f64) < smallest || share > RARE {
            continue;
        }
        let moved = (1.0 - share) * Split::of(&low).distance + share * Split::of(&high).distance;
        if moved < best.0 {
            best = (moved, Some((low, high)));
        }
    }
    best.1
}

/// The places worth trying as a cut: the 64 widest gaps between sizes, weighted by nothing else,
/// so that a histogram of thousands of sizes stays fast.
fn candidates(mix: &SizeMix) -> Vec<usize> {
    let sizes = mix.sizes();
    let mut indices: Vec<usize> = (1..sizes.len()).collect();
    indices.sort_by_key(|&i| (std::cmp::Reverse(sizes[i].0 - sizes[i - 1].0), i));
    indices.truncate(64);
    indices
}
