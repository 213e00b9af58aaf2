//! What the rest likes to have: fio, bpftrace, a GPU, AES instructions, memory.

use std::fs;
use std::process::{Command, Stdio};

use crate::replay;
use crate::units::{self, KIB};

use super::Ability;

pub fn abilities() -> Vec<Ability> {
    vec![
        program("fio", "distill-fio cannot prove its job", "apt-get install fio"),
        bpftrace(),
        gpu(),
        cufile(),
        aes(),
        memory(),
    ]
}

/// The first line that `NAME --version` prints; none when there is no such program.
fn version(name: &str) -> Option<String> {
    let output = Command::new(name).arg("--version").stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Some(text.lines().next().unwrap_or("there").to_owned())
}

fn program(name: &'static str, follows: &'static str, way_out: &'static str) -> Ability {
    match version(name) {
        Some(version) => Ability::ok(name, version),
        None => Ability::missing(name, "not on the PATH", follows, way_out),
    }
}

fn bpftrace() -> Ability {
    let found = version("bpftrace").unwrap_or_else(|| "not on the PATH (nothing needs it)".to_owned());
    Ability::note("bpftrace", found)
}

fn gpu() -> Ability {
    let found = match replay::gpus() {
        Ok(devices) => devices,
        Err(why) => return no_gpu(&why),
    };
    let words = found.iter().map(|device| format!("{}, {}", device.name, units::bytes(device.memory_bytes)));
    Ability::ok("GPU", words.collect::<Vec<_>>().join("; "))
}

fn no_gpu(found: &str) -> Ability {
    Ability::missing(
        "GPU",
        found,
        "tier 0 is a model: its time is computed, no bytes move",
        "--tier-0 model:64GB/s+10us sets it",
    )
}

fn cufile() -> Ability {
    let name = "cuFile";
    let library = match replay::cufile_version() {
        Ok(version) => format!("libcufile {}", version.as_deref().unwrap_or("of unknown version")),
        Err(why) => return Ability::note(name, format!("{why}; only --gds auto and on need it")),
    };
    match replay::NvidiaFs::read() {
        Some(module) => {
            let version = module.version.as_deref().unwrap_or("of unknown version");
            let counts = if module.done.is_some() { "counts I/O" } else { "does not count I/O (rw_stats_enabled)" };
            Ability::ok(name, format!("{library}, nvidia-fs {version}, which {counts}"))
        }
        None => Ability::missing(
            name,
            format!("{library}, but nvidia-fs is not loaded"),
            "--gds auto goes through host memory (compat mode), unless cuFile can do PCI peer-to-peer",
            "modprobe nvidia-fs",
        ),
    }
}

fn aes() -> Ability {
    #[cfg(target_arch = "x86_64")]
    let there = std::arch::is_x86_feature_detected!("aes");
    #[cfg(target_arch = "aarch64")]
    let there = std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let there = false;
    if there {
        return Ability::ok("AES", "in hardware");
    }
    Ability::missing("AES", "not in this processor", "data for writes is made slowly", "use more than one core for it")
}

fn memory() -> Ability {
    let table = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let of = |name: &str| {
        let line = table.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kib| units::bytes(kib * KIB))
    };
    match (of("MemAvailable:"), of("MemTotal:")) {
        (Some(free), Some(total)) => Ability::note("memory", format!("{free} available of {total}")),
        _ => Ability::note("memory", "cannot be read"),
    }
}
