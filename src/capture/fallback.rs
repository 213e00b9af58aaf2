//! The kernel's own counters in place of programs, for who may attach none: what
//! /sys/block/NAME/stat and inflight say of the disks, and /proc/PID/io of the target's
//! processes. Sums and means are known from them, distributions are not.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::process::{Child, Command};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::TOOL;
use crate::error::{Error, Result};
use crate::measure::block::{
    BLOCK_SCHEMA, BlockDevice, BlockFilter, BlockSet, DeviceTimes, KernelCounters, ProcessBytes,
};
use crate::measure::{BlockResult, Histogram};
use crate::stop::Stop;

use super::devices::{self, Device};
use super::{CaptureFilter, Target, tree};

/// Time between two looks at what is in flight and at the processes.
const PERIOD: Duration = Duration::from_millis(100);
/// Fewer looks that saw something in flight say nothing of how long it was that much.
const MIN_SEEN: u64 = 20;
/// Directions as the file `inflight` gives them, and both.
const OPS: [Option<&str>; 3] = [Some("read"), Some("write"), None];

/// Counters that are being watched.
#[derive(Debug)]
pub struct Sampling {
    devices: Vec<Device>,
    facts: Vec<BlockDevice>,
    before: Vec<(KernelCounters, DeviceTimes)>,
    filter: BlockFilter,
    why: String,
    stop: Stop,
    sampler: Option<JoinHandle<Seen>>,
    started: Instant,
}

/// What the sampler saw.
#[derive(Debug, Default)]
struct Seen {
    looks: u64,
    /// Time at each depth, by [`OPS`].
    depths: [BTreeMap<u64, u64>; 3],
    /// Looks that saw anything in flight.
    busy: u64,
    processes: Option<Processes>,
}

impl Sampling {
    /// Begins to watch the counters; `why` there are no programs goes into the result.
    ///
    /// # Errors
    /// [`crate::error::Kind::Usage`] for devices or processes that are not there.
    pub fn start(filter: &CaptureFilter, why: &Error) -> Result<Self> {
        let devices = devices::watched(&filter.devices)?;
        let pids = tree::roots(&filter.target)?;
        let (command, processes) = match &filter.target {
            Target::Everything => (None, None),
            Target::Trees(_) => (None, Some(Processes::of(&pids))),
            // What a command did is added to whoever waits for it, and that is us.
            Target::Command(words) => (Some(words.clone()), Some(Processes::of(&[std::process::id()]))),
        };
        let named =
            if filter.devices.is_empty() { Vec::new() } else { devices.iter().map(|d| d.name.clone()).collect() };
        let stop = Stop::new();
        let sampler = {
            let (devices, stop) = (devices.clone(), stop.clone());
            std::thread::Builder::new()
                .name("counters".to_owned())
                .spawn(move || sample(&devices, processes, &stop))
                .map_err(|e| Error::unavailable(format!("cannot start the thread that reads counters: {e}")))?
        };
        Ok(Self {
            facts: devices.iter().map(Device::facts).collect(),
            before: devices.iter().map(|device| (device.counters(), device.times())).collect(),
            devices,
            filter: BlockFilter { devices: named, pids, command },
            why: why.to_string(),
            stop,
            sampler: Some(sampler),
            started: Instant::now(),
        })
    }

    /// Starts a command as the target.
    ///
    /// # Errors
    /// Those of [`Command::spawn`].
    pub fn start_command(&mut self, command: &mut Command) -> io::Result<Child> {
        let child = command.spawn()?;
        self.filter.pids.push(child.id());
        Ok(child)
    }

