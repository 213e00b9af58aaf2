//! One capture, from attaching to the result.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::TOOL;
use crate::error::{Error, Result};
use crate::measure::block::{BLOCK_SCHEMA, BlockDevice, BlockFilter, BlockSet, KernelCounters};
use crate::measure::{BlockResult, Histogram};
use crate::trace::Phase;

use super::cgroup::{self, MAX_CGROUPS};
use super::devices::{self, Device};
use super::events::{Recorded, Recorder};
use super::layout::{OTHER, PHASES, PLAIN_SETS, TARGET};
use super::loss::Counted;
use super::probes::Probes;
use super::{CaptureFilter, Phases, Snapshot, Target, above, loss, reading, rights, tree};

/// How long requests on their way may take to complete after the end.
const DRAIN: Duration = Duration::from_secs(2);
/// How long io_uring operations may take to end once the requests have: some of those that are
/// followed may be on files that never answer.
const LINGER: Duration = Duration::from_millis(50);
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
    recorder: Option<Recorder>,
    phases: Phases,
    /// Phases that were set, in their order.
    told: [bool; PHASES.len()],
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
        let cgroups = cgroups(&filter.cgroups)?;
        let filtered = filter.is_filtered();
        let mut probes = Probes::attach(&devices, filter)?;
        let writer = filter.events.as_ref().map(|to| to.open(&devices)).transpose()?;
        for (at, folder) in cgroups.iter().enumerate() {
            probes.follow_cgroup(at, folder)?;
        }
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
        let recorder = match writer {
            Some(writer) => Some(Recorder::start(probes.event_ring()?, writer, started_ns)?),
            None => None,
        };
        let phases = filter.phases;
        let filter =
            BlockFilter { devices: names(filter, &devices), pids: roots, cgroups: filter.cgroups.clone(), command };
        let facts = devices.iter().map(Device::facts).collect();
        Ok(Self {
            probes,
            devices,
            facts,
            filter,
            filtered,
            before,
            opening,
            started_ns,
            recorder,
            phases,
            told: [false; PHASES.len()],
        })
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

    /// The target's I/O that is born from now on belongs to a phase, or to none.
    ///
    /// # Errors
    /// When the capture was not started with [`Phases::Told`].
    pub fn set_phase(&mut self, phase: Option<Phase>) -> Result<()> {
        if self.phases != Phases::Told {
            return Err(Error::usage("this capture takes no phases: start it with CaptureFilter::phases = Told"));
        }
        if let Some(phase) = phase {
            self.told[phase as usize] = true;
        }
        self.probes.set_phase(phase.map_or(0, |phase| phase as u32 + 1));
        Ok(())
    }

    /// The disks that are watched.
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// What has been counted so far; nothing is disturbed or reset.
    ///
    /// # Errors
    /// When the counts cannot be read.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let loss = reading::losses(&self.probes)?.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
        Ok(Snapshot {
            elapsed: Duration::from_nanos(monotonic_ns().saturating_sub(self.started_ns)),
            histograms: self.seen(reading::histograms(&self.probes, &self.devices, &self.sets_of_target())?),
            other: BlockSet { histograms: reading::histograms(&self.probes, &self.devices, &[OTHER])? },
            in_flight: (0..self.devices.len()).map(|slot| self.probes.depth(slot, TARGET)).sum(),
            loss,
        })
    }

    /// Ends the capture: requests on their way get two seconds to complete, then everything is
    /// detached and read.
    ///
    /// # Errors
    /// When the counts cannot be read.
    pub fn finish(self) -> Result<BlockResult> {
        self.finish_with_events().map(|(result, _)| result)
    }

    /// As [`Capture::finish`], with the events if they were asked for: their file has no name yet.
    ///
    /// # Errors
    /// As [`Capture::finish`].
    pub fn finish_with_events(mut self) -> Result<(BlockResult, Option<Recorded>)> {
        let early = counters(&self.devices);
        let stopped_ns = monotonic_ns();
        self.probes.close_window(stopped_ns);
        let after = counters(&self.devices);
        let closing = loss::between(&early, &after);
        let at_end = self.probes.in_flight();
        let left = self.drain();
        let misses = self.probes.recursion_misses();
        let uring_left = above::uring_left(&self.probes);
        self.probes.detach();
        let recorded = self.recorder.take().map(Recorder::end);

        let mut loss: BTreeMap<String, u64> =
            reading::losses(&self.probes)?.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
        loss.insert("left_inflight".to_owned(), left);
        loss.insert("uring_left".to_owned(), uring_left);
        loss.insert("recursion_misses".to_owned(), misses);
        let of_target = self.sets_of_target();
        let mut histograms = reading::histograms(&self.probes, &self.devices, &of_target)?;
        histograms.extend(self.probes.above().histograms(&self.probes, &of_target)?);
        histograms.extend(self.probes.above().work(&self.probes));
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
        let other = BlockSet { histograms: self.seen(reading::histograms(&self.probes, &self.devices, &[OTHER])?) };
        let histograms = self.seen(histograms);
        let phases = self.by_phase()?;
        let result = BlockResult {
            schema: BLOCK_SCHEMA.to_owned(),
            tool: TOOL.to_owned(),
            complete: true,
            source: self.probes.kind().to_owned(),
            devices,
            notes: self.notes(phases.as_ref())?,
            filter: self.filter,
            duration_s: Some((stopped_ns - self.started_ns) as f64 / 1e9),
            histograms,
            other,
            phases,
            loss,
            tainted: !taint_reasons.is_empty(),
            taint_reasons,
            probes: self.probes.notes().to_vec(),
            processes: None,
        };
        Ok((result, recorded))
    }

    /// The target's sets: without a phase, and of each.
    fn sets_of_target(&self) -> Vec<usize> {
        [TARGET].into_iter().chain(PLAIN_SETS..self.probes.sets()).collect()
    }

    /// Of bios no queue is seen, so nothing is there of it.
    fn seen(&self, mut histograms: Vec<Histogram>) -> Vec<Histogram> {
        if self.devices.iter().any(|device| device.takes_bios) {
            histograms.retain(|histogram| !["q2d", "i2d"].contains(&histogram.name.as_str()));
        }
        histograms
    }

    /// The phases that had any I/O or were set; none when no phase was ever known.
    fn by_phase(&self) -> Result<Option<BTreeMap<String, BlockSet>>> {
        let mut phases = BTreeMap::new();
        for set in PLAIN_SETS..self.probes.sets() {
            let mut histograms = reading::histograms(&self.probes, &self.devices, &[set])?;
            // The depth is that of all phases together.
            histograms.retain(|histogram| histogram.name != "inflight_time");
            histograms.extend(self.probes.above().histograms(&self.probes, &[set])?);
            let phase = set - PLAIN_SETS;
            if self.told[phase] || histograms.iter().any(|histogram| histogram.count > 0) {
                phases.insert(PHASES[phase].to_owned(), BlockSet { histograms });
            }
        }
        Ok((!phases.is_empty()).then_some(phases))
    }

    /// What has to be known of the phases beside their numbers.
    fn notes(&self, phases: Option<&BTreeMap<String, BlockSet>>) -> Result<Vec<String>> {
        let mut notes = Vec::new();
        if matches!(self.phases, Phases::InUserData { .. }) && self.probes.sets() == PLAIN_SETS {
            notes.push("phases are not known: this kernel has no io_uring_submit_req tracepoint".to_owned());
        }
        let without = reading::histograms(&self.probes, &self.devices, &[TARGET])?;
        let (ios, bytes) =
            without.iter().filter(|h| h.name == "size").fold((0, 0), |s, h| (s.0 + h.count, s.1 + h.sum));
        let own_phases = matches!(self.phases, Phases::InUserData { .. }) && self.probes.sets() > PLAIN_SETS;
        if ios > 0 && (phases.is_some() || own_phases) {
            notes.push(format!(
                "{ios} I/Os of the target ({bytes} bytes) are in no phase: it said none, or they are a filesystem's own \
                 or were written back from the page cache"
            ));
        }
        if self.filter.command.is_some() {
            let left = self.probes.followed().into_iter().filter(|pid| tree::is_running(*pid)).count();
            if left > 0 {
                notes.push(format!(
                    "the command has ended and {left} of its descendants run on: what they do later was not watched"
                ));
            }
        }
        Ok(notes)
    }

    /// Waits for the requests on their way; returns how many did not come back.
    fn drain(&self) -> u64 {
        let start = Instant::now();
        loop {
            let left = self.probes.in_flight();
            if left == 0 {
                self.linger();
                return 0;
            }
            if start.elapsed() > DRAIN {
                return left;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// The end of an operation is posted after that of its requests.
    fn linger(&self) {
        let start = Instant::now();
        while above::uring_left(&self.probes) > 0 && start.elapsed() < LINGER {
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

fn cgroups(named: &[String]) -> Result<Vec<PathBuf>> {
    if named.len() > MAX_CGROUPS {
        return Err(Error::usage(format!(
            "{} cgroups are more than the {MAX_CGROUPS} that one capture takes; name one above them",
            named.len()
        )));
    }
    named.iter().map(|name| cgroup::resolve(name)).collect()
}

fn names(filter: &CaptureFilter, devices: &[Device]) -> Vec<String> {
    if filter.devices.is_empty() { Vec::new() } else { devices.iter().map(|device| device.name.clone()).collect() }
}

/// The clock of `bpf_ktime_get_ns`.
fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
