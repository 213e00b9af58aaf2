//! Memory depends neither on how long a trace is nor on how large its objects are.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use super::HEADER;
use crate::support::Bench;

/// The most memory that a replay of `t.csv` ever had, in KiB.
fn peak_kib(bench: &Bench, args: &[&str]) -> u64 {
    let mut command = bench.command(&[&["replay", "t.csv", "-o", "r.json"][..], args].concat());
    let mut child = command.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    // An ended process keeps its figures until it is waited for.
    let options = rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
    let mut most = 0;
    loop {
        if let Ok(text) = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())) {
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse().ok());
            most = most.max(kib.unwrap_or(0));
        }
        let ended = rustix::process::waitid(
            rustix::process::WaitId::Pid(pid),
            options | rustix::process::WaitIdOptions::NOHANG,
        );
        if ended.unwrap().is_some() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let code = child.wait().unwrap().code();
    assert!([Some(0), Some(3)].contains(&code), "exit {code:?}");
    most
}

#[test]
fn a_large_object_takes_no_more_memory_than_small_ones() {
    let bench = Bench::on_disk();
    let mib = 1u64 << 20;
    let rows = |large: u64| {
        let mut text = HEADER.to_owned();
        for i in 0..400 {
            let size = if i == 200 { large } else { mib };
            text += &format!("{i},Write,{size},Tier-2,k{i},Prefill\n{i},Read,{size},Tier-2,k{i},Decode\n");
        }
        text
    };
    let peak = |large: u64, args: &[&str]| {
        bench.write("t.csv", rows(large));
        peak_kib(&bench, &[&["--max-objects", "64"], args].concat())
    };
    let nop = ["--engine", "nop", "--tier-2", "dir:D"];
    let (small, large) = (peak(mib, &nop), peak(2048 * mib, &nop));
    assert!(large as f64 <= small as f64 * 1.1, "nop: {large} KiB with one of 2 GiB, {small} KiB without");
    // The same for objects that are really made up, written, read and checked.
    let real = ["--tier-2", "dir:D", "--size-scale", "0.1", "--verify", "full"];
    let (small, large) = (peak(mib, &real), peak(1024 * mib, &real));
    assert!(large as f64 <= small as f64 * 1.1, "real: {large} KiB with one of 102 MiB, {small} KiB without");
}

#[test]
fn a_longer_trace_takes_no_more_memory() {
    let bench = Bench::on_disk();
    let peak = |rows: u64| {
        let mut out = std::io::BufWriter::new(fs::File::create(bench.path("t.csv")).unwrap());
        out.write_all(HEADER.as_bytes()).unwrap();
        for i in 0..rows {
            let op = if i < 2000 { "Write" } else { "Read" };
            writeln!(out, "{}.{:06},{op},4096,Tier-2,k{},Decode", i / 1_000_000, i % 1_000_000, i % 2000).unwrap();
        }
        out.flush().unwrap();
        peak_kib(&bench, &["--engine", "nop", "--tier-2", "dir:D"])
    };
    let (short, long) = (peak(200_000), peak(2_000_000));
    assert!(long as f64 <= short as f64 * 1.15, "{long} KiB for 2,000,000 rows, {short} KiB for 200,000");
}
