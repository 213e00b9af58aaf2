//! How long drives last: host writes by the day, drive writes per day, and years until the rated
//! total is written.

mod recency;
pub mod writes;

use serde::{Deserialize, Serialize};

use crate::units;

/// Seconds of a day.
const DAY_S: f64 = 86_400.0;
/// Days of a year, as drives are rated.
pub const YEAR_DAYS: f64 = 365.0;
/// What is less than this is said to be little to extrapolate from, s.
const SHORT_S: f64 = 3600.0;

/// The time over which a load was seen, and how much more of it is expected.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// From the first arrival to the last, s.
    pub span_s: f64,
    /// So many times the load.
    pub rate_scale: f64,
}

impl Load {
    /// An amount of the span, of a day; none when nothing says how long the load took.
    pub fn per_day(&self, amount: f64) -> Option<f64> {
        (self.span_s > 0.0).then(|| amount * (DAY_S / self.span_s) * self.rate_scale)
    }

    /// From what a day is extrapolated, in words.
    pub fn words(&self) -> String {
        if self.span_s <= 0.0 {
            return "no day is extrapolated: all requests arrive at one moment".to_owned();
        }
        let span = units::ns(self.span_s * 1e9);
        let scale = match self.rate_scale {
            1.0 => String::new(),
            scale => format!(" and {scale} times the load"),
        };
        let short = if self.span_s < SHORT_S { ", LESS THAN AN HOUR: no daily rhythm is in it" } else { "" };
        format!("a day is extrapolated from {span} (times {:.1}){scale}{short}", DAY_S / self.span_s)
    }
}

/// The drives that share the writes evenly.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drives {
    /// How many.
    pub count: u32,
    /// Bytes of one.
    pub capacity_bytes: Option<u64>,
    /// Host bytes that one is rated for over its life (JESD218: terabytes written by the host under
    /// the workload of JESD219).
    pub tbw_bytes: Option<u64>,
    /// Media writes for each host write, as a multiple of those of the rating's workload.
    pub waf: f64,
}

/// What a load does to drives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Wear {
    /// Bytes that the host writes to all drives in a day.
    pub host_writes_per_day_bytes: Option<f64>,
    /// Host writes of a day over the capacity of all drives (JESD218, SNIA).
    pub dwpd: Option<f64>,
    /// Until the rated writes of all drives are used up; none without a rating, or without writes.
    pub years: Option<f64>,
}

impl Drives {
    /// What writes of a span do, in bytes: `DWPD = per day / (drives x capacity)`,
    /// `years = drives x TBW / (per day x WAF x 365)`.
    pub fn wear(&self, host_writes_bytes: f64, load: &Load) -> Wear {
        let per_day = load.per_day(host_writes_bytes);
        let drives = f64::from(self.count);
        let over = |total: Option<u64>, by: Option<f64>| Some(total? as f64 * drives / by.filter(|by| *by > 0.0)?);
        let capacity = self.capacity_bytes.map(|bytes| bytes as f64 * drives);
        Wear {
            host_writes_per_day_bytes: per_day,
            dwpd: capacity.filter(|bytes| *bytes > 0.0).zip(per_day).map(|(bytes, per_day)| per_day / bytes),
            years: over(self.tbw_bytes, per_day.map(|per_day| per_day * self.waf * YEAR_DAYS)),
        }
    }

    /// What is assumed of them, in words.
    pub fn words(&self) -> String {
        let each = self.capacity_bytes.map_or(String::new(), |bytes| format!(" of {}", decimal(bytes as f64)));
        let rated = match self.tbw_bytes {
            Some(bytes) => format!(", each rated for {} of host writes", decimal(bytes as f64)),
            None => ", rating not given (--tbw)".to_owned(),
        };
        format!(
            "{}{each}{rated}, worn evenly; write amplification {} times that of the rating's workload (--waf)",
            units::plural(self.count.into(), "drive"),
            self.waf
        )
    }
}

/// Bytes as drives are sold, in powers of 1000: `7.68 TB`.
pub fn decimal(bytes: f64) -> String {
    let steps = [("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)];
    match steps.iter().find(|(_, scale)| bytes >= *scale) {
        Some((unit, scale)) => format!("{} {unit}", units::three_digits(bytes / scale)),
        None => format!("{bytes:.0} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rating_that_is_used_up_evenly() {
        let drives = Drives { count: 2, capacity_bytes: Some(1000), tbw_bytes: Some(730_000), waf: 2.0 };
        let load = Load { span_s: 43_200.0, rate_scale: 3.0 };
        let wear = drives.wear(500.0, &load);
        // 500 in half a day, three times as much: 3000 a day on 2000; 1460000 / (3000 x 2 x 365).
        assert_eq!(wear.host_writes_per_day_bytes, Some(3000.0));
        assert_eq!(wear.dwpd, Some(1.5));
        assert!((wear.years.unwrap() - 1_460_000.0 / 2_190_000.0).abs() < 1e-12);
        assert!(!load.words().contains("LESS"));
        assert!(Load { span_s: 3599.0, rate_scale: 1.0 }.words().contains("LESS THAN AN HOUR"));
    }

    #[test]
    fn nothing_is_made_up() {
        let drives = Drives { count: 1, capacity_bytes: None, tbw_bytes: Some(10), waf: 1.0 };
        assert_eq!(drives.wear(5.0, &Load { span_s: 0.0, rate_scale: 1.0 }), Wear::default());
        let none = drives.wear(0.0, &Load { span_s: 1.0, rate_scale: 1.0 });
        assert_eq!((none.host_writes_per_day_bytes, none.dwpd, none.years), (Some(0.0), None, None));
    }
}
