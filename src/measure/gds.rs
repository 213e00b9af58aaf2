//! How bytes went between GPU memory and storage (`gds` of a replay's result).

use serde::{Deserialize, Serialize};

/// Which way cuFile took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GdsPath {
    /// cuFile was not used: bytes went by io_uring, and by copies of the CUDA driver.
    #[default]
    Off,
    /// From device to device, past the host's memory.
    Direct,
    /// By cuFile's POSIX I/O through the host's memory.
    Compat,
    /// By cuFile; which way is not known.
    Unknown,
}

impl GdsPath {
    /// The word for reports.
    pub fn word(self) -> &'static str {
        match self {
            GdsPath::Off => "off",
            GdsPath::Direct => "direct",
            GdsPath::Compat => "compat",
            GdsPath::Unknown => "unknown",
        }
    }
}

/// What cuFile did in a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GdsReport {
    /// Which way it took.
    pub path: GdsPath,
    /// How that is known, or why it was not used.
    pub why: String,
    /// What `--gds` said: `off`, `auto`, `on`.
    pub asked: String,
    /// The version of libcufile, where it was used and says.
    pub library: Option<String>,
    /// The version of the kernel module nvidia-fs, where it is loaded.
    pub nvidia_fs: Option<String>,
    /// Whether all GPU memory of the run is registered with cuFile; where it is not, cuFile copies
    /// inside the GPU.
    pub registered: Option<bool>,
    /// Threads in which cuFile's calls were made: so many were under way at most.
    pub threads: u32,
    /// Calls that read.
    pub reads: u64,
    /// Bytes that they read, padding included.
    pub read_bytes: u64,
    /// Calls that wrote.
    pub writes: u64,
    /// Bytes that they wrote, padding included.
    pub write_bytes: u64,
    /// Bytes that were copied from the GPU to the host only to be checked (`--verify`). That is in
    /// no latency, but the GPU and its link did it beside the run.
    pub copied_back_bytes: u64,
}

impl GdsReport {
    /// That of two runs together. Where they went different ways it is unknown which bytes went
    /// which.
    pub fn with(self, other: Self) -> Self {
        let same = self.path == other.path;
        let mut reasons = [(self.path, self.why), (other.path, other.why)];
        reasons.sort_by(|a, b| a.1.cmp(&b.1));
        let [(one, first), (two, second)] = reasons;
        let why = if same {
            first
        } else {
            format!("{} in one run ({first}), {} in another ({second})", one.word(), two.word())
        };
        Self {
            why,
            path: if same { self.path } else { GdsPath::Unknown },
            library: self.library.max(other.library),
            nvidia_fs: self.nvidia_fs.max(other.nvidia_fs),
            registered: self.registered.zip(other.registered).map(|(mine, other)| mine && other),
            threads: self.threads.max(other.threads),
            reads: self.reads + other.reads,
            read_bytes: self.read_bytes + other.read_bytes,
            writes: self.writes + other.writes,
            write_bytes: self.write_bytes + other.write_bytes,
            copied_back_bytes: self.copied_back_bytes + other.copied_back_bytes,
            asked: self.asked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_ways_together_are_not_called_one() {
        let run = |path: GdsPath| GdsReport { path, why: path.word().to_owned(), reads: 2, ..GdsReport::default() };
        let sum = run(GdsPath::Direct).with(run(GdsPath::Direct));
        assert_eq!((sum.path, sum.reads), (GdsPath::Direct, 4));
        let mixed = run(GdsPath::Direct).with(run(GdsPath::Compat));
        assert_eq!(mixed.path, GdsPath::Unknown);
        assert_eq!(mixed.why, "compat in one run (compat), direct in another (direct)");
    }
}
