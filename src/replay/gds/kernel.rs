//! What the kernel module nvidia-fs says of itself in /proc/driver/nvidia-fs.

use std::fs;

/// The module, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Module {
    /// Its version, if it says.
    pub version: Option<String>,
    /// Reads and writes that it has done for all processes; none while it does not count them
    /// (parameter `rw_stats_enabled`).
    pub done: Option<[u64; 2]>,
}

impl Module {
    /// As it is now; none when it is not loaded.
    pub fn read() -> Option<Self> {
        fs::read_to_string("/proc/driver/nvidia-fs/stats").ok().map(|text| Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let version = text.lines().find_map(|line| line.trim().strip_prefix("NVFS Driver(version: "));
        let counts = text.lines().any(|line| line.trim().starts_with("IO stats: Enabled"));
        let done = |what: &str| {
            let line = text.lines().find(|line| line.starts_with(what) && line.contains("ok="))?;
            let number = line.split_once("ok=")?.1;
            number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
        };
        Self {
            version: version.map(|rest| rest.trim_end_matches(')').to_owned()),
            done: if counts { done("Reads").zip(done("Writes")).map(|(reads, writes)| [reads, writes]) } else { None },
        }
    }

    /// Reads and writes that it did between two moments; none when they were not counted.
    pub fn between(before: Option<&Self>, after: Option<&Self>) -> Option<[u64; 2]> {
        let (from, to) = (before?.done?, after?.done?);
        Some([0, 1].map(|way| to[way].saturating_sub(from[way])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_believed_only_where_they_are_kept() {
        let text = |kept: &str| {
            format!(
                "GDS Version: 1.16.0\nNVFS statistics(ver: 4.0)\nNVFS Driver(version: 2.24.1)\nIO stats: {kept}, peer IO \
                 stats: Disabled\nReads\t: n=9 ok=7 err=2 readMiB=7\nReads\t: Bandwidth(MiB/s)=1\nWrites : n=3 ok=3 \
                 err=0\n"
            )
        };
        let (on, off) = (Module::parse(&text("Enabled")), Module::parse(&text("Disabled")));
        assert_eq!((on.version.as_deref(), on.done), (Some("2.24.1"), Some([7, 3])));
        assert_eq!((off.version, off.done), (on.version.clone(), None));
        let later = Module { done: Some([17, 3]), ..on.clone() };
        assert_eq!(Module::between(Some(&on), Some(&later)), Some([10, 0]));
        assert_eq!(Module::between(None, Some(&later)), None);
        assert_eq!(Module::parse("").done, None);
    }
}
