//! How long a tier takes: a latency plus size over bandwidth, on k channels that share the
//! bandwidth.

use std::fmt;
use std::str::FromStr;

use crate::trace::{Op, Tier};
use crate::units::{SECOND_NS, Size, Time};

/// One tier's service times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TierTiming {
    /// Before the first byte.
    pub latency_ns: u64,
    /// Bytes a second of all channels together, reading.
    pub read_bytes_per_s: u64,
    /// Bytes a second of all channels together, writing.
    pub write_bytes_per_s: u64,
    /// Objects served at a time, each at its share of the bandwidth.
    pub channels: u32,
}

/// The service times of the three tiers, and what they were called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// As typed: `none`, a preset, or values.
    pub name: String,
    /// Fastest first; none takes no time at all.
    pub tiers: Option<[TierTiming; 3]>,
}

const fn tier(latency_ns: u64, read_gb_per_s: f64, write_gb_per_s: f64, channels: u32) -> TierTiming {
    TierTiming {
        latency_ns,
        read_bytes_per_s: (read_gb_per_s * 1e9) as u64,
        write_bytes_per_s: (write_gb_per_s * 1e9) as u64,
        channels,
    }
}

/// HBM3 of an H100 SXM (3.35 TB/s by its data sheet).
const HBM3: TierTiming = tier(1_000, 3350.0, 3350.0, 8);
/// Host memory behind PCIe 4.0 x16 (16 GT/s x 16 lanes, 128b/130b).
const DRAM_PCIE4: TierTiming = tier(2_000, 31.5, 31.5, 4);
/// Host memory behind PCIe 5.0 x16.
const DRAM_PCIE5: TierTiming = tier(2_000, 63.0, 63.0, 4);
/// A data-centre NVMe drive on PCIe 4.0 x4 (the link's limit is 7.9 GB/s).
const NVME_GEN4: TierTiming = tier(80_000, 7.0, 5.0, 4);
/// A data-centre NVMe drive on PCIe 5.0 x4 (the link's limit is 15.8 GB/s).
const NVME_GEN5: TierTiming = tier(60_000, 14.0, 10.0, 4);
/// A SATA 3 drive (6 Gbit/s, 8b/10b).
const SATA: TierTiming = tier(100_000, 0.55, 0.52, 1);

const PRESETS: [(&str, [TierTiming; 3]); 3] = [
    ("nvme-gen4", [HBM3, DRAM_PCIE4, NVME_GEN4]),
    ("nvme-gen5", [HBM3, DRAM_PCIE5, NVME_GEN5]),
    ("sata", [HBM3, DRAM_PCIE4, SATA]),
];

/// The preset that values are put over, and the default of the command line.
const DEFAULT_PRESET: &str = "nvme-gen5";

impl Default for Timing {
    fn default() -> Self {
        Self { name: DEFAULT_PRESET.to_owned(), tiers: preset(DEFAULT_PRESET) }
    }
}

impl FromStr for Timing {
    type Err = String;

    /// Takes `none`, a preset, or a list of a preset and of values such as
    /// `2=7GB/s:5GB/s+80us*4`: tier 2 reads 7 GB/s, writes 5 GB/s, after 80 us, four at a time.
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self { name: text.to_owned(), tiers: None });
        }
        let mut tiers = preset(DEFAULT_PRESET).expect("the default is a preset");
        for (number, part) in text.split(',').enumerate() {
            match (part.split_once('='), preset(part)) {
                (Some((index, values)), _) => {
                    let place = index.parse::<u8>().ok().and_then(|index| Tier::try_from(index).ok());
                    let place = place.ok_or(format!("`{index}` is not a tier; it is 0, 1 or 2"))?;
                    tiers[place.index()] = values.parse()?;
                }
                (None, Some(preset)) if number == 0 => tiers = preset,
                _ => return Err(format!("`{part}` is not a tier timing; {}", grammar())),
            }
        }
        Ok(Self { name: text.to_owned(), tiers: Some(tiers) })
    }
}

