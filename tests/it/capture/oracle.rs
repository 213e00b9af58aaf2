//! The kernel's own record of the same run: an instance of tracefs that is nobody else's.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kvtrace::measure::Histogram;

use super::device::{Loop, until_delivered};
use super::histogram;
use super::patterns::assert_exact;
use crate::support::skip;

/// Stamps are cut to microseconds, so a difference of two is less than one off.
const RESOLUTION_NS: f64 = 1000.0;
/// What the programs and tracefs may see apart, as both stamp one event, one after the other.
const SKEW_NS: f64 = 500.0;

/// A record of issues and completions on one device. Dropped, it leaves nothing behind.
struct Oracle {
    instance: PathBuf,
    /// Where tracefs was mounted for this, if it was not there.
    own_mount: Option<tempfile::TempDir>,
}

/// From issue to completion, ns, ascending.
type Times = BTreeMap<&'static str, Vec<f64>>;

impl Oracle {
    /// None, with the reason said, where tracefs is not to be had.
    fn over(device: &Loop) -> Option<Self> {
        let (root, own_mount) = Self::tracefs()?;
        let instance = root.join(format!("instances/kvtrace-test-{}-{}", std::process::id(), device.name));
        let this = Self { instance, own_mount };
        if fs::create_dir(&this.instance).is_err() {
            skip("tracefs gives no instance here");
            return None;
        }
        let number = fs::read_to_string(format!("/sys/block/{}/dev", device.name)).expect("a device number");
        let (major, minor) = number.trim().split_once(':').expect("major:minor");
        // As the kernel writes a dev_t (include/linux/kdev_t.h).
        let number = major.parse::<u32>().unwrap() << 20 | minor.parse::<u32>().unwrap();
        this.write("trace_clock", "mono");
        this.write("buffer_size_kb", "16384");
        for event in ["block_rq_issue", "block_rq_complete"] {
            this.write(&format!("events/block/{event}/filter"), &format!("dev == {number}"));
            this.write(&format!("events/block/{event}/enable"), "1");
        }
        Some(this)
    }

    fn tracefs() -> Option<(PathBuf, Option<tempfile::TempDir>)> {
        for place in ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"] {
            if Path::new(place).join("instances").is_dir() {
                return Some((place.into(), None));
            }
        }
        let own = tempfile::tempdir().expect("a folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tracefs", "nodev"]).arg(own.path()).stderr(Stdio::null());
        if mount.status().is_ok_and(|status| status.success()) {
            return Some((own.path().to_owned(), Some(own)));
        }
        skip("there is no tracefs to compare with");
        None
    }

    fn write(&self, file: &str, value: &str) {
        fs::write(self.instance.join(file), value).unwrap_or_else(|e| panic!("tracefs, {file}: {e}"));
    }

    /// Forgets what it has seen.
    fn clear(&self) {
        self.write("trace", "");
    }

    /// What it has seen since, by direction.
    fn times(&self) -> Times {
        self.assert_all_kept();
        let text = fs::read_to_string(self.instance.join("trace")).expect("the record");
        let mut issued: BTreeMap<(&str, &str), VecDeque<f64>> = BTreeMap::new();
        let mut times = Times::from([("read", Vec::new()), ("write", Vec::new())]);
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let event = Event::parse(line).unwrap_or_else(|| panic!("tracefs says: {line}"));
            let key = (event.direction, event.sector);
            if event.is_issue {
                issued.entry(key).or_default().push_back(event.at_ns);
                continue;
            }
            let start = issued.get_mut(&key).and_then(VecDeque::pop_front);
            let start = start.unwrap_or_else(|| panic!("completed without an issue: {line}"));
            times.get_mut(event.direction).expect("both directions").push(event.at_ns - start);
        }
        assert!(issued.values().all(VecDeque::is_empty), "issued without a completion");
        for sorted in times.values_mut() {
            sorted.sort_by(f64::total_cmp);
        }
        times
    }

    fn assert_all_kept(&self) {
        for cpu in fs::read_dir(self.instance.join("per_cpu")).expect("a record per processor").flatten() {
            let text = fs::read_to_string(cpu.path().join("stats")).expect("its statistics");
            for lost in ["overrun: ", "dropped events: "] {
                assert!(text.lines().any(|line| line == format!("{lost}0")), "{}: {text}", cpu.path().display());
            }
        }
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        for event in ["block_rq_issue", "block_rq_complete"] {
            let _ = fs::write(self.instance.join(format!("events/block/{event}/enable")), "0");
        }
        let _ = fs::remove_dir(&self.instance);
        if let Some(own) = &self.own_mount {
            let _ = Command::new("umount").arg(own.path()).status();
        }
    }
}

