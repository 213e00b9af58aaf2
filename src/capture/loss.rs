//! What was not seen, and when that makes the numbers doubtful.

use std::collections::BTreeMap;

use crate::measure::block::{BlockDevice, KernelCounters};

/// Losses that make a result doubtful, and what each means. The other counters are facts of the
/// I/O (requeues, merges, partial completions, errors) or of the moment of attaching.
const TAINTING: [(&str, &str); 11] = [
    ("map_full", "requests were not followed because the table of those in flight was full"),
    ("pids_full", "processes were not followed because the table of the target's processes was full"),
    ("late_attr", "this kernel shows a request first when it is queued, where the running task may be another one"),
    ("nomatch_later", "requests completed whose start was not seen"),
    (
        "lost_complete",
        "requests completed without the kernel showing it: counts and sizes hold them, d2c and q2c do not, and until \
         they are used again they count as in flight (inflight, inflight_time)",
    ),
    ("left_inflight", "requests were not seen to complete within two seconds of the end"),
    ("threads_full", "system calls were not followed because the kernel had no memory for it"),
    ("uring_full", "io_uring operations were not followed because the table of those under way was full"),
    (
        "uring_unmatched",
        "io_uring operations ended without the kernel showing it, or without a completion (IOSQE_CQE_SKIP_SUCCESS)",
    ),
    ("recursion_misses", "events were missed because a program was interrupted by itself"),
    (
        "ring_drop",
        "rows of the events file were dropped because the buffer was full (the histograms are whole); a larger \
         --events-buffer keeps them",
    ),
];

/// The kernel and the probes may differ by this share of the kernel's count.
const TOLERANCE: f64 = 0.01;
/// And by this many I/Os, because the two are not read at one instant.
const SKEW: u64 = 8;

/// A device with both counts.
pub struct Counted<'a> {
    pub device: &'a BlockDevice,
    /// Requests that only one side may have counted: on their way at the start or at the end, or
    /// done while the window opened or closed (its edges and the readings of the kernel's counters
    /// are not one instant, and on a busy machine far apart).
    pub edge: u64,
}

/// Why the numbers are doubtful, in words; empty when they are not.
pub fn taint_reasons(loss: &BTreeMap<String, u64>, devices: &[Counted], filtered: bool) -> Vec<String> {
    let mut reasons = Vec::new();
    for (name, meaning) in TAINTING {
        let count = loss.get(name).copied().unwrap_or(0);
        // Whose task runs does not matter when everybody is the target.
        if count > 0 && (filtered || name != "late_attr") {
            reasons.push(format!("{name} {count}: {meaning}"));
        }
    }
    reasons.extend(devices.iter().filter_map(disagreement));
    reasons
}

fn disagreement(&Counted { device, edge }: &Counted) -> Option<String> {
    let (kernel, ours) = (device.kernel, device.captured);
    let differs =
        |theirs: u64, mine: u64| theirs.abs_diff(mine) as f64 > theirs as f64 * TOLERANCE + (edge + SKEW) as f64;
    let wrong = differs(kernel.read_ios, ours.read_ios) || differs(kernel.write_ios, ours.write_ios);
    wrong.then(|| {
        format!(
            "on {} the kernel counted {} reads and {} writes, the probes {} and {}",
            device.name, kernel.read_ios, kernel.write_ios, ours.read_ios, ours.write_ios
        )
    })
}

/// What was counted between two readings of the devices.
pub fn between(before: &[KernelCounters], after: &[KernelCounters]) -> Vec<KernelCounters> {
    before.iter().zip(after).map(|(before, after)| after.since(*before)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons(kernel_reads: u64, captured_reads: u64, edge: u64) -> Vec<String> {
        let counters = |read_ios| KernelCounters { read_ios, ..KernelCounters::default() };
        let device = BlockDevice {
            kernel: counters(kernel_reads),
            captured: counters(captured_reads),
            ..BlockDevice::default()
        };
        taint_reasons(&BTreeMap::new(), &[Counted { device: &device, edge }], true)
    }

    #[test]
    fn facts_do_not_taint_and_losses_do() {
        let loss = |name: &str| BTreeMap::from([(name.to_owned(), 1)]);
        for fact in ["requeue", "partial", "errors", "nomatch_before_attach", "uring_punted", "writeback_unknown"] {
            assert_eq!(taint_reasons(&loss(fact), &[], true), Vec::<String>::new(), "{fact}");
        }
        for real in ["map_full", "lost_complete", "left_inflight", "recursion_misses", "uring_full", "threads_full"] {
            assert_eq!(taint_reasons(&loss(real), &[], true).len(), 1, "{real}");
        }
        assert!(taint_reasons(&loss("late_attr"), &[], false).is_empty());
    }

    #[test]
    fn the_kernels_own_count_is_the_judge() {
        assert!(reasons(100_000, 99_500, 0).is_empty());
        assert_eq!(reasons(100_000, 98_000, 0).len(), 1);
        assert_eq!(reasons(100_000, 102_000, 0).len(), 1);
        assert!(reasons(20, 0, 12).is_empty(), "requests at an edge");
        assert_eq!(reasons(20, 0, 11).len(), 1);
    }
}
