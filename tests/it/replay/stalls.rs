//! Whose fault a delay is: a stall shows in the response of everything that was due meanwhile, in
//! the service only where the device was at fault, and makes the run invalid only where we were.

use std::fs;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::faults::{ended_soon, small_ext4, start_prepared};
use super::trace;
use crate::support::{Bench, skip};

/// The stall, of a run of five seconds.
const STALL: Duration = Duration::from_millis(200);
/// What only the stall can have made so long, on a machine that is busy with other things too.
const LONG_NS: u64 = 100_000_000;
const RATE: u64 = 200;

/// How many values of a histogram are surely at least `bound`.
fn above(histogram: &Value, bound: u64) -> u64 {
    let buckets = histogram["buckets"].as_array().unwrap();
    buckets.iter().filter(|b| b[0].as_u64().unwrap() >= bound).map(|b| b[2].as_u64().unwrap()).sum()
}

/// All operations' response and service: how many are long, and the longest.
fn long(result: &Value, what: &str) -> (u64, u64) {
    let kinds = result["latency"].as_array().unwrap().iter().map(|kind| &kind[what]);
    kinds.fold((0, 0), |(count, most), histogram| {
        (count + above(histogram, LONG_NS), most.max(histogram["max"].as_u64().unwrap()))
    })
}

/// Starts a run of five seconds at 200 operations a second and lets it run for two.
fn paced(bench: &Bench, dir: &str, op: &str, engine: &str) -> Child {
    let rows: Vec<_> = (0..5 * RATE).map(|i| format!("{i} {op} 4096 Tier-2 k{} Decode", i % 50)).collect();
    trace(bench, "t.csv", &rows);
    let (target, rate) = (format!("dir:{dir}"), format!("rate:{RATE}/s"));
    let load = ["--pace", &rate, "--wait", "timeout", "--engine", engine];
    let args = [&["replay", "t.csv", "--tier-2", &target, "-o", "r.json"][..], &load].concat();
    let child = match engine {
        "nop" => bench.command(&args).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap(),
        _ => start_prepared(bench, &format!("{dir}/kvtrace-tier2.slab"), &args),
    };
    sleep(Duration::from_secs(2));
    child
}

/// The operations that became due in the part of the stall that is long before its end, less what
/// a sleep of this test may be off by.
fn due_meanwhile() -> u64 {
    RATE * (STALL.as_millis() as u64 - LONG_NS / 1_000_000) / 1000 * 8 / 10
}

#[test]
fn a_stall_of_our_own_shows_in_response_and_not_in_service_and_is_confessed() {
    let bench = Bench::on_disk();
    // Without a device there is none that could be at fault.
    let child = paced(&bench, "D", "Read", "nop");
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::STOP).unwrap();
    sleep(STALL);
    kill_process(pid, Signal::CONT).unwrap();
    let ended = ended_soon(child);
    let result = bench.json("r.json");
    let (late, longest) = long(&result, "response");
    assert!(longest >= STALL.as_nanos() as u64 * 9 / 10, "{longest} ns");
    assert!(late >= due_meanwhile(), "{late} of the operations that were due");
    // What was in flight when it was stopped has ended unseen.
    let (served_late, _) = long(&result, "service");
    assert!(served_late * 4 <= late, "{served_late} of {late} are the device's");
    let timing = &result["timing"];
    assert!(above(&timing["lateness"], LONG_NS) >= due_meanwhile(), "our own delay is called that");
    assert!(timing["late_fraction"].as_f64().unwrap() > 0.01);
    assert_eq!((&result["valid"], ended.code), (&false.into(), 3), "{}", ended.stderr);
    let reasons = result["invalid_reasons"].to_string();
    assert!(reasons.contains("started operations late"), "{reasons}");
}

/// FIFREEZE and FITHAW of linux/fs.h: writes to a filesystem wait in between.
const FIFREEZE: rustix::ioctl::Opcode = rustix::ioctl::opcode::read_write::<i32>(b'X', 119);
const FITHAW: rustix::ioctl::Opcode = rustix::ioctl::opcode::read_write::<i32>(b'X', 120);

