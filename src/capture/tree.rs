//! Process trees, as /proc shows them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::error::{Error, Result};

use super::Target;

/// The thread group (the process) that a pid or a thread id belongs to.
///
/// # Errors
/// When there is no such process.
pub fn process_of(pid: u32) -> Result<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let tgid = status.lines().find_map(|line| line.strip_prefix("Tgid:")?.trim().parse().ok());
    tgid.ok_or_else(|| Error::usage(format!("there is no process {pid}; `ps` lists those that run")))
}

/// The processes whose trees are the target, where that is known beforehand.
///
/// # Errors
/// When there is no such process.
pub fn roots(target: &Target) -> Result<Vec<u32>> {
    match target {
        Target::Trees(pids) => pids.iter().map(|pid| process_of(*pid)).collect(),
        Target::Everything | Target::Command(_) => Ok(Vec::new()),
    }
}

/// Whether there is such a process, if only as one that has ended and is not yet waited for.
pub fn exists(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

/// Whether a process is there and has not ended (a zombie has).
pub fn is_running(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !matches!(after_name(&stat).next(), Some("Z" | "X") | None))
}

/// The roots and all processes below them, now.
pub fn descendants(roots: &[u32]) -> BTreeSet<u32> {
    let mut found: BTreeSet<u32> = roots.iter().copied().collect();
    let parents = parents();
    loop {
        let before = found.len();
        found.extend(
            parents.iter().filter(|(_, parent)| found.contains(parent)).map(|(child, _)| *child).collect::<Vec<_>>(),
        );
        if found.len() == before {
            return found;
        }
    }
}

/// Every process with its parent.
fn parents() -> Vec<(u32, u32)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some((pid, after_name(&stat).nth(1)?.parse().ok()?))
    })
    .collect()
}

/// The fields of a stat line after the program's name, which may hold anything: state, parent, …
fn after_name(stat: &str) -> impl Iterator<Item = &str> {
    stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_are_a_descendant_of_our_parent() {
        let me = std::process::id();
        let parent = std::os::unix::process::parent_id();
        assert!(descendants(&[parent]).contains(&me));
        assert!(!descendants(&[me]).contains(&parent));
        assert_eq!(process_of(me).unwrap(), me);
        assert!(is_running(me));
        assert!(process_of(u32::MAX).is_err());
    }

    #[test]
    fn names_with_brackets_do_not_shift_the_fields() {
        assert_eq!(after_name("7 (a) b) (c) S 1 7 7").collect::<Vec<_>>(), ["S", "1", "7", "7"]);
    }
}
