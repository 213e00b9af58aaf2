//! Control groups: from what somebody names to a folder of the cgroup v2 hierarchy, the only one
//! by which a program can ask for a task's group.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::statfs;

use crate::error::{Error, Result};

/// Most cgroups that one capture takes (`KV_MAX_CGROUPS`).
pub const MAX_CGROUPS: usize = 8;

/// The kind of a cgroup v2 hierarchy (include/uapi/linux/magic.h).
const CGROUP2: u64 = 0x6367_7270;
/// And of version 1.
const CGROUP1: u64 = 0x0027_e0eb;

/// The folder of a cgroup, named by its folder or as /proc/PID/cgroup names it (`0::/a/b` or
/// `/a/b`).
///
/// # Errors
/// When there is no such cgroup, or it is one of version 1.
pub fn resolve(named: &str) -> Result<PathBuf> {
    let path = named.strip_prefix("0::").unwrap_or(named);
    if fs::metadata(path).is_ok_and(|facts| facts.is_dir()) && kind(Path::new(path)) == Some(CGROUP2) {
        return Ok(PathBuf::from(path));
    }
    let mounts = mounts();
    for mount in &mounts {
        let below = mount.join(path.trim_start_matches('/'));
        // Only the root of a hierarchy has no group's own files.
        if path.starts_with('/') && below.join("cgroup.controllers").exists() {
            return Ok(below);
        }
    }
    if kind(Path::new(path)) == Some(CGROUP1) {
        return Err(Error::usage(format!(
            "`{named}` is a cgroup of version 1, whose members a program cannot see; name the processes with --pid \
             instead (`cat {}/cgroup.procs`), or a cgroup below {}",
            path.trim_end_matches('/'),
            listed(&mounts)
        )));
    }
    Err(Error::usage(format!(
        "there is no cgroup `{named}` in the version 2 hierarchy ({}); /proc/PID/cgroup names that of a process in \
         its line `0::`, and --pid needs none",
        listed(&mounts)
    )))
}

/// Whether one of them, named as for [`resolve`], is still there.
pub fn any_is_left(named: &[String]) -> bool {
    named.iter().any(|name| resolve(name).is_ok())
}

/// Whether a process is in one of them, or below it.
pub fn any_is_populated(named: &[String]) -> bool {
    let events = |name: &String| fs::read_to_string(resolve(name).ok()?.join("cgroup.events")).ok();
    named.iter().filter_map(events).any(|text| text.lines().any(|line| line == "populated 1"))
}

fn listed(mounts: &[PathBuf]) -> String {
    match mounts {
        [] => "none is mounted here".to_owned(),
        [first, ..] => first.display().to_string(),
    }
}

fn kind(path: &Path) -> Option<u64> {
    statfs(path).ok().map(|facts| facts.f_type as u64)
}

/// Where cgroup v2 hierarchies are mounted.
fn mounts() -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let folder = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let place = left.split_ascii_whitespace().nth(4)?;
        (right.split_ascii_whitespace().next() == Some("cgroup2")).then(|| PathBuf::from(place))
    };
    table.lines().filter_map(folder).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_group_resolves_by_both_names() {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let Some(line) = own.lines().find(|line| line.starts_with("0::")) else { return };
        if mounts().is_empty() {
            return;
        }
        let folder = resolve(line).unwrap();
        assert_eq!(resolve(&line[3..]).unwrap(), folder);
        assert_eq!(resolve(&folder.display().to_string()).unwrap(), folder);
    }

    #[test]
    fn what_is_no_cgroup_says_what_to_do_instead() {
        for nothing in ["/no/such/group", "0::/no/such/group", "/tmp", "nothing"] {
            let error = resolve(nothing).unwrap_err();
            assert_eq!(error.kind().exit_code(), 2, "{error}");
            assert!(error.to_string().contains("--pid") && error.to_string().contains(nothing), "{error}");
        }
        let old = Path::new("/sys/fs/cgroup/memory");
        if kind(old) == Some(CGROUP1) {
            let error = resolve("/sys/fs/cgroup/memory").unwrap_err().to_string();
            assert!(error.contains("version 1") && error.contains("--pid"), "{error}");
        }
    }
}