    /// Ends it.
    ///
    /// # Errors
    /// When the thread that read the counters failed.
    pub fn finish(mut self) -> Result<BlockResult> {
        let duration_s = self.started.elapsed().as_secs_f64();
        let mut taint_reasons = vec![
            "sysfs: these are the kernel's own sums over everybody's I/O: means are known, quantiles, sizes and places \
             are not available"
                .to_owned(),
        ];
        taint_reasons.extend(self.devices.iter().filter_map(Device::changed));
        let mut devices = std::mem::take(&mut self.facts);
        for ((facts, device), (counters, times)) in devices.iter_mut().zip(&self.devices).zip(&self.before) {
            facts.kernel = device.counters().since(*counters);
            facts.captured = facts.kernel;
            facts.times = Some(device.times().since(*times));
        }
        self.stop.request();
        let seen = self.sampler.take().and_then(|sampler| sampler.join().ok());
        let seen = seen.ok_or_else(|| Error::unavailable("the thread that read the kernel's counters failed"))?;
        for times in devices.iter_mut().filter_map(|device| device.times.as_mut()) {
            times.samples = seen.looks;
        }
        Ok(BlockResult {
            schema: BLOCK_SCHEMA.to_owned(),
            tool: TOOL.to_owned(),
            complete: true,
            source: "sysfs".to_owned(),
            devices,
            filter: std::mem::take(&mut self.filter),
            duration_s,
            probes: notes(&self.why, &seen),
            processes: seen.processes.as_ref().and_then(Processes::most),
            histograms: seen.histograms(),
            other: BlockSet::default(),
            phases: None,
            loss: BTreeMap::new(),
            tainted: true,
            taint_reasons,
        })
    }
}

impl Drop for Sampling {
    fn drop(&mut self) {
        self.stop.request();
    }
}

/// What the result says of its counters.
fn notes(why: &str, seen: &Seen) -> Vec<String> {
    let mut notes = vec![
        format!("no programs: {why}"),
        format!("stat: read at the start and the end; inflight: looked at {} times, every 100 ms", seen.looks),
    ];
    match &seen.processes {
        Some(processes) if processes.most().is_some() => notes.push(
            "/proc/PID/io: of the target's processes on all devices, every 100 ms; what one did in its last moments \
             counts only where its parent is of the target too"
                .to_owned(),
        ),
        Some(_) => notes.push("/proc/PID/io: cannot be read, the processes are somebody else's".to_owned()),
        None => {}
    }
    notes
}

