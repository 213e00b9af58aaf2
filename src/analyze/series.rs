//! A level over time in a bounded number of points: how full something was, whatever the length of
//! what is read.

use serde::Serialize;

/// Most points of a series; there are at least half as many once there was time for them.
pub const POINTS: usize = 512;

/// The level in one stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Point {
    /// Where the stretch begins, seconds since the start.
    pub at_s: f64,
    /// The highest level in it.
    pub peak: u64,
    /// The level at its end.
    pub end: u64,
}

/// A level as it changes. Stretches of time double in length when there are too many of them.
#[derive(Clone, Debug)]
pub struct Series {
    width_ns: u64,
    /// The peak and the end of each stretch.
    stretches: Vec<(u64, u64)>,
    level: u64,
    peak: u64,
}

impl Default for Series {
    fn default() -> Self {
        Self { width_ns: 1 << 20, stretches: Vec::new(), level: 0, peak: 0 }
    }
}

impl Series {
    /// The level changes. Time that lies before what came last counts as that.
    pub fn set(&mut self, at_ns: u64, level: u64) {
        let stretch = self.stretch(at_ns);
        let before = self.level;
        while self.stretches.len() <= stretch {
            self.stretches.push((before, before));
        }
        let last = self.stretches.len() - 1;
        let entry = &mut self.stretches[last];
        *entry = (entry.0.max(level), level);
        self.level = level;
        self.peak = self.peak.max(level);
    }

    /// The stretch of a moment, once there are few enough.
    fn stretch(&mut self, at_ns: u64) -> usize {
        while at_ns / self.width_ns >= POINTS as u64 {
            self.width_ns *= 2;
            let halves = self.stretches.chunks(2).map(|pair| {
                let end = pair.last().map_or(0, |last| last.1);
                (pair.iter().map(|one| one.0).max().unwrap_or(0), end)
            });
            self.stretches = halves.collect();
        }
        (at_ns / self.width_ns) as usize
    }

    /// The level now.
    pub fn level(&self) -> u64 {
        self.level
    }

    /// The highest level so far.
    pub fn peak(&self) -> u64 {
        self.peak
    }

    /// The points.
    pub fn points(&self) -> Vec<Point> {
        let width_s = self.width_ns as f64 / 1e9;
        let point = |(n, (peak, end)): (usize, &(u64, u64))| Point { at_s: n as f64 * width_s, peak: *peak, end: *end };
        self.stretches.iter().enumerate().map(point).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn peaks_and_ends_are_those_of_all_changes(steps in prop::collection::vec((0u64..1 << 40, 0u64..1000), 1..200)) {
            let mut series = Series::default();
            let mut at_ns = 0;
            let mut levels = Vec::new();
            for (gap, level) in &steps {
                at_ns += gap;
                series.set(at_ns, *level);
                levels.push((at_ns, *level));
            }
            let points = series.points();
            prop_assert!(points.len() <= POINTS);
            prop_assert_eq!(series.peak(), levels.iter().map(|l| l.1).max().unwrap());
            prop_assert_eq!(points.iter().map(|p| p.peak).max(), Some(series.peak()));
            prop_assert_eq!(points.last().map(|p| p.end), Some(series.level()));
            for (n, point) in points.iter().enumerate() {
                let (from, to) = (n as u64 * series.width_ns, (n as u64 + 1) * series.width_ns);
                let within = levels.iter().filter(|l| (from..to).contains(&l.0)).map(|l| l.1);
                let before = levels.iter().rfind(|l| l.0 < from).map_or(0, |l| l.1);
                prop_assert_eq!(point.peak, within.chain([before]).max().unwrap());
                prop_assert_eq!(point.end, levels.iter().rfind(|l| l.0 < to).map_or(0, |l| l.1));
            }
        }
    }
}
