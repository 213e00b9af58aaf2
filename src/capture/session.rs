//! One capture, from attaching to the result.

use std::collections::BTreeMap;
use std::io;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::TOOL;
use crate::error::Result;
use crate::measure::block::{BLOCK_SCHEMA, BlockDevice, BlockFilter, BlockSet, KernelCounters};
use crate::measure::{BlockResult, Histogram};

use super::devices::{self, Device};
use super::layout::{OTHER, TARGET};
use super::loss::Counted;
use super::probes::Probes;
use super::{CaptureFilter, Target, loss, reading, rights, tree};

/// How long requests on their way may take to complete after the end.
const DRAIN: Duration = Duration::from_secs(2);
/// How far ahead the window is set, so that no request is born between the look at the clock and
/// the setting.
const AHEAD: Duration = Duration::from_millis(2);

/// A running capture. Dropped without [`Capture::finish`], it leaves nothing behind.
pub struct Capture {
    probes: Probes,
    devices: Vec<Device>,
    /// The devices as they were when they were found: one may be gone at the end.
    facts: Vec<BlockDevice>,
    filter: BlockFilter,
    filtered: bool,
    before: Vec<KernelCounters>,
    /// What the kernel counted while the window was being opened.
    opening: Vec<KernelCounters>,
    started_ns: u64,
}

impl std::fmt::Debug for Capture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Capture").field("devices", &self.devices).field("filter", &self.filter).finish_non_exhaustive()
    }
}

impl Capture {
    /// Attaches the programs and begins to count.
    ///
    /// # Errors
    /// [`crate::error::Kind::Unavailable`] without the rights or the kernel's help,
    /// [`crate::error::Kind::Usage`] for devices or processes that are not there.
    pub fn start(filter: &CaptureFilter) -> Result<Self> {
        let devices = devices::watched(&filter.devices)?;
        let roots = tree::roots(&filter.target)?;
        rights::check()?;
        let filtered = filter.target != Target::Everything;
        let mut probes = Probes::attach(filter.probes, &devices, filtered, filter.requests)?;
        // Forks are seen from here on, so whoever is missing in one look is there in the next.
        for _ in 0..2 {
            for pid in tree::descendants(&roots) {
                probes.follow(pid)?;
            }
        }
        let command = match &filter.target {
            Target::Command(words) => Some(words.clone()),
            _ => None,
        };
        let early = counters(&devices);
        let started_ns = monotonic_ns() + AHEAD.as_nanos() as u64;
        probes.open_window(started_ns);
        std::thread::sleep(AHEAD);
        let before = counters(&devices);
        let opening = loss::between(&early, &before);
        let filter = BlockFilter { devices: names(filter, &devices), pids: roots, command };
        let facts = devices.iter().map(Device::facts).collect();
        Ok(Self { probes, devices, facts, filter, filtered, before, opening, started_ns })
    }

    /// Starts a command as part of the target, from its first instruction on.
    ///
    /// # Errors
    /// Those of [`Command::spawn`].
    pub fn start_command(&mut self, command: &mut Command) -> io::Result<Child> {
        // For the moment of the fork we are the target ourselves, and the child inherits it.
        let own = std::process::id();
        let was_target = self.filter.pids.contains(&own);
        self.probes.follow(own).map_err(io::Error::other)?;
        let child = command.spawn();
        if !was_target {
            self.probes.forget(own);
        }
        let child = child?;
        self.filter.pids.push(child.id());
        Ok(child)
    }

    /// The disks that are watched.
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// Ends the capture: requests on their way get two seconds to complete, then everything is
    /// detached and read.
    ///
    /// # Errors
    /// When the counts cannot be read.
    pub fn finish(mut self) -> Result<BlockResult> {
        let early = counters(&self.devices);
        let stopped_ns = monotonic_ns();
        self.probes.close_window(stopped_ns);
        let after = counters(&self.devices);
        let closing = loss::between(&early, &after);
        let at_end = self.probes.in_flight();
        let left = self.drain();
        let misses = self.probes.recursion_misses();
        self.probes.detach();

        let mut loss: BTreeMap<String, u64> =
            reading::losses(&self.probes)?.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
        loss.insert("left_inflight".to_owned(), left);
        loss.insert("recursion_misses".to_owned(), misses);
        let kernel = loss::between(&self.before, &after);
        let mut devices = Vec::with_capacity(self.devices.len());
        for (slot, facts) in std::mem::take(&mut self.facts).into_iter().enumerate() {
            let mut facts = facts;
            facts.kernel = kernel[slot];
            facts.captured = reading::captured(&self.probes, slot)?;
            devices.push(facts);
        }
        let at_edges = at_end + loss["nomatch_before_attach"];
        let counted: Vec<Counted> = (0..devices.len())
            .filter(|slot| self.devices[*slot].keeps_counters() && self.devices[*slot].changed().is_none())
            .map(|slot| Counted {
                device: &devices[slot],
                edge: at_edges + ios(self.opening[slot]) + ios(closing[slot]),
            })
            .collect();
        let mut taint_reasons = loss::taint_reasons(&loss, &counted, self.filtered);
        taint_reasons.extend(self.devices.iter().filter_map(Device::changed));
        let (histograms, other) = (self.histograms(TARGET)?, BlockSet { histograms: self.histograms(OTHER)? });
        Ok(BlockResult {
            schema: BLOCK_SCHEMA.to_owned(),
            tool: TOOL.to_owned(),
            complete: true,
            source: self.probes.kind().to_owned(),
            devices,
            filter: self.filter,
            duration_s: (stopped_ns - self.started_ns) as f64 / 1e9,
            histograms,
            other,
            phases: None,
            loss,
            tainted: !taint_reasons.is_empty(),
            taint_reasons,
            probes: self.probes.notes().to_vec(),
            processes: None,
        })
    }

    /// What was counted of one side. Of bios no queue is seen, so nothing is there of it.
    fn histograms(&self, set: usize) -> Result<Vec<Histogram>> {
        let mut all = reading::histograms(&self.probes, &self.devices, set)?;
        if self.devices.iter().all(|device| device.takes_bios) {
            all.retain(|histogram| !["q2d", "i2d"].contains(&histogram.name.as_str()));
        }
        Ok(all)
    }

    /// Waits for the requests on their way; returns how many did not come back.
    fn drain(&self) -> u64 {
        let start = Instant::now();
        loop {
            let left = self.probes.in_flight();
            if left == 0 || start.elapsed() > DRAIN {
                return left;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

fn counters(devices: &[Device]) -> Vec<KernelCounters> {
    devices.iter().map(Device::counters).collect()
}

fn ios(counters: KernelCounters) -> u64 {
    counters.read_ios + counters.write_ios
}

fn names(filter: &CaptureFilter, devices: &[Device]) -> Vec<String> {
    if filter.devices.is_empty() { Vec::new() } else { devices.iter().map(|device| device.name.clone()).collect() }
}

/// The clock of `bpf_ktime_get_ns`.
fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
