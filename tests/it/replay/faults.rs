//! `kvtrace replay` when something fails: the disk, the data, the process, the rows. Each fault ends
//! within ten seconds with its exit code and a report that can be read, or is refused before
//! anything is touched.

mod data;
mod disk;
pub mod process;
mod rows;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Bench, Ended, has_program, is_root, skip};

/// How soon a replay ends after a fault.
const SOON: Duration = Duration::from_secs(10);

/// Starts a replay and waits until its slab is prepared.
pub fn start_prepared(bench: &Bench, slab: &str, args: &[&str]) -> Child {
    let mut child = bench.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("kvtrace starts");
    let limit = Instant::now() + Duration::from_secs(20);
    while !fs::read(bench.path(slab))
        .is_ok_and(|d| d[..d.len().min(4096)].windows(15).any(|w| w == b"\"prepared\":true"))
    {
        assert!(Instant::now() < limit && child.try_wait().unwrap().is_none(), "the slab was not prepared");
        sleep(Duration::from_millis(20));
    }
    child
}

/// Waits for a replay that something was done to; it has to end soon.
pub fn ended_soon(child: Child) -> Ended {
    let began = Instant::now();
    let ended = Ended::from(child.wait_with_output().expect("kvtrace ends"));
    assert!(began.elapsed() < SOON, "it took {:?}: {}", began.elapsed(), ended.stderr);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    ended
}

/// The partial report of a run that failed, which says that it is not whole and not to be trusted.
fn partial(bench: &Bench, name: &str) -> Value {
    let result = bench.json(name);
    assert_eq!((&result["complete"], &result["valid"]), (&Value::Bool(false), &Value::Bool(false)));
    assert!(!result["invalid_reasons"].as_array().unwrap().is_empty());
    result
}

/// `count` writes of `size` bytes on tier 2, and a read of each.
fn writes_and_reads(count: usize, size: u64) -> Vec<String> {
    let writes = (0..count).map(|i| format!("{i} Write {size} Tier-2 k{i} Prefill"));
    let reads = (0..count).map(|i| format!("{} Read {size} Tier-2 k{i} Decode", count + i));
    writes.chain(reads).collect()
}

/// A filesystem of the test's own, unmounted and gone when dropped.
pub struct Mounted {
    pub place: PathBuf,
}

impl Mounted {
    pub fn new(place: PathBuf, args: &[&str]) -> Option<Self> {
        fs::create_dir(&place).unwrap();
        let mounted = Command::new("mount").args(args).arg(&place).output();
        if mounted.is_ok_and(|o| o.status.success()) {
            return Some(Self { place });
        }
        skip("mount is not permitted here");
        None
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // A replay that was killed lets go of its files a moment after it has ended.
        for _ in 0..50 {
            if Command::new("umount").arg(&self.place).stderr(Stdio::null()).status().is_ok_and(|s| s.success()) {
                return;
            }
            sleep(Duration::from_millis(100));
        }
        assert!(std::thread::panicking(), "{} is still mounted", self.place.display());
    }
}

/// A small ext4 of the test's own on a loop device.
pub fn small_ext4(bench: &Bench, mib: u64) -> Option<Mounted> {
    ext4_in(bench, &bench.path("image"), mib, "loop")
}

/// The same over an image of this name.
fn ext4_in(bench: &Bench, image: &Path, mib: u64, options: &str) -> Option<Mounted> {
    if !is_root() || !has_program("mkfs.ext4") {
        skip("needs root and mkfs.ext4 to make a small filesystem");
        return None;
    }
    fs::File::create(image).unwrap().set_len(mib << 20).unwrap();
    let made = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(image).status().unwrap();
    assert!(made.success());
    Mounted::new(bench.path("m"), &["-o", options, image.to_str().unwrap()])
}
