//! What may stand for a tier, as it is typed (`dir:/mnt/nvme/kv`, `dram`, `model:64GB/s+10us`).

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::units::{Size, Time};

/// What stands for a tier.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// A slab file in a folder.
    Dir(PathBuf),
    /// A slab file of that name and size.
    File {
        /// Its path.
        path: PathBuf,
        /// Its size.
        size_bytes: u64,
    },
    /// Memory, at most so much of it.
    Dram(Option<u64>),
    /// Time that passes, without bytes.
    Model {
        /// Bytes per second.
        bytes_per_s: f64,
        /// Added to every operation.
        latency_ns: u64,
    },
    /// Nothing: the tier's rows are left out.
    Skip,
    /// A GPU's memory.
    Gpu(u32),
    /// A block device, or its first bytes.
    Block {
        /// Its path.
        path: PathBuf,
        /// How much of it is used; all of it unless said.
        size_bytes: Option<u64>,
    },
    /// Several storage targets of one tier. An object lies on one of them, by the hash of its key.
    Striped(Vec<Target>),
}

impl Target {
    /// The default of tier 0, 1 and 2.
    pub fn defaults() -> [Target; 3] {
        [
            Target::Model { bytes_per_s: 64e9, latency_ns: 10_000 },
            Target::Dram(None),
            Target::Dir(PathBuf::from("./kvtrace-data")),
        ]
    }

    /// Refuses what this build cannot drive.
    ///
    /// # Errors
    /// The way out: another target.
    pub fn check(&self, tier: usize) -> Result<()> {
        match self {
            Target::Striped(parts) => match parts.iter().find(|part| !part.is_storage()) {
                Some(part) => Err(Error::usage(format!(
                    "--tier-{tier} {part}: a tier is striped over several storage targets only (dir:, file: or block:); \
                     give --tier-{tier} once"
                ))),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// The target of a tier that was named once or several times.
    pub fn of(mut named: Vec<Target>) -> Option<Self> {
        if named.len() > 1 { Some(Target::Striped(named)) } else { named.pop() }
    }

    /// The targets that share the tier's objects; this one unless it is striped.
    pub fn parts(&self) -> &[Target] {
        match self {
            Target::Striped(parts) => parts,
            other => std::slice::from_ref(other),
        }
    }

    /// The word for reports.
    pub fn backend(&self) -> &'static str {
        match self {
            Target::Dir(_) | Target::File { .. } | Target::Block { .. } | Target::Striped(_) => "io_uring",
            Target::Dram(_) => "dram",
            Target::Model { .. } => "model",
            Target::Skip => "skip",
            Target::Gpu(_) => "gpu",
        }
    }

    /// Whether it is storage that I/O goes to.
    pub fn is_storage(&self) -> bool {
        matches!(self, Target::Dir(_) | Target::File { .. } | Target::Block { .. } | Target::Striped(_))
    }
}

const FORMS: &str = "use dir:PATH, file:PATH,size=100GiB, block:DEVICE, dram, dram:32GiB, gpu, gpu:1, model:64GB/s+10us \
                     or skip";

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        let path = || if rest.is_empty() { Err(format!("`{text}` names no path; {FORMS}")) } else { Ok(rest.into()) };
        match kind {
            "dir" => Ok(Target::Dir(path()?)),
            "file" => {
                let (file, size) = rest
                    .rsplit_once(",size=")
                    .filter(|(file, _)| !file.is_empty())
                    .ok_or_else(|| format!("`{text}` names no path or size; write file:PATH,size=100GiB"))?;
                Ok(Target::File { path: file.into(), size_bytes: size.parse::<Size>()?.0 })
            }
            "dram" if rest.is_empty() => Ok(Target::Dram(None)),
            "dram" => Ok(Target::Dram(Some(rest.parse::<Size>()?.0))),
            "model" => model(rest).ok_or_else(|| format!("`{text}` is not a model; write model:64GB/s+10us")),
            "skip" if rest.is_empty() => Ok(Target::Skip),
            "gpu" if rest.is_empty() => Ok(Target::Gpu(0)),
            "gpu" => rest.parse().map(Target::Gpu).map_err(|_| format!("`{rest}` is not the number of a GPU")),
            "block" => match rest.rsplit_once(",size=") {
                Some((device, size)) if !device.is_empty() => {
                    Ok(Target::Block { path: device.into(), size_bytes: Some(size.parse::<Size>()?.0) })
                }
                _ => Ok(Target::Block { path: path()?, size_bytes: None }),
            },
            _ => Err(format!("`{text}` is not a target; {FORMS}")),
        }
    }
}

