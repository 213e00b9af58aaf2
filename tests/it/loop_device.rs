//! A loop device over a file of the test's own.

use std::cell::Cell;
use std::path::Path;
use std::process::Command;

use crate::support::{is_root, skip};

/// A loop device, detached when dropped.
pub struct LoopDevice {
    /// Its node, `/dev/loopN`.
    pub path: String,
    /// It is gone already: its number may be somebody else's by now.
    detached: Cell<bool>,
}

impl LoopDevice {
    /// Over an image (or another device); none, with the reason said, where that is not possible.
    pub fn over(image: impl AsRef<Path>, flags: &[&str]) -> Option<Self> {
        if !is_root() {
            skip("needs root to make a loop device");
            return None;
        }
        let made = Command::new("losetup").args(["--find", "--show"]).args(flags).arg(image.as_ref()).output();
        let Some(made) = made.ok().filter(|made| made.status.success()) else {
            skip(&format!("losetup gives no device here {flags:?}"));
            return None;
        };
        Some(Self { path: String::from_utf8_lossy(&made.stdout).trim().to_owned(), detached: Cell::new(false) })
    }

    /// Detaches it before its time.
    pub fn detach(&self) {
        if !self.detached.replace(true) {
            let _ = Command::new("losetup").args(["--detach", &self.path]).status();
        }
    }

    /// What the kernel calls it.
    pub fn name(&self) -> &str {
        self.path.trim_start_matches("/dev/")
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        self.detach();
    }
}