/// Looks until it is asked to stop, once more then.
fn sample(devices: &[Device], processes: Option<Processes>, stop: &Stop) -> Seen {
    let mut seen = Seen { processes, ..Seen::default() };
    let mut last = Instant::now();
    loop {
        let ending = stop.requested();
        let now = Instant::now();
        seen.look(devices, now.duration_since(last));
        if ending {
            return seen;
        }
        last = now;
        // In steps, so that the end is not waited for.
        while now.elapsed() < PERIOD && !stop.requested() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Seen {
    fn look(&mut self, devices: &[Device], since: Duration) {
        let spent = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        self.looks += 1;
        let mut busy = false;
        for (reads, writes) in devices.iter().filter_map(Device::in_flight) {
            for (times, depth) in self.depths.iter_mut().zip([reads, writes, reads + writes]) {
                // As of the programs: time with nothing in flight is what the window has left.
                if depth > 0 {
                    *times.entry(depth).or_default() += spent;
                    busy = true;
                }
            }
        }
        self.busy += u64::from(busy);
        if let Some(processes) = &mut self.processes {
            processes.look();
        }
    }

    /// The sampled time at each depth; nothing when too few looks saw any.
    fn histograms(&self) -> Vec<Histogram> {
        if self.busy < MIN_SEEN {
            return Vec::new();
        }
        OPS.iter().zip(&self.depths).map(|(op, times)| depths(*op, times)).collect()
    }
}

fn depths(op: Option<&str>, times: &BTreeMap<u64, u64>) -> Histogram {
    let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX - 1);
    Histogram {
        name: "inflight_time".to_owned(),
        op: op.map(str::to_owned),
        unit: "ios".to_owned(),
        rel_width: 0.0,
        count: times.values().sum(),
        sum: times.iter().map(|(depth, ns)| i128::from(*depth) * i128::from(*ns)).sum(),
        min: times.keys().next().map(|depth| signed(*depth)),
        max: times.keys().next_back().map(|depth| signed(*depth)),
        buckets: times.iter().map(|(depth, ns)| (signed(*depth), signed(*depth) + 1, *ns)).collect(),
    }
}

/// The processes of the target with what the kernel counted for them.
#[derive(Debug)]
struct Processes {
    known: Vec<u32>,
    before: ProcessBytes,
    /// A process that nobody of the target waits for takes its counts with it, so the most that
    /// was ever seen.
    most: Option<ProcessBytes>,
}

impl Processes {
    fn of(roots: &[u32]) -> Self {
        let known: Vec<u32> = tree::descendants(roots).into_iter().collect();
        let before = known.iter().filter_map(|pid| bytes_of(*pid)).fold(ProcessBytes::default(), plus);
        Self { known, before, most: None }
    }

    /// Adds up all that live; a reaped child is in its parent's counts.
    fn look(&mut self) {
        // Once known, a process stays in the target although its parent is gone.
        self.known = tree::descendants(&self.known).into_iter().collect();
        let found: Vec<(u32, Option<ProcessBytes>)> = self.known.iter().map(|pid| (*pid, bytes_of(*pid))).collect();
        self.known.retain(|pid| tree::exists(*pid));
        let read: Vec<ProcessBytes> = found.into_iter().filter_map(|(_, bytes)| bytes).collect();
        if read.is_empty() {
            return;
        }
        let now = minus(read.into_iter().fold(ProcessBytes::default(), plus), self.before);
        let most = self.most.get_or_insert_default();
        most.read_bytes = most.read_bytes.max(now.read_bytes);
        most.write_bytes = most.write_bytes.max(now.write_bytes);
        most.cancelled_write_bytes = most.cancelled_write_bytes.max(now.cancelled_write_bytes);
    }

    fn most(&self) -> Option<ProcessBytes> {
        self.most
    }
}

fn bytes_of(pid: u32) -> Option<ProcessBytes> {
    let text = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
    Some(ProcessBytes {
        read_bytes: field("read_bytes:")?,
        write_bytes: field("write_bytes:")?,
        cancelled_write_bytes: field("cancelled_write_bytes:")?,
    })
}

fn plus(a: ProcessBytes, b: ProcessBytes) -> ProcessBytes {
    ProcessBytes {
        read_bytes: a.read_bytes + b.read_bytes,
        write_bytes: a.write_bytes + b.write_bytes,
        cancelled_write_bytes: a.cancelled_write_bytes + b.cancelled_write_bytes,
    }
}

fn minus(a: ProcessBytes, b: ProcessBytes) -> ProcessBytes {
    ProcessBytes {
        read_bytes: a.read_bytes.saturating_sub(b.read_bytes),
        write_bytes: a.write_bytes.saturating_sub(b.write_bytes),
        cancelled_write_bytes: a.cancelled_write_bytes.saturating_sub(b.cancelled_write_bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depths_are_weighted_by_their_time_and_only_from_enough_looks() {
        let mut seen = Seen { busy: MIN_SEEN - 1, ..Seen::default() };
        seen.depths[2] = BTreeMap::from([(1, 300), (4, 100)]);
        assert!(seen.histograms().is_empty(), "absent, not zero");
        seen.busy += 1;
        let all = seen.histograms();
        let both = all.iter().find(|histogram| histogram.is("inflight_time", None)).unwrap();
        assert_eq!((both.count, both.sum, both.min, both.max), (400, 700, Some(1), Some(4)));
        assert_eq!(both.quantile(0.5), Some(1.0));
    }

    #[test]
    fn our_own_reads_and_writes_are_found() {
        let mut processes = Processes::of(&[std::process::id()]);
        processes.look();
        assert!(processes.most().is_some());
        assert!(bytes_of(u32::MAX).is_none());
    }
}