/// A filesystem that is frozen, until it is dropped.
struct Frozen(fs::File);

impl Frozen {
    fn new(place: &Path) -> Option<Self> {
        let file = fs::File::open(place).unwrap();
        // SAFETY: the opcode takes an integer that it ignores.
        let frozen =
            unsafe { rustix::ioctl::ioctl(file.as_fd(), rustix::ioctl::IntegerSetter::<FIFREEZE>::new_usize(0)) };
        frozen.is_ok().then_some(Self(file))
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // SAFETY: the opcode takes an integer that it ignores.
        let thawed =
            unsafe { rustix::ioctl::ioctl(self.0.as_fd(), rustix::ioctl::IntegerSetter::<FITHAW>::new_usize(0)) };
        assert!(thawed.is_ok() || std::thread::panicking(), "the filesystem stays frozen");
    }
}

/// How long a process was ready to run and the processor was somebody else's, in nanoseconds
/// (schedstat of proc(5)); none where the kernel does not say.
fn starved_ns(pid: Pid) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{}/schedstat", pid.as_raw_nonzero())).ok()?;
    text.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[test]
fn root_a_stall_of_the_device_shows_in_both_and_is_not_ours() {
    for _ in 0..4 {
        let bench = Bench::on_disk();
        let Some(mounted) = small_ext4(&bench, 64) else { return };
        let child = paced(&bench, "m/D", "Write", "io_uring");
        let pid = Pid::from_child(&child);
        let frozen = Frozen::new(&mounted.place).expect("an ext4 can be frozen");
        sleep(STALL);
        drop(frozen);
        sleep(Duration::from_millis(500));
        let starved = starved_ns(pid);
        let ended = ended_soon(child);
        let result = bench.json("r.json");
        for what in ["response", "service"] {
            let (_, longest) = long(&result, what);
            assert!(longest >= STALL.as_nanos() as u64 * 9 / 10, "{what}: {longest} ns");
        }
        let (late, ours) = (long(&result, "response").0, above(&result["timing"]["lateness"], LONG_NS));
        assert!(late >= due_meanwhile(), "{late} operations, {}", ended.stderr);
        if ours <= 1 {
            let served_late = long(&result, "service").0;
            assert!(served_late >= due_meanwhile() * 3 / 4, "{served_late} operations, {}", ended.stderr);
            let p99_is_fine = above(&result["timing"]["lateness"], 100_000) <= 10;
            assert!(result["valid"] == true || !p99_is_fine, "{}", result["invalid_reasons"]);
            return;
        }
        // Then it was delayed by others, not by the device: the kernel counts that.
        assert!(starved.is_none_or(|ns| ns > LONG_NS / 2), "{ours} operations were our own delay: {}", ended.stderr);
    }
    skip("the processor was somebody else's for too long");
}

#[test]
fn a_schedule_lasts_as_long_as_it_says() {
    let bench = Bench::on_disk();
    let rows: Vec<_> = (0..15_000).map(|i| format!("{i} Read 4096 Tier-2 k{} Decode", i % 200)).collect();
    trace(&bench, "t.csv", &rows);
    let args = ["--tier-2", "dir:D", "--pace", "rate:5000/s", "--wait", "timeout", "-o", "r.json"];
    let child = bench
        .command(&[&["replay", "t.csv"][..], &args].concat())
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let ended = ended_soon(child);
    assert!([0, 3].contains(&ended.code), "{}", ended.stderr);
    let result = bench.json("r.json");
    let wall = result["totals"]["wall_s"].as_f64().unwrap();
    let timing = ["lateness", "wait"].map(|name| result["timing"][name]["max"].as_u64().unwrap());
    // The last operation may itself be held up by a busy machine, by no more than was noted.
    let noted = (timing.iter().sum::<u64>() + long(&result, "service").1) as f64 / 1e9;
    assert!(wall >= 2.98 && wall <= 3.06 + noted, "{wall} s for 3 s, {noted} s were noted");
    assert_eq!(result["totals"]["ops"], 15_000);
}
