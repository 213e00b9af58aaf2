//! What is captured: a loop device in memory that fio drives.

use std::fs;

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
    /// None, with the reason said, where this cannot run.
    pub fn new(scheduler: &str) -> Option<Self> {
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
        fs::File::create(&file).and_then(|f| f.set_len(64 * MIB)).expect("an image");
        let device = LoopDevice::over(&file, &[])?;
        let this = Self { name: device.name().to_owned(), bench: Bench::new(), device, _image: image };
        this.set("scheduler", scheduler);
        this.set("nomerges", "2");
        // A loop device keeps its settings for whoever gets its number next.
        this.set("iostats", "1");
        Some(this)
    }

    pub fn path(&self) -> String {
        format!("/dev/{}", self.name)
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

    /// Captures one fio job; the result and fio's own report of the job. On a machine with fewer
    /// processors than busy threads the kernel itself now and then shows an event to no
    /// program at all (a bare counter misses it too); such a result says so, and is taken again.
    pub fn captured(&self, name: &str, job: &[&str]) -> (BlockResult, serde_json::Value) {
        let undelivered = |result: &BlockResult| {
            ["lost_complete", "left_inflight", "nomatch_later"].iter().any(|name| result.loss[*name] > 0)
        };
        for _ in 0..4 {
            let (result, fio) = self.captured_once(name, job);
            if !undelivered(&result) {
                return (result, fio);
            }
            assert!(result.tainted, "a loss is never silent: {:?}", result.loss);
        }
        self.captured_once(name, job)
    }

    pub fn captured_once(&self, name: &str, job: &[&str]) -> (BlockResult, serde_json::Value) {
        let file = format!("{name}.json");
        let fio = self.fio(name, job);
        let mut args = vec!["capture", "--dev", &self.name, "-o", &file, "--"];
        args.extend(fio.iter().map(String::as_str));
        self.bench.ok(&args);
        (self.result(&file), self.bench.json(&format!("{name}.fio"))["jobs"][0].clone())
    }

    pub fn result(&self, file: &str) -> BlockResult {
        serde_json::from_slice(&self.bench.read(file)).expect("a kvtrace.block/1 file")
    }
}
