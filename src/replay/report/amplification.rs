//! Bytes asked of storage against bytes at the block layer: whether the device was measured or
//! the page cache.

use std::collections::BTreeSet;

use crate::measure::BlockResult;
use crate::measure::replay::Amplification;
use crate::units;

/// Fewer bytes than this prove nothing.
const LEAST_BYTES: u64 = 1 << 20;
/// Where direct I/O reached the device, as many bytes are seen below as were asked for, but for
/// what was on its way at both ends.
const REACHED: (f64, f64) = (0.9, 1.1);
/// The share of a device's bytes from which others' are worth a word.
const OTHERS: f64 = 0.05;

/// What a storage tier was asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The tier.
    pub tier: u8,
    /// The device below it.
    pub device: String,
    /// Whether it bypasses the page cache.
    pub direct: bool,
    /// Bytes read, padding included.
    pub read: u64,
    /// Bytes written, padding included.
    pub written: u64,
}

/// What was asked and what was seen, both directions; nothing when the capture did not watch a
/// device that was asked.
pub fn amplification(asked: &[Asked], block: &BlockResult) -> Vec<Amplification> {
    let watched = |device: &str| block.devices.iter().any(|watched| watched.name == device);
    let asked: Vec<_> = asked.iter().filter(|tier| watched(&tier.device)).collect();
    if asked.is_empty() {
        return Vec::new();
    }
    let mut devices: Vec<_> = asked.iter().map(|tier| tier.device.clone()).collect();
    devices.sort();
    devices.dedup();
    let of = |op: &str| {
        let sum = asked.iter().map(|tier| if op == "read" { tier.read } else { tier.written }).sum::<u64>();
        let bytes = |histograms: &[crate::measure::Histogram]| {
            let size = histograms.iter().find(|histogram| histogram.is("size", Some(op)));
            size.map_or(0, |size| u64::try_from(size.sum).unwrap_or(0))
        };
        let seen = bytes(&block.histograms);
        Amplification {
            tiers: asked.iter().map(|tier| tier.tier).collect::<BTreeSet<_>>().into_iter().collect(),
            devices: devices.clone(),
            op: op.to_owned(),
            asked_bytes: sum,
            block_bytes: seen,
            others_bytes: bytes(&block.other.histograms),
            amplification: (sum > 0).then(|| seen as f64 / sum as f64),
        }
    };
    ["read", "write"].map(of).into()
}

/// Why tiers that claim to be direct are not believed, and what else a reader should know.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Findings {
    /// Reasons that make the run invalid.
    pub invalid: Vec<String>,
    /// What should be known.
    pub notes: Vec<String>,
}

/// What follows from it.
pub fn findings(all: &[Amplification], asked: &[Asked], tainted: bool) -> Findings {
    let mut findings = Findings::default();
    for one in all.iter().filter(|one| one.asked_bytes >= LEAST_BYTES) {
        let direct = asked.iter().filter(|tier| one.tiers.contains(&tier.tier)).all(|tier| tier.direct);
        let factor = one.amplification.unwrap_or(0.0);
        let figures = format!(
            "of {} that {}s asked of {}, {} went through the block layer (amplification {factor:.2})",
            units::bytes(one.asked_bytes),
            one.op,
            one.devices.join(" and "),
            units::bytes(one.block_bytes)
        );
        let low = factor < REACHED.0;
        // The capture may have taken some of ours for others'.
        let seen = (one.block_bytes + one.others_bytes) as f64 >= REACHED.0 * one.asked_bytes as f64;
        if low && direct && !tainted && seen {
            findings.notes.push(format!(
                "{figures}; others moved {}, among which the rest may be",
                units::bytes(one.others_bytes)
            ));
        } else if low && direct && !tainted {
            let claim = "the tier claims to be direct: something above the device answered for it";
            findings.invalid.push(format!("{figures}; {claim}"));
        } else if low && direct {
            findings.notes.push(format!("{figures}; the capture lost events, so that this proves nothing"));
        } else if low {
            let rest = if one.op == "read" { "the page cache had the rest" } else { "write-back takes the rest" };
            findings.notes.push(format!("{figures}; {rest}"));
        } else if factor > REACHED.1 {
            findings.notes.push(format!("{figures}: more than was asked for"));
        }
    }
    let sum = |of: fn(&Amplification) -> u64| all.iter().map(of).sum::<u64>();
    let (ours, others) = (sum(|one| one.block_bytes), sum(|one| one.others_bytes));
    if others >= LEAST_BYTES && others as f64 > OTHERS * (ours + others) as f64 {
        findings.notes.push(format!(
            "others moved {} on {} during the run (other processes, the journal, write-back), next to {} of ours",
            units::bytes(others),
            all.first().map_or_else(String::new, |one| one.devices.join(" and ")),
            units::bytes(ours)
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(direct: bool) -> Vec<Asked> {
        vec![Asked { tier: 2, device: "vda".to_owned(), direct, read: 100 << 20, written: 0 }]
    }

    fn seen(read: u64, others: u64) -> Vec<Amplification> {
        vec![Amplification {
            tiers: vec![2],
            devices: vec!["vda".to_owned()],
            op: "read".to_owned(),
            asked_bytes: 100 << 20,
            block_bytes: read,
            others_bytes: others,
            amplification: Some(read as f64 / f64::from(100 << 20)),
        }]
    }

    #[test]
    fn a_direct_tier_whose_reads_do_not_reach_the_device_is_not_believed() {
        let of = |read, direct, tainted| findings(&seen(read, 0), &asked(direct), tainted);
        assert_eq!(of(100 << 20, true, false), Findings::default());
        let lie = of(3 << 20, true, false);
        assert!(lie.invalid[0].contains("amplification 0.03") && lie.notes.is_empty(), "{lie:?}");
        let tainted = of(3 << 20, true, true);
        assert!(tainted.invalid.is_empty() && tainted.notes[0].contains("lost events"));
        let buffered = of(0, false, false);
        assert!(buffered.invalid.is_empty() && buffered.notes[0].contains("page cache"));
        assert!(of(150 << 20, true, false).notes[0].contains("more than"));
    }

    #[test]
    fn what_others_did_is_said() {
        let busy = findings(&seen(100 << 20, 60 << 20), &asked(true), false);
        assert!(busy.invalid.is_empty() && busy.notes[0].contains("others moved 60.0 MiB on vda"), "{busy:?}");
    }
}
