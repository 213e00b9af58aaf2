//! Whether this machine and this user permit eBPF, and what to do when not.

use std::fs;
use std::path::Path;

use crate::error::{Error, Result};

/// The types of the running kernel, by which the programs find their fields.
pub const BTF: &str = "/sys/kernel/btf/vmlinux";

/// Bits of the capability sets (include/uapi/linux/capability.h).
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// What this process may do, as far as eBPF asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    /// CAP_SYS_ADMIN, which is enough alone.
    pub sys_admin: bool,
    /// CAP_BPF, to load programs.
    pub bpf: bool,
    /// CAP_PERFMON, to attach them to tracepoints.
    pub perfmon: bool,
}

impl Rights {
    /// The effective rights of this process.
    pub fn own() -> Self {
        Self::of_status(&fs::read_to_string("/proc/self/status").unwrap_or_default())
    }

    /// From the text of a /proc/PID/status.
    fn of_status(status: &str) -> Self {
        let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
        let bits = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
        let has = |capability: u32| bits >> capability & 1 == 1;
        Self { sys_admin: has(CAP_SYS_ADMIN), bpf: has(CAP_BPF), perfmon: has(CAP_PERFMON) }
    }

    /// Whether they suffice for tracepoint programs (CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN).
    pub fn suffice(self) -> bool {
        self.sys_admin || self.bpf && self.perfmon
    }

    /// What is missing, in words; none when nothing is.
    pub fn missing(self) -> Option<&'static str> {
        match self {
            rights if rights.suffice() => None,
            Self { bpf: true, .. } => Some("CAP_PERFMON"),
            Self { perfmon: true, .. } => Some("CAP_BPF"),
            _ => Some("CAP_BPF and CAP_PERFMON"),
        }
    }
}

/// Whether the kernel has BTF.
pub fn has_btf() -> bool {
    Path::new(BTF).exists()
}

/// Fails when a capture cannot work here, saying why.
///
/// # Errors
/// Without BTF, or without the rights.
pub fn check() -> Result<()> {
    if !has_btf() {
        return Err(Error::unavailable(format!(
            "this kernel has no BTF ({BTF} is absent), so eBPF programs cannot find its fields; boot a kernel with \
             CONFIG_DEBUG_INFO_BTF=y (every current distribution kernel), or count without programs: --fallback"
        )));
    }
    match Rights::own().missing() {
        None => Ok(()),
        Some(missing) => Err(Error::unavailable(format!(
            "capturing the block layer needs {missing}; run it with sudo, give the binary the rights once (setcap \
             cap_bpf,cap_perfmon+ep kvtrace), or count without quantiles: --fallback"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_read_from_the_effective_set() {
        let missing = |bits: u64| Rights::of_status(&format!("Name:\tx\nCapEff:\t{bits:016x}\n")).missing();
        assert_eq!(missing(0), Some("CAP_BPF and CAP_PERFMON"));
        assert_eq!(missing(1 << CAP_BPF), Some("CAP_PERFMON"));
        assert_eq!(missing(1 << CAP_PERFMON), Some("CAP_BPF"));
        assert_eq!(missing(1 << CAP_BPF | 1 << CAP_PERFMON), None);
        assert_eq!(missing(1 << CAP_SYS_ADMIN), None);
    }
}