fn model(text: &str) -> Option<Target> {
    let (rate, latency) = text.split_once('+').unwrap_or((text, "0ns"));
    let bytes_per_s = rate.strip_suffix("/s")?.parse::<Size>().ok()?.0 as f64;
    let latency_ns = latency.parse::<Time>().ok()?.0;
    (bytes_per_s > 0.0).then_some(Target::Model { bytes_per_s, latency_ns })
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Dir(path) => write!(f, "dir:{}", path.display()),
            Target::File { path, size_bytes } => write!(f, "file:{},size={size_bytes}", path.display()),
            Target::Dram(None) => f.write_str("dram"),
            Target::Dram(Some(bytes)) => write!(f, "dram:{bytes}"),
            Target::Model { bytes_per_s, latency_ns } => {
                write!(f, "model:{}GB/s+{}us", bytes_per_s / 1e9, *latency_ns as f64 / 1e3)
            }
            Target::Skip => f.write_str("skip"),
            Target::Gpu(index) => write!(f, "gpu:{index}"),
            Target::Block { path, size_bytes: None } => write!(f, "block:{}", path.display()),
            Target::Block { path, size_bytes: Some(size) } => write!(f, "block:{},size={size}", path.display()),
            Target::Striped(parts) => parts
                .iter()
                .enumerate()
                .try_for_each(|(n, part)| write!(f, "{}{part}", if n == 0 { "" } else { " + " })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_as_people_write_them() {
        let parse = |text: &str| text.parse::<Target>();
        assert_eq!(parse("dir:/mnt/kv"), Ok(Target::Dir("/mnt/kv".into())));
        let file = Target::File { path: "/a,b".into(), size_bytes: 1 << 30 };
        assert_eq!(parse("file:/a,b,size=1GiB"), Ok(file));
        assert_eq!(parse("dram:32GiB"), Ok(Target::Dram(Some(32 << 30))));
        assert_eq!(parse("block:/dev/x"), Ok(Target::Block { path: "/dev/x".into(), size_bytes: None }));
        assert_eq!(
            parse("block:/dev/x,size=1GiB").map(|t| t.to_string()),
            Ok("block:/dev/x,size=1073741824".to_owned())
        );
        assert_eq!(parse("model:64GB/s+10us"), Ok(Target::defaults()[0].clone()));
        assert_eq!(parse("model:64GB/s+10us").map(|t| t.to_string()), Ok("model:64GB/s+10us".to_owned()));
        for text in [
            "",
            "dir:",
            "file:/x",
            "file:,size=1GiB",
            "model:64GB",
            "model:0GB/s",
            "dram:x",
            "tape",
            "skip:1",
            "block:",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_tier_is_striped_over_storage_only() {
        let dir = |name: &str| Target::Dir(name.into());
        assert_eq!((Target::of(vec![]), Target::of(vec![dir("a")])), (None, Some(dir("a"))));
        let striped = Target::of(vec![dir("a"), dir("b")]).unwrap();
        assert_eq!((striped.to_string().as_str(), striped.parts().len()), ("dir:a + dir:b", 2));
        assert!(striped.check(2).is_ok() && striped.is_storage());
        let mixed = Target::of(vec![dir("a"), Target::Dram(None)]).unwrap();
        assert!(mixed.check(2).unwrap_err().to_string().contains("dram"));
    }
}
