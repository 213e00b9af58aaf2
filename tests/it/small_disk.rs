//! A filesystem that is soon full.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::support::{Bench, is_root, skip};

/// A tmpfs in a test's folder, gone with the value.
pub struct SmallDisk {
    /// Where it is mounted.
    pub place: PathBuf,
}

impl SmallDisk {
    /// At `small` in the test's folder, of a size as mount takes it; none, with the reason said,
    /// where that is not possible.
    pub fn mount(bench: &Bench, size: &str) -> Option<Self> {
        let place = bench.path("small");
        std::fs::create_dir(&place).expect("a folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(&place).stderr(Stdio::null());
        if is_root() && mount.status().is_ok_and(|status| status.success()) {
            return Some(Self { place });
        }
        skip("no right to mount a small filesystem");
        None
    }

    /// How many files are on it.
    pub fn count(&self) -> usize {
        std::fs::read_dir(&self.place).expect("the small filesystem").count()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.place).status();
    }
}
