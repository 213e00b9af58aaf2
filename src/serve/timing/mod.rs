//! How long a tier takes: a latency plus size over bandwidth, on k channels that share the
//! bandwidth, and perhaps a network before it.

use std::fmt;
use std::str::FromStr;

use crate::trace::Tier;
use crate::units::{Size, Time};

mod channels;
mod presets;

pub use channels::Channels;

use presets::{MACHINES, NETWORKS, TIERS, find, names};

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
    /// What every byte to and from the tier passes besides.
    pub network: Option<NetworkLeg>,
}

/// A network before a tier: it moves bytes while the tier does, one object after the other in
/// each direction, and adds a latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkLeg {
    /// What it adds to every access.
    pub latency_ns: u64,
    /// Bytes a second in each direction.
    pub bytes_per_s: u64,
}

/// The service times of the three tiers, and what they were called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// As typed: `none`, a preset, or values.
    pub name: String,
    /// Fastest first; none takes no time at all.
    pub tiers: Option<[TierTiming; 3]>,
}

/// The preset that values are put over, and the default of the command line.
const DEFAULT_PRESET: &str = "nvme-gen5";

impl Default for Timing {
    fn default() -> Self {
        Self { name: DEFAULT_PRESET.to_owned(), tiers: find(&MACHINES, DEFAULT_PRESET) }
    }
}

impl FromStr for Timing {
    type Err = String;

    /// Takes `none`, a machine, or a list of a machine and of tiers such as `2=nvme-gen4` or
    /// `2=7GB/s:5GB/s+80us*4` (tier 2 reads 7 GB/s, writes 5 GB/s, after 80 us, four at a time),
    /// each perhaps behind a network: `@100gbe` or `@net:12.5GB/s+10us`.
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self { name: text.to_owned(), tiers: None });
        }
        let mut tiers = find(&MACHINES, DEFAULT_PRESET).expect("the default is a preset");
        for (number, part) in text.split(',').enumerate() {
            match (part.split_once('='), find(&MACHINES, part)) {
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
        let (own, network) = text.split_once('@').map_or((text, None), |(own, network)| (own, Some(network)));
        let timing = match find(&TIERS, own) {
            Some(timing) => timing,
            None => values(own)?,
        };
        Ok(Self { network: network.map(str::parse).transpose()?, ..timing })
    }
}

impl FromStr for NetworkLeg {
    type Err = String;

    /// Takes a name (`100gbe`), or `net:` with a rate and a latency (`net:12.5GB/s+10us`).
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(leg) = find(&NETWORKS, text) {
            return Ok(leg);
        }
        let wrong = |why: String| {
            format!("`@{text}`: {why}; a network is {} or net:RATE+LATENCY as in @net:12.5GB/s+10us", names(&NETWORKS))
        };
        let values = text.strip_prefix("net:").ok_or_else(|| wrong("no such network".to_owned()))?;
        let (bytes, latency) = values.split_once('+').ok_or_else(|| wrong("no `+latency`".to_owned()))?;
        Ok(Self { latency_ns: latency.parse::<Time>().map_err(wrong)?.0, bytes_per_s: rate(bytes).map_err(wrong)? })
    }
}

/// A rate in bytes a second, above 0: `7GB/s`.
///
/// # Errors
/// What it is not, in words.
pub fn rate(text: &str) -> Result<u64, String> {
    match text.strip_suffix("/s").unwrap_or(text).parse::<Size>()? {
        Size(0) => Err("a rate is above 0".to_owned()),
        Size(bytes) => Ok(bytes),
    }
}

/// `read:write+latency*channels`, of which the write rate and the channels may be left out.
fn values(text: &str) -> Result<TierTiming, String> {
    let wrong = |why: String| format!("`{text}`: {why}; {}", grammar());
    let (rates, rest) = text.split_once('+').ok_or_else(|| wrong("no such tier, and no `+latency`".to_owned()))?;
    let (latency, channels) = rest.split_once('*').unwrap_or((rest, "1"));
    let (read, write) = rates.split_once(':').unwrap_or((rates, rates));
    let channels = channels.parse::<u32>().ok().filter(|n| (1..=1024).contains(n));
    Ok(TierTiming {
        latency_ns: latency.parse::<Time>().map_err(wrong)?.0,
        read_bytes_per_s: rate(read).map_err(wrong)?,
        write_bytes_per_s: rate(write).map_err(wrong)?,
        channels: channels.ok_or_else(|| wrong("channels are 1 to 1024".to_owned()))?,
        network: None,
    })
}

impl fmt::Display for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

fn grammar() -> String {
    format!(
        "give none, a machine ({}), or TIER=WHAT as in 1=ddr5, 2=nfs, 2=7GB/s:5GB/s+80us*4 \
         (read:write+latency*channels) or 2=nvme-gen5@100gbe, where WHAT is {} or values, and @ is followed by {} or net:12.5GB/s+10us",
        names(&MACHINES),
        names(&TIERS),
        names(&NETWORKS)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timings_as_people_write_them() {
        assert_eq!("none".parse::<Timing>().unwrap().tiers, None);
        let timing: Timing = "nvme-gen4,2=1GB/s:500MB/s+1ms*2".parse().unwrap();
        let tiers = timing.tiers.unwrap();
        assert_eq!(tiers[1], find(&TIERS, "pcie4").unwrap());
        let expected = TierTiming {
            latency_ns: 1_000_000,
            read_bytes_per_s: 1_000_000_000,
            write_bytes_per_s: 500_000_000,
            channels: 2,
            network: None,
        };
        assert_eq!(tiers[2], expected);
        for wrong in ["", "fast", "3=1GB/s+1us", "2=1GB/s", "2=0GB/s+1us", "2=1GB/s+1us*0", "2=1GB/s+1", "none,sata"] {
            assert!(wrong.parse::<Timing>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn tiers_by_name_and_behind_a_network() {
        let timing: Timing = "1=ddr5,2=nvme-gen5@net:12.5GB/s+10us".parse().unwrap();
        let tiers = timing.tiers.unwrap();
        assert_eq!(tiers[0], find(&TIERS, "hbm3").unwrap());
        assert_eq!(tiers[1].read_bytes_per_s, 307_200_000_000);
        let leg = NetworkLeg { latency_ns: 10_000, bytes_per_s: 12_500_000_000 };
        assert_eq!((tiers[2].latency_ns, tiers[2].network), (60_000, Some(leg)));
        assert_eq!(
            "2=nvme-gen5@100gbe".parse::<Timing>().unwrap().tiers,
            "2=nvme-gen5@net:12.5GB/s+10us".parse::<Timing>().unwrap().tiers
        );
        for (wrong, named) in [
            ("2=nvme-gen6", "nvme-gen5"),
            ("2=nfs@1gbe", "100gbe"),
            ("2=nfs@net:1GB/s", "latency"),
            ("2=nfs@net:0GB/s+1us", "above 0"),
            ("2=nfs@", "@net:"),
            ("nfs@100gbe", "2=nvme-gen5@100gbe"),
        ] {
            let message = wrong.parse::<Timing>().unwrap_err();
            assert!(message.contains(named), "{wrong}: {message}");
        }
    }

    #[test]
    fn the_default_is_what_it_was() {
        let tiers = Timing::default().tiers.unwrap();
        let figures =
            tiers.map(|t| (t.latency_ns, t.read_bytes_per_s / 1_000_000, t.write_bytes_per_s / 1_000_000, t.channels));
        assert_eq!(
            figures,
            [(1_000, 3_350_000, 3_350_000, 8), (2_000, 63_000, 63_000, 4), (60_000, 14_000, 10_000, 4)]
        );
    }
}