impl FromStr for TierTiming {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: String| format!("`{text}`: {why}; {}", grammar());
        let (rates, rest) = text.split_once('+').ok_or_else(|| wrong("no `+latency`".to_owned()))?;
        let (latency, channels) = rest.split_once('*').unwrap_or((rest, "1"));
        let (read, write) = rates.split_once(':').unwrap_or((rates, rates));
        let rate = |word: &str| match word.strip_suffix("/s").unwrap_or(word).parse::<Size>() {
            Ok(Size(0)) => Err(wrong("a rate is above 0".to_owned())),
            Ok(Size(bytes)) => Ok(bytes),
            Err(why) => Err(wrong(why)),
        };
        let channels = channels.parse::<u32>().ok().filter(|n| (1..=1024).contains(n));
        Ok(Self {
            latency_ns: latency.parse::<Time>().map_err(wrong)?.0,
            read_bytes_per_s: rate(read)?,
            write_bytes_per_s: rate(write)?,
            channels: channels.ok_or_else(|| wrong("channels are 1 to 1024".to_owned()))?,
        })
    }
}

impl fmt::Display for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

fn preset(name: &str) -> Option<[TierTiming; 3]> {
    PRESETS.iter().find(|(known, _)| *known == name).map(|(_, tiers)| *tiers)
}

fn grammar() -> String {
    let names: Vec<_> = PRESETS.iter().map(|(name, _)| *name).collect();
    format!("give none, {} or values as in 2=7GB/s:5GB/s+80us*4", names.join(", "))
}

/// When the channels of the tiers are free.
#[derive(Debug)]
pub struct Channels {
    tiers: Option<[TierTiming; 3]>,
    free_at_ns: [Vec<u64>; 3],
}

impl Channels {
    /// All channels free.
    pub fn new(timing: &Timing) -> Self {
        let free = |index: usize| vec![0; timing.tiers.map_or(0, |tiers| tiers[index].channels as usize)];
        Self { tiers: timing.tiers, free_at_ns: [free(0), free(1), free(2)] }
    }

    /// Asks a tier at `at_ns` and says when it is done: the channel that is free first serves.
    pub fn ask(&mut self, tier: Tier, op: Op, size_bytes: u64, at_ns: u64) -> u64 {
        let Some(tiers) = &self.tiers else { return at_ns };
        let timing = &tiers[tier.index()];
        let rate = if op == Op::Read { timing.read_bytes_per_s } else { timing.write_bytes_per_s };
        let bytes_of_all_channels = u128::from(size_bytes) * u128::from(timing.channels);
        let transfer_ns = bytes_of_all_channels * u128::from(SECOND_NS) / u128::from(rate);
        let free = self.free_at_ns[tier.index()].iter_mut().min().expect("a tier has a channel");
        let service_ns = timing.latency_ns.saturating_add(u64::try_from(transfer_ns).unwrap_or(u64::MAX));
        *free = at_ns.max(*free).saturating_add(service_ns);
        *free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timings_as_people_write_them() {
        assert_eq!("none".parse::<Timing>().unwrap().tiers, None);
        let timing: Timing = "nvme-gen4,2=1GB/s:500MB/s+1ms*2".parse().unwrap();
        let tiers = timing.tiers.unwrap();
        assert_eq!(tiers[1], DRAM_PCIE4);
        let expected = TierTiming {
            latency_ns: 1_000_000,
            read_bytes_per_s: 1_000_000_000,
            write_bytes_per_s: 500_000_000,
            channels: 2,
        };
        assert_eq!(tiers[2], expected);
        for wrong in ["", "fast", "3=1GB/s+1us", "2=1GB/s", "2=0GB/s+1us", "2=1GB/s+1us*0", "2=1GB/s+1", "none,sata"] {
            assert!(wrong.parse::<Timing>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn objects_wait_for_a_channel() {
        let timing: Timing = "2=2GB/s:1GB/s+10us*2".parse().unwrap();
        let mut channels = Channels::new(&timing);
        // Two channels of 1 GB/s each: 1 MB takes 1 ms and the latency.
        let done: Vec<u64> = (0..3).map(|_| channels.ask(Tier::Storage, Op::Read, 1_000_000, 0)).collect();
        assert_eq!(done, [1_010_000, 1_010_000, 2_020_000]);
        assert_eq!(channels.ask(Tier::Storage, Op::Write, 1_000_000, 5_000_000), 7_010_000);
    }

    #[test]
    fn no_timing_takes_no_time() {
        let mut channels = Channels::new(&"none".parse().unwrap());
        assert_eq!(channels.ask(Tier::Gpu, Op::Read, u64::MAX, 7), 7);
    }
}
