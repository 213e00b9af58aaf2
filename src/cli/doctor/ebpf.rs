//! What capture needs: BTF, rights, programs that load; and what stands in others' way.

use std::fs;
use std::path::Path;

use crate::capture::devices;
use crate::capture::rights::{self, Rights};
#[cfg(feature = "ebpf")]
use crate::capture::tracepoints::Tracepoints;
use crate::capture::{Capture, CaptureFilter};
#[cfg(not(feature = "ebpf"))]
use crate::error::Error;
use crate::error::Result;

use super::Ability;

pub fn abilities() -> Vec<Ability> {
    let mut found = vec![btf(), own_rights(), programs(), counters()];
    found.extend(fallbacks());
    found.extend([tracefs(), kprobes(), lockdown()]);
    found
}

/// What a capture would use on the kernel whose types a file holds.
#[cfg(feature = "ebpf")]
pub fn of_kernel(file: &Path) -> Result<Vec<Ability>> {
    let found = Tracepoints::of_file(file)?;
    Ok(found.choices().iter().map(|choice| Ability::note(choice.purpose, choice.chosen)).collect())
}

#[cfg(not(feature = "ebpf"))]
pub fn of_kernel(_file: &Path) -> Result<Vec<Ability>> {
    Err(Error::unavailable("this build has no eBPF, so it reads no BTF: build kvtrace with the feature `ebpf`"))
}

/// Where this kernel makes a capture go another way than usual.
#[cfg(feature = "ebpf")]
fn fallbacks() -> Vec<Ability> {
    match Tracepoints::of_kernel() {
        Ok(found) => {
            let lacking = found.choices().into_iter().filter(|choice| choice.falls_back);
            lacking.map(|choice| Ability::note(choice.purpose, choice.chosen)).collect()
        }
        Err(error) => vec![Ability::missing(
            "tracepoints",
            error.to_string(),
            "no capture",
            "another kernel, or capture --fallback: the kernel's counters without quantiles",
        )],
    }
}

#[cfg(not(feature = "ebpf"))]
fn fallbacks() -> Vec<Ability> {
    Vec::new()
}

/// What capture --fallback reads.
fn counters() -> Ability {
    match devices::all().iter().filter(|device| device.in_flight().is_some()).count() {
        0 => Ability::missing(
            "kernel counters",
            "no disk with requests under /sys/block",
            "capture --fallback has nothing to count",
            "in a container, mount the host's /sys",
        ),
        disks => Ability::ok(
            "kernel counters",
            format!("/sys/block of {disks} disks: capture --fallback counts without rights, and without quantiles"),
        ),
    }
}

fn btf() -> Ability {
    if rights::has_btf() {
        return Ability::ok("BTF", rights::BTF);
    }
    Ability::missing(
        "BTF",
        "absent",
        "no capture but capture --fallback, which has no quantiles",
        "a kernel with CONFIG_DEBUG_INFO_BTF=y",
    )
}

fn own_rights() -> Ability {
    match Rights::own().missing() {
        None => Ability::ok("eBPF rights", "CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN"),
        Some(missing) => Ability::missing(
            "eBPF rights",
            format!("without {missing}"),
            "no capture but capture --fallback, which has no quantiles",
            "sudo, or once: setcap cap_bpf,cap_perfmon+ep kvtrace",
        ),
    }
}

/// The real thing: attach to everything and take it off again.
fn programs() -> Ability {
    match Capture::start(&CaptureFilter::default()).and_then(Capture::finish) {
        Ok(_) => Ability::ok("block capture", "the programs load and attach"),
        Err(error) => Ability::missing(
            "block capture",
            error.to_string(),
            "no capture, in replay neither",
            "everything else works without; capture --fallback counts without quantiles",
        ),
    }
}

fn tracefs() -> Ability {
    let mounted =
        ["/sys/kernel/tracing/events", "/sys/kernel/debug/tracing/events"].iter().any(|p| Path::new(p).exists());
    Ability::note("tracefs", if mounted { "mounted" } else { "not mounted (kvtrace does without, bpftrace does not)" })
}

fn kprobes() -> Ability {
    let there = Path::new("/sys/bus/event_source/devices/kprobe/type").exists();
    Ability::note("kprobes", if there { "there" } else { "not in this kernel (kvtrace does without)" })
}

fn lockdown() -> Ability {
    let text = fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default();
    match text.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map(|(level, _)| level) {
        Some("confidentiality") => Ability::missing(
            "lockdown",
            "confidentiality",
            "eBPF cannot read kernel memory: no capture but capture --fallback",
            "boot with lockdown=integrity or without",
        ),
        Some(level) => Ability::note("lockdown", format!("{level} (capture works)")),
        None => Ability::note("lockdown", "cannot be read (securityfs is not mounted, or not in this kernel)"),
    }
}
