//! What a target may not be: a system folder, or a file that somebody else made.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Component, Path, PathBuf};

use crate::error::{Error, Result};
use crate::output::{Overwrite, check_replaceable};

use super::slab::SLAB_SCHEMA;

/// Folders that hold the system. Nothing below them is a place for data.
const SYSTEM: [&str; 11] =
    ["/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/sbin", "/sys", "/usr"];

/// The one folder below them where people keep files.
const EXCEPT: &str = "/dev/shm";

/// Refuses a target below a system folder, or the root folder itself.
///
/// # Errors
/// The folder that was meant and the way out.
pub fn check_place(path: &Path) -> Result<()> {
    let place = resolved(path);
    let inside = SYSTEM.iter().find(|system| place.starts_with(system) && !place.starts_with(EXCEPT));
    match inside {
        Some(system) => Err(Error::usage(format!(
            "{} is below {system}, where the system lives; choose a folder for data, such as dir:/mnt/nvme/kvtrace",
            path.display()
        ))),
        None if place == Path::new("/") => Err(Error::usage(format!(
            "{} is the root folder; choose a folder for data, such as dir:/mnt/nvme/kvtrace",
            path.display()
        ))),
        None => Ok(()),
    }
}

/// Refuses a slab file that is there and that kvtrace did not make.
///
/// # Errors
/// The file and the way out.
pub fn check_slab_name(path: &Path, overwrite: Overwrite) -> Result<()> {
    let Ok(facts) = fs::symlink_metadata(path) else { return Ok(()) };
    if facts.file_type().is_block_device() || facts.file_type().is_char_device() {
        return Err(Error::usage(format!(
            "{} is a device; name a block device with block:, or put a filesystem on it and use dir:",
            path.display()
        )));
    }
    // A run that is killed between making the file and writing its header leaves it empty, and in
    // an empty file there is nothing to lose.
    if facts.is_file() && facts.len() == 0 {
        return Ok(());
    }
    check_replaceable(path, SLAB_SCHEMA, overwrite)
}

/// Where a path leads: links followed as far as it exists, the rest taken as written.
pub fn resolved(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut rest = Vec::new();
    let mut existing = absolute.as_path();
    loop {
        if let Ok(real) = existing.canonicalize() {
            return rest.iter().rev().fold(real, |mut place, part| {
                match part {
                    Component::ParentDir => {
                        place.pop();
                    }
                    other => place.push(other),
                }
                place
            });
        }
        match (existing.components().next_back(), existing.parent()) {
            (Some(last), Some(parent)) => {
                rest.push(last);
                existing = parent;
            }
            _ => return absolute,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_folders_are_refused_by_whole_names() {
        for path in ["/", "/etc", "/etc/kv", "/usr/local/kv", "/mnt/../etc", "/boot/new/kv"] {
            assert!(check_place(Path::new(path)).is_err(), "{path}");
        }
        for path in ["/etcetera/kv", "/usrdata", "/mnt/nvme/etc", "/dev/shm/kv", "kvtrace-data", "/home/a/usr"] {
            assert!(check_place(Path::new(path)).is_ok(), "{path}");
        }
    }

    #[test]
    fn links_into_system_folders_are_followed() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc", dir.path().join("harmless")).unwrap();
        assert!(check_place(&dir.path().join("harmless/kv")).is_err());
    }
}
