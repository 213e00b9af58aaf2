//! What is said of each tier in one flag: its policy, its watermarks.

use std::fmt;
use std::str::FromStr;

use crate::cache::{PolicyKind, Watermarks};
use crate::error::{Error, Result};

/// A policy for all tiers, or one for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policies(pub [PolicyKind; 3]);

impl FromStr for Policies {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let kinds = text.split(',').map(str::parse).collect::<Result<Vec<PolicyKind>>>()?;
        match kinds[..] {
            [one] => Ok(Self([one; 3])),
            [gpu, dram, storage] => Ok(Self([gpu, dram, storage])),
            _ => Err(Error::usage("give one policy, or three: of Tier-0, Tier-1 and Tier-2")),
        }
    }
}

impl fmt::Display for Policies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [gpu, dram, storage] = self.0.map(PolicyKind::word);
        if gpu == dram && dram == storage { f.write_str(gpu) } else { write!(f, "{gpu},{dram},{storage}") }
    }
}

/// The watermarks of the tiers that were given some.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TierMarks {
    /// By tier, fastest first.
    pub marks: [Option<Watermarks>; 3],
    /// They were given for all tiers at once.
    pub common: bool,
}

impl FromStr for TierMarks {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if !text.contains('=') {
            return Ok(Self { marks: [Some(watermarks(text)?); 3], common: true });
        }
        let mut all = Self::default();
        for part in text.split(',') {
            let (tier, marks) = part.split_once('=').ok_or_else(|| wrong(part))?;
            let tier: usize = tier.parse().ok().filter(|tier| *tier < 3).ok_or_else(|| wrong(part))?;
            if all.marks[tier].replace(watermarks(marks)?).is_some() {
                return Err(Error::usage(format!("Tier-{tier} is given watermarks twice")));
            }
        }
        Ok(all)
    }
}

fn watermarks(text: &str) -> Result<Watermarks> {
    let (high, low) = text.split_once(':').unwrap_or((text, text));
    let share = |word: &str| word.parse::<f64>().map_err(|_| wrong(text));
    let (high, low) = (share(high)?, share(low)?);
    let sensible = 0.0 < low && low <= high && high <= 1.0;
    if sensible { Ok(Watermarks { high, low }) } else { Err(wrong(text)) }
}

fn wrong(text: &str) -> Error {
    Error::usage(format!("{text:?}: give HIGH:LOW with 0 < LOW <= HIGH <= 1, or 0=HIGH:LOW,1=… for single tiers"))
}

impl fmt::Display for TierMarks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let given = self.marks.iter().enumerate().filter_map(|(tier, marks)| marks.map(|marks| (tier, marks)));
        let words: Vec<String> = given.map(|(tier, marks)| format!("{tier}={}:{}", marks.high, marks.low)).collect();
        f.write_str(&words.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_as_people_write_them() {
        let one: Policies = "sieve".parse().unwrap();
        assert_eq!((one.0, one.to_string()), ([PolicyKind::Sieve; 3], "sieve".to_owned()));
        let three: Policies = "lru,lru,s3-fifo".parse().unwrap();
        assert_eq!((three.0[2], three.to_string()), (PolicyKind::S3Fifo, "lru,lru,s3-fifo".to_owned()));
        for wrong in ["", "mru", "lru,lru", "lru,lru,lru,lru", "LRU"] {
            assert!(wrong.parse::<Policies>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn watermarks_as_people_write_them() {
        let marks = |text: &str| text.parse::<TierMarks>().unwrap();
        assert_eq!(marks("0.9:0.7").to_string(), "0=0.9:0.7,1=0.9:0.7,2=0.9:0.7");
        assert_eq!(marks("1=0.9").to_string(), "1=0.9:0.9");
        assert_eq!(marks("2=1:0.5,0=0.8:0.6").to_string(), "0=0.8:0.6,2=1:0.5");
        for wrong in ["", "0.5:0.6", "1.1", "0", "-1", "NaN", "3=0.5", "0=0.5,0=0.4", "0=0.5,0.4", "0=a", "0.5:0"] {
            assert!(wrong.parse::<TierMarks>().is_err(), "{wrong}");
        }
    }
}
