//! What capture needs: BTF, rights, programs that load; and what stands in others' way.

use std::fs;
use std::path::Path;

use crate::capture::rights::{self, Rights};
use crate::capture::{Capture, CaptureFilter};

use super::Ability;

pub fn abilities() -> Vec<Ability> {
    vec![btf(), own_rights(), programs(), tracefs(), kprobes(), lockdown()]
}

fn btf() -> Ability {
    if rights::has_btf() {
        return Ability::ok("BTF", rights::BTF);
    }
    Ability::missing("BTF", "absent", "no capture", "a kernel with CONFIG_DEBUG_INFO_BTF=y")
}

fn own_rights() -> Ability {
    match Rights::own().missing() {
        None => Ability::ok("eBPF rights", "CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN"),
        Some(missing) => Ability::missing(
            "eBPF rights",
            format!("without {missing}"),
            "no capture",
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
            "everything else works without",
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
            "eBPF cannot read kernel memory: no capture",
            "boot with lockdown=integrity or without",
        ),
        Some(level) => Ability::note("lockdown", format!("{level} (capture works)")),
        None => Ability::note("lockdown", "cannot be read (securityfs is not mounted, or not in this kernel)"),
    }
}