struct Event<'a> {
    is_issue: bool,
    direction: &'static str,
    sector: &'a str,
    at_ns: f64,
}

impl<'a> Event<'a> {
    /// A line is `TASK-PID [CPU] FLAGS SECONDS: EVENT: MAJOR,MINOR RWBS … SECTOR + LENGTH …`.
    fn parse(line: &'a str) -> Option<Self> {
        let (head, rest) = line.split_once(": block_rq_")?;
        let (event, rest) = rest.split_once(": ")?;
        let seconds: f64 = head.rsplit(' ').next()?.parse().ok()?;
        let direction = match rest.split(' ').nth(1)?.as_bytes().first()? {
            b'R' => "read",
            b'W' => "write",
            _ => return None,
        };
        let sector = rest.split_once(" + ")?.0.rsplit(' ').next()?;
        Some(Self { is_issue: event == "issue", direction, sector, at_ns: (seconds * 1e6).round() * 1e3 })
    }
}

/// Requests that may be held up between the two records.
const HELD_UP: usize = 2;

fn assert_agree(what: &str, ours: &Histogram, truth: &[f64]) {
    assert_eq!(ours.count, truth.len() as u64, "{what}: as many as the kernel says");
    for share in [0.5, 0.75, 0.9, 0.95, 0.99, 0.999] {
        let at = ((share * truth.len() as f64).ceil() as usize).max(1) - 1;
        let (true_ns, said) = (truth[at], ours.quantile(share).expect("times"));
        let bound = true_ns * ours.rel_width + RESOLUTION_NS + SKEW_NS;
        // The processor may be taken away between the two records of a request, which puts a few of
        // them elsewhere in the order.
        let held_up = HELD_UP.max(truth.len() / 300);
        let (low, high) = (truth[at.saturating_sub(held_up)], truth[(at + held_up).min(truth.len() - 1)]);
        assert!(
            (low - bound..=high + bound).contains(&said),
            "{what}, {share}: {said} ns, the kernel {true_ns} ns ({low} to {high} ± {bound})"
        );
    }
}

#[test]
fn quantiles_are_those_of_the_kernels_own_record() {
    let jobs: [(&str, &[&str]); 3] = [
        ("4k", &["--rw=randread", "--bs=4k", "--ioengine=io_uring", "--iodepth=8", "--size=160m"]),
        ("16k", &["--rw=randrw", "--bs=16k", "--ioengine=io_uring", "--iodepth=32", "--size=160m"]),
        ("128k", &["--rw=randread", "--bs=128k", "--ioengine=libaio", "--iodepth=1", "--size=160m"]),
    ];
    let Some(device) = Loop::sized("none", 256) else { return };
    device.set("nomerges", "2");
    let Some(oracle) = Oracle::over(&device) else { return };
    for (name, job) in jobs {
        let fio = device.fio(name, job);
        let words: Vec<&str> = fio.iter().map(String::as_str).collect();
        let result = until_delivered(|| {
            oracle.clear();
            device.command(name, &words)
        });
        assert_exact(&result);
        let truth = oracle.times();
        let report = device.bench.json(&format!("{name}.fio"));
        for (op, truth) in truth {
            assert_eq!(report["jobs"][0][op]["total_ios"], truth.len(), "{name} {op}: fio and the kernel");
            if !truth.is_empty() {
                assert_agree(&format!("{name} {op}"), histogram(&result, "d2c", op), &truth);
            }
        }
    }
}
