//! What preconditioning a device or a slab showed.

use serde::{Deserialize, Serialize};

/// A device or slab that was overwritten before the run; none of it is in the run's figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Preconditioned {
    /// The tier that it belongs to.
    pub tier: u8,
    /// The file or device.
    pub target: String,
    /// Its size.
    pub size_bytes: u64,
    /// Bytes that were written, in I/Os of the run's size and in random order.
    pub bytes: u64,
    /// How long that took, with the fdatasync at the end of each pass.
    pub seconds: f64,
    /// Each time that it was written all over; the last may be a part.
    pub passes: Vec<Pass>,
    /// Whether it still changed at the end; none when too little was written to tell.
    pub steady: Option<Steady>,
}

/// One time all over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pass {
    /// Bytes.
    pub bytes: u64,
    /// How long.
    pub seconds: f64,
    /// In units of 1e9 bytes.
    pub gb_per_s: f64,
}

/// The rates of the last windows, judged as the SNIA Solid State Storage Performance Test
/// Specification judges its rounds: five of them, whose range is at most 20 % of their mean and
/// whose fitted line rises or falls by at most 10 % of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Steady {
    /// Bytes of one window.
    pub window_bytes: u64,
    /// The rates of the last windows, in units of 1e9 bytes per second.
    pub gb_per_s: Vec<f64>,
    /// Their mean.
    pub mean_gb_per_s: f64,
    /// The largest less the smallest, as a share of the mean.
    pub range_share: f64,
    /// What the line of least squares rises (or falls, below 0) from the first to the last, as a
    /// share of the mean.
    pub slope_share: f64,
    /// Whether both are within the bounds.
    pub steady: bool,
}

/// Windows that are judged.
const WINDOWS: usize = 5;
const MOST_RANGE: f64 = 0.20;
const MOST_SLOPE: f64 = 0.10;

impl Steady {
    /// Judges the last five of some rates; none when there are fewer.
    pub fn of(window_bytes: u64, rates: &[f64]) -> Option<Self> {
        let last = &rates[rates.len().checked_sub(WINDOWS)?..];
        let mean = last.iter().sum::<f64>() / WINDOWS as f64;
        if mean <= 0.0 {
            return None;
        }
        let middle = (WINDOWS - 1) as f64 / 2.0;
        let (rise, run) = last.iter().enumerate().fold((0.0, 0.0), |(rise, run), (i, rate)| {
            let x = i as f64 - middle;
            (rise + x * (rate - mean), run + x * x)
        });
        let (low, high) = last.iter().fold((f64::MAX, f64::MIN), |(low, high), rate| (low.min(*rate), high.max(*rate)));
        let slope_share = rise / run * (WINDOWS - 1) as f64 / mean;
        let range_share = (high - low) / mean;
        Some(Self {
            window_bytes,
            gb_per_s: last.to_vec(),
            mean_gb_per_s: mean,
            range_share,
            slope_share,
            steady: range_share <= MOST_RANGE && slope_share.abs() <= MOST_SLOPE,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_steady_when_its_last_windows_are() {
        assert_eq!(Steady::of(1, &[1.0; 4]), None);
        let steady = Steady::of(1, &[9.0, 3.0, 1.0, 1.05, 0.95, 1.0, 1.0]).unwrap();
        assert!(steady.steady && (steady.mean_gb_per_s - 1.0).abs() < 1e-9, "{steady:?}");
        let falling = Steady::of(1, &[1.1, 1.05, 1.0, 0.95, 0.9]).unwrap();
        assert!(!falling.steady && (falling.slope_share + 0.2).abs() < 1e-9, "{falling:?}");
        let restless = Steady::of(1, &[1.0, 1.2, 0.9, 1.2, 1.0]).unwrap();
        assert!(!restless.steady && restless.slope_share.abs() < 0.1, "{restless:?}");
    }
}
