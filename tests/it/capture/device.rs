//! What is captured: a loop device in memory that fio drives.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use kvtrace::capture::rights;
use kvtrace::measure::BlockResult;

use crate::loop_device::LoopDevice;
use crate::support::{Bench, has_program, is_root, skip};

const MIB: u64 = 1 << 20;

/// A loop device on a file in memory, gone with its folder when dropped.
pub struct Loop {
    pub name: String,
    pub bench: Bench,
    // Detached before the folder of its image goes.
    device: LoopDevice,
    _image: tempfile::TempDir,
}

impl Loop {
    /// Of 64 MiB and without merging; none, with the reason said, where this cannot run.
    pub fn new(scheduler: &str) -> Option<Self> {
        let this = Self::sized(scheduler, 64)?;
        this.set("nomerges", "2");
        Some(this)
    }

    /// Of that many MiB, and merging as the kernel sets a loop device up.
    pub fn sized(scheduler: &str, mib: u64) -> Option<Self> {
        if !is_root() || !cfg!(feature = "ebpf") {
            skip("the capture needs root and the feature ebpf");
            return None;
        }
        if let Err(error) = rights::check() {
            skip(&error.to_string());
            return None;
        }
        if !has_program("fio") || !has_program("losetup") || !fs::exists("/dev/loop-control").unwrap_or(false) {
            skip("fio, losetup and /dev/loop-control are needed");
            return None;
        }
        let memory = ["/dev/shm", "/tmp"].into_iter().find(|path| fs::exists(path).unwrap_or(false))?;
        let image = tempfile::tempdir_in(memory).expect("a folder in memory");
        let file = image.path().join("image");
        fs::File::create(&file).and_then(|f| f.set_len(mib * MIB)).expect("an image");
        let device = LoopDevice::over(&file, &[])?;
        let this = Self { name: device.name().to_owned(), bench: Bench::new(), device, _image: image };
        this.set("scheduler", scheduler);
        // A loop device keeps its settings for whoever gets its number next.
        this.set("iostats", "1");
        Some(this)
    }

    pub fn path(&self) -> String {
        format!("/dev/{}", self.name)
    }

    /// A counter of /sys/block/NAME/stat, by its place there (Documentation/block/stat.rst).
    pub fn stat(&self, place: usize) -> u64 {
        let text = fs::read_to_string(format!("/sys/block/{}/stat", self.name)).expect("a disk's counters");
        text.split_ascii_whitespace().nth(place).and_then(|word| word.parse().ok()).expect("a counter")
    }

    /// Takes it away.
    pub fn detach(&self) {
        self.device.detach();
    }

    pub fn set(&self, knob: &str, value: &str) {
        fs::write(format!("/sys/block/{}/queue/{knob}", self.name), value).unwrap_or_else(|e| panic!("{knob}: {e}"));
    }

    /// fio's arguments for one job on the device; its JSON goes to `NAME.fio`.
    pub fn fio(&self, name: &str, job: &[&str]) -> Vec<String> {
        let mut words: Vec<String> = ["fio", "--direct=1", "--output-format=json"].map(str::to_owned).into();
        words.extend([format!("--name={name}"), format!("--filename={}", self.path())]);
        words.push(format!("--output={}", self.bench.path(&format!("{name}.fio")).display()));
        words.extend(job.iter().map(|word| (*word).to_owned()));
        words
    }

    /// Captures one fio job; the result and fio's own report of the job.
    pub fn captured(&self, name: &str, job: &[&str]) -> (BlockResult, serde_json::Value) {
        let fio = self.fio(name, job);
        let words: Vec<&str> = fio.iter().map(String::as_str).collect();
        let result = until_delivered(|| self.command(name, &words));
        (result, self.bench.json(&format!("{name}.fio"))["jobs"][0].clone())
    }

    /// Captures one run of a command.
    pub fn command(&self, name: &str, command: &[&str]) -> BlockResult {
        let file = format!("{name}.json");
        let mut args = vec!["capture", "--dev", &self.name, "-o", &file, "--"];
        args.extend(command);
        self.bench.ok(&args);
        self.result(&file)
    }

    pub fn result(&self, file: &str) -> BlockResult {
        serde_json::from_slice(&self.bench.read(file)).expect("a kvtrace.block/1 file")
    }

    /// The disk with ext4 on it, mounted in the test's folder.
    pub fn with_ext4(&self) -> Option<Mount> {
        let quiet = |command: &mut Command| command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        let lazy = "lazy_itable_init=0,lazy_journal_init=0";
        let made = quiet(Command::new("mkfs.ext4").args(["-q", "-F", "-E", lazy, &self.path()]));
        let place = self.bench.path("mount");
        fs::create_dir(&place).expect("a folder");
        let mounted = made.is_ok_and(|status| status.success())
            && quiet(Command::new("mount").arg(self.path()).arg(&place)).is_ok_and(|status| status.success());
        if !mounted {
            skip("mkfs.ext4 and the right to mount are needed");
            return None;
        }
        Some(Mount { place })
    }
}

/// Captures until nothing is missing, five times at most. Some kernels show no program what happens
/// in an interrupt while certain tasks are interrupted: on the virtual machines that these tests
/// were written on, threads of process 1 (tracefs has such completions, but no stack of them, and
/// no program has a single one). Such a result says so, and is taken again.
pub fn until_delivered(mut capture: impl FnMut() -> BlockResult) -> BlockResult {
    let mut result = capture();
    for _ in 0..4 {
        let undelivered = ["lost_complete", "left_inflight", "nomatch_later"].iter().any(|name| result.loss[*name] > 0);
        if !undelivered {
            break;
        }
        assert!(result.tainted, "a loss is never silent: {:?}", result.loss);
        result = capture();
    }
    result
}

/// A mounted filesystem.
pub struct Mount {
    pub place: PathBuf,
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.place).status();
    }
}
