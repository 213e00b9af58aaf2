//! The table of a capture that had only the kernel's counters: a line per device and direction.

use std::fmt::Write as _;

use crate::measure::BlockResult;
use crate::measure::block::BlockDevice;
use crate::units;

/// What was counted, and what is not known.
pub fn of(result: &BlockResult) -> String {
    let duration_s = result.duration_s.unwrap_or(0.0);
    let window = units::ns(duration_s * 1e9);
    let mut text = format!("counted by the kernel within {window}, for everybody; quantiles are not available\n");
    let _ = writeln!(text, "{:<13} {:<5} {:>9} {:>10} {:>10} {:>9}", "", "op", "count", "bytes", "mean", "merges");
    for device in &result.devices {
        for line in lines(device, duration_s).into_iter().flatten() {
            let _ = writeln!(text, "{line}");
        }
    }
    if let Some(bytes) = &result.processes {
        let show = units::bytes;
        let (read, written) = (show(bytes.read_bytes), show(bytes.write_bytes));
        let _ = writeln!(text, "the target's processes, on all devices: {read} read, {written} written");
    }
    text
}

fn lines(device: &BlockDevice, duration_s: f64) -> [Option<String>; 3] {
    let (counted, times) = (&device.kernel, device.times.unwrap_or_default());
    let line = |op, ios: u64, bytes: u64, ns: u64, merges: u64| {
        let mean = units::ns(ns as f64 / ios as f64);
        let (ios_shown, bytes) = (units::count(ios), units::bytes(bytes));
        (ios > 0).then(|| format!("{:<13} {op:<5} {ios_shown:>9} {bytes:>10} {mean:>10} {merges:>9}", device.name))
    };
    let busy = times.busy_ns > 0 && duration_s > 0.0;
    [
        line("read", counted.read_ios, counted.read_bytes, times.read_ns, times.read_merges),
        line("write", counted.write_ios, counted.write_bytes, times.write_ns, times.write_merges),
        busy.then(|| {
            let (busy, depth) = (times.busy_ns as f64 / 1e7 / duration_s, times.queue_ns as f64 / 1e9 / duration_s);
            format!("{:<13} busy {busy:.0} % of the time, {depth:.1} in flight on average", device.name)
        }),
    ]
}
