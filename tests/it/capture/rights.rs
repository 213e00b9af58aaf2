//! What follows from each right: root gives its own up to show it.

use std::fs;
use std::process::{Command, Stdio};

use super::assert_true;
use super::device::Loop;
use crate::support::{Bench, Ended, has_program, is_root, skip};

/// Runs the binary as the user nobody with only some capabilities, in a folder that is open to it.
pub struct As {
    pub bench: Bench,
    capabilities: &'static str,
}

impl As {
    pub fn nobody() -> Option<Self> {
        Self::with("-all")
    }

    /// Capabilities as setpriv(1) takes them; none, with the reason said, where this cannot run.
    pub fn with(capabilities: &'static str) -> Option<Self> {
        if !is_root() || !cfg!(feature = "ebpf") || !has_program("setpriv") {
            skip("root, setpriv and the feature ebpf are needed to show what a lack of rights does");
            return None;
        }
        // The binary's own folder may be closed to nobody: a copy lies in the open.
        let bench = Bench::new();
        fs::copy(env!("CARGO_BIN_EXE_kvtrace"), bench.path("kvtrace")).expect("a copy of the binary");
        let opened = Command::new("chmod").arg("777").args([bench.path("kvtrace"), bench.path("")]).status();
        assert!(opened.expect("chmod runs").success());
        let this = Self { bench, capabilities };
        if this.command(&["--version"]).status().is_ok_and(|status| status.success()) {
            return Some(this);
        }
        skip(&format!("setpriv gives no {capabilities} here"));
        None
    }

    pub fn command(&self, words: &[&str]) -> Command {
        let mut setpriv = Command::new("setpriv");
        setpriv.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        setpriv.arg(format!("--inh-caps={}", self.capabilities));
        if self.capabilities != "-all" {
            setpriv.arg(format!("--ambient-caps={}", self.capabilities));
        }
        setpriv.arg(self.bench.path("kvtrace")).args(words);
        setpriv.current_dir(self.bench.path("")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        setpriv
    }

    pub fn run(&self, words: &[&str]) -> Ended {
        let mut command = self.command(words);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.output().expect("setpriv runs").into()
    }

    /// What doctor says of one ability.
    fn ability(&self, name: &str) -> (String, serde_json::Value) {
        let ended = self.run(&["doctor", "--json"]);
        assert_eq!(ended.code, 0, "{ended:?}");
        let report: serde_json::Value = serde_json::from_str(&ended.stdout).expect("JSON");
        let abilities = report["abilities"].as_array().expect("a list");
        let found = abilities.iter().find(|ability| ability["name"] == name).unwrap_or_else(|| panic!("no {name}"));
        (found["status"].as_str().expect("a status").to_owned(), found.clone())
    }
}

const CAPTURE: [&str; 3] = ["capture", "--duration", "100ms"];

#[test]
fn without_any_right_the_way_out_is_named() {
    let Some(nobody) = As::nobody() else { return };
    let ended = nobody.run(&CAPTURE);
    assert_eq!(ended.code, 6, "{ended:?}");
    for word in ["CAP_BPF and CAP_PERFMON", "sudo", "setcap", "--fallback"] {
        assert!(ended.stderr.contains(word), "{word}: {}", ended.stderr);
    }
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    let (status, ability) = nobody.ability("eBPF rights");
    assert_eq!(status, "missing");
    assert!(ability["follows"].as_str().is_some_and(|follows| follows.contains("--fallback")), "{ability}");
    assert_eq!(nobody.ability("kernel counters").0, "ok", "what still works is said");
    assert_eq!(nobody.ability("block capture").0, "missing");
    assert_eq!(nobody.ability("lockdown").0, "note");
    // A command is not run by a capture that cannot watch it.
    let ended = nobody.run(&["capture", "--", "touch", "ran"]);
    assert_eq!((ended.code, nobody.bench.files().contains(&"ran".to_owned())), (125, false), "{ended:?}");
}

#[test]
fn half_of_the_rights_names_the_other_half() {
    for (capability, missing) in [("+bpf", "CAP_PERFMON"), ("+perfmon", "CAP_BPF")] {
        let Some(half) = As::with(capability) else { return };
        let ended = half.run(&CAPTURE);
        assert_eq!(ended.code, 6, "{ended:?}");
        assert!(ended.stderr.contains(&format!("needs {missing};")), "{capability}: {}", ended.stderr);
        let (_, ability) = half.ability("eBPF rights");
        assert_eq!(ability["found"], format!("without {missing}"));
    }
}

#[test]
fn both_rights_are_enough_without_root() {
    let Some(device) = Loop::new("none") else { return };
    let Some(able) = As::with("+bpf,+perfmon") else { return };
    for kind in ["tp_btf", "raw_tp"] {
        let file = format!("{kind}.json");
        let words = ["capture", "--probes", kind, "--dev", &device.name, "--duration", "1200ms", "-o", &file];
        let mut capture = able.command(&words).spawn().expect("setpriv runs");
        std::thread::sleep(std::time::Duration::from_millis(600));
        let mut read = Command::new("dd");
        read.args(["of=/dev/null", "bs=64k", "count=50", "iflag=direct"])
            .arg(format!("if={}", device.path()))
            .stderr(Stdio::null());
        assert!(read.status().expect("dd runs").success());
        assert_eq!(capture.wait().unwrap().code(), Some(0));
        let result: kvtrace::measure::BlockResult = serde_json::from_slice(&able.bench.read(&file)).unwrap();
        if result.loss["lost_complete"] + result.loss["left_inflight"] == 0 {
            assert_true(&result);
        }
        assert_eq!(result.source, kind);
        assert!(result.devices[0].captured.read_ios > 0, "{kind}: {:?}", result.devices[0]);
    }
    assert_eq!(able.ability("block capture").0, "ok");
    assert_eq!(able.ability("eBPF rights").0, "ok");
}

#[test]
fn doctor_reads_another_kernels_types() {
    let bench = Bench::new();
    if !fs::exists("/sys/kernel/btf/vmlinux").unwrap_or(false) || !cfg!(feature = "ebpf") {
        return skip("this kernel has no BTF");
    }
    let text = bench.ok(&["doctor", "--btf", "/sys/kernel/btf/vmlinux"]);
    for purpose in ["birth", "request", "disk", "merged requests", "disks without requests"] {
        assert!(text.lines().any(|line| line.contains(purpose)), "{purpose}: {text}");
    }
    let report = bench.ok_json(&["doctor", "--json", "--btf", "/sys/kernel/btf/vmlinux"]);
    assert_eq!(report["abilities"].as_array().map(Vec::len), Some(text.lines().count()));
    bench.write("empty", "not BTF");
    let line = bench.refused(2, &["doctor", "--btf", "empty"]);
    assert!(line.contains("empty") && line.contains("BTF"), "{line}");
    bench.refused(2, &["doctor", "--btf", "no-such-file"]);
    bench.write("kernel.c", "typedef int number; number one; struct request { int tag; } request;");
    let built = Command::new("clang")
        .args(["-g", "-target", "bpf", "-c", "kernel.c", "-o", "kernel.o"])
        .current_dir(bench.path(""))
        .status();
    if built.is_ok_and(|status| status.success()) {
        let line = bench.refused(6, &["doctor", "--btf", "kernel.o"]);
        assert!(line.contains("block_rq_issue"), "{line}");
    } else {
        skip("there is no clang to make a kernel's types with");
    }
}
