//! The conditions of a run, from /proc and /sys: how the machine is set, and what it did between
//! two moments.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::measure::conditions::{Conditions, Pressure, StorageConditions};

use super::host::{Device, cpu_times, mount_of};

/// Clock ticks of all processors below which their shares say nothing: at 100 a second a tick is
/// then more than 1 %.
const LEAST_TICKS: u64 = 100;

/// What counters said at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    at: Instant,
    load: Option<[f64; 3]>,
    ticks: Option<Ticks>,
    own_cpu_s: f64,
    /// Microseconds stalled, `some` and `full`, for want of processors, I/O and memory.
    stalled_us: [[Option<u64>; 2]; 3],
    swapped_pages: Option<[u64; 2]>,
    dirty_bytes: Option<u64>,
    throttled: Option<u64>,
    temperatures: Vec<Option<f64>>,
}

/// The first line of /proc/stat, in clock ticks since the start of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Ticks {
    /// User, nice and system: tasks.
    tasks: u64,
    iowait: u64,
    steal: u64,
    /// With idle time and interrupts.
    total: u64,
}

impl Ticks {
    /// The fields are in proc(5): user nice system idle iowait irq softirq steal, then what is in
    /// these already.
    fn read(stat: &str) -> Option<Self> {
        let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
        let ticks: Vec<u64> = line.split_ascii_whitespace().take(8).filter_map(|field| field.parse().ok()).collect();
        let &[user, nice, system, _, iowait, _, _, steal] = ticks.as_slice() else { return None };
        Some(Self { tasks: user + nice + system, iowait, steal, total: ticks.iter().sum() })
    }
}

impl Snapshot {
    /// Now, for targets below these paths.
    pub fn take(targets: &[(u8, &Path)]) -> Self {
        let vm = fs::read_to_string("/proc/vmstat").unwrap_or_default();
        let swapped = |name| field(&vm, name);
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let (user, system) = cpu_times();
        Self {
            at: Instant::now(),
            load: fs::read_to_string("/proc/loadavg").ok().and_then(|text| load(&text)),
            ticks: fs::read_to_string("/proc/stat").ok().and_then(|text| Ticks::read(&text)),
            own_cpu_s: user + system,
            stalled_us: ["cpu", "io", "memory"].map(|of| {
                let text = fs::read_to_string(format!("/proc/pressure/{of}")).unwrap_or_default();
                ["some", "full"].map(|line| stalled(&text, line))
            }),
            swapped_pages: swapped("pswpin").zip(swapped("pswpout")).map(|(read, written)| [read, written]),
            dirty_bytes: field(&meminfo, "Dirty:").map(|kib| kib << 10),
            throttled: cgroup("cpu.stat").and_then(|text| field(&text, "nr_throttled")),
            temperatures: targets.iter().map(|(_, path)| hottest(&Device::below(path)?, "_input")).collect(),
        }
    }
}

/// The conditions of what ran from `before` to now; both are of the same targets.
pub fn between(before: &Snapshot, targets: &[(u8, &Path)]) -> Conditions {
    let after = Snapshot::take(targets);
    let wall_us = (after.at - before.at).as_secs_f64() * 1e6;
    let ticks = before.ticks.zip(after.ticks).and_then(|(from, to)| {
        let total = to.total.saturating_sub(from.total);
        (total >= LEAST_TICKS).then_some((from, to, total as f64))
    });
    let share = |of: fn(&Ticks) -> u64| ticks.map(|(from, to, total)| of(&to).saturating_sub(of(&from)) as f64 / total);
    let own_ticks = (after.own_cpu_s - before.own_cpu_s) * rustix::param::clock_ticks_per_second() as f64;
    let pressure = |of: usize| {
        let share = |line: usize| {
            let (from, to) = (before.stalled_us[of][line]?, after.stalled_us[of][line]?);
            (wall_us > 0.0).then(|| (to.saturating_sub(from) as f64 / wall_us).min(1.0))
        };
        let pressure = Pressure { some: share(0), full: share(1) };
        (pressure != Pressure::default()).then_some(pressure)
    };
    let swapped = |way: usize| {
        let pages = after.swapped_pages?[way].saturating_sub(before.swapped_pages?[way]);
        Some(pages * rustix::param::page_size() as u64)
    };
    let (temperatures, ended) = (&before.temperatures, &after.temperatures);
    let storage = targets.iter().enumerate().map(|(i, &(tier, path))| StorageConditions {
        temperature_before_c: temperatures.get(i).copied().flatten(),
        temperature_after_c: ended.get(i).copied().flatten(),
        ..below(tier, path)
    });
    Conditions {
        load_before: before.load,
        load_after: after.load,
        steal_share: share(|ticks| ticks.steal),
        iowait_share: share(|ticks| ticks.iowait),
        others_cpu_share: ticks
            .map(|(from, to, total)| ((to.tasks.saturating_sub(from.tasks) as f64 - own_ticks) / total).max(0.0)),
        cpu_pressure: pressure(0),
        io_pressure: pressure(1),
        memory_pressure: pressure(2),
        swapped_in_bytes: swapped(0),
        swapped_out_bytes: swapped(1),
        dirty_before_bytes: before.dirty_bytes,
        dirty_after_bytes: after.dirty_bytes,
        throttled_periods: before.throttled.zip(after.throttled).map(|(from, to)| to.saturating_sub(from)),
        storage: storage.collect(),
        ..settings()
    }
}

/// How the machine is set.
fn settings() -> Conditions {
    let cpu = Path::new("/sys/devices/system/cpu");
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = info.lines().find(|line| line.starts_with("flags")).map(|flags| flags.contains(" hypervisor"));
    let turbo = read(&cpu.join("intel_pstate/no_turbo")).map(|off| off == "0");
    let vendor = [read(Path::new("/sys/class/dmi/id/sys_vendor")), read(Path::new("/sys/class/dmi/id/product_name"))];
    let machine: Vec<_> = vendor.into_iter().flatten().filter(|name| !name.is_empty()).collect();
    let machine = if machine.is_empty() { read(Path::new("/sys/hypervisor/type")) } else { Some(machine.join(" ")) };
    let mut governors: Vec<_> =
        children(&cpu.join("cpufreq")).iter().filter_map(|policy| read(&policy.join("scaling_governor"))).collect();
    governors.sort();
    governors.dedup();
    let faults: Vec<_> = children(&cpu.join("vulnerabilities")).iter().filter_map(|fault| read(fault)).collect();
    Conditions {
        cpu_governor: (!governors.is_empty()).then(|| governors.join(", ")),
        turbo: turbo.or_else(|| read(&cpu.join("cpufreq/boost")).map(|on| on == "1")),
        virtual_machine: flags.or_else(|| Path::new("/sys/hypervisor/type").exists().then_some(true)),
        machine,
        transparent_huge_pages: read(Path::new("/sys/kernel/mm/transparent_hugepage/enabled")).map(|all| chosen(&all)),
        mitigations: (!faults.is_empty())
            .then(|| faults.iter().filter(|fault| fault.starts_with("Mitigation")).count() as u32),
        cpu_quota: cpu_quota(),
        ..Conditions::default()
    }
}

/// What lies below a storage tier, but for its temperatures now.
fn below(tier: u8, path: &Path) -> StorageConditions {
    let space = rustix::fs::statvfs(path).ok().filter(|space| space.f_blocks > 0);
    let options = mount_of(path).map(|mount| mount.2);
    let mut conditions = StorageConditions {
        tier,
        discard: options.map(|options| options.split(',').any(|o| o == "discard" || o.starts_with("discard="))),
        free_share: space.map(|space| space.f_bavail as f64 / space.f_blocks as f64),
        ..StorageConditions::default()
    };
    let Some(device) = Device::below(path) else { return conditions };
    conditions.scheduler = device.queue("scheduler").map(|all| chosen(&all));
    conditions.nr_requests = device.queue("nr_requests").and_then(|text| text.parse().ok());
    conditions.writeback_throttle_us = device.queue("wbt_lat_usec").and_then(|text| text.parse().ok());
    conditions.temperature_limit_c = hottest(&device, "_max");
    conditions.device = Some(device.name);
    conditions
}

/// The highest value of a device's temperature sensors, in degrees; `_input` is what they measure,
/// `_max` where it gets too hot (Documentation/hwmon/sysfs-interface).
fn hottest(device: &Device, what: &str) -> Option<f64> {
    let owner = device.sys().join("device");
    let sensors = [children(&owner), children(&owner.join("hwmon"))].concat();
    let named = |path: &PathBuf, start: &str| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(start));
    let values = sensors.iter().filter(|path| named(path, "hwmon")).flat_map(|sensor| children(sensor));
    let wanted = values.filter(|path| named(path, "temp") && path.to_string_lossy().ends_with(what));
    wanted.filter_map(|path| read(&path)?.parse::<f64>().ok()).map(|thousandths| thousandths / 1000.0).reduce(f64::max)
}

/// Processors that the control group may use: `cpu.max` of version 2, or the quota of version 1.
fn cpu_quota() -> Option<f64> {
    let ratio = |quota: &str, period: &str| -> Option<f64> {
        let (quota, period): (f64, f64) = (quota.parse().ok()?, period.parse().ok()?);
        (quota > 0.0 && period > 0.0).then(|| quota / period)
    };
    if let Some(text) = cgroup("cpu.max") {
        let (quota, period) = text.split_once(' ')?;
        return ratio(quota, period);
    }
    ratio(&cgroup("cpu.cfs_quota_us")?, &cgroup("cpu.cfs_period_us")?)
}

/// A file of the control group that limits our processors.
fn cgroup(name: &str) -> Option<String> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let of = |line: &str| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, group) = rest.split_once(':')?;
        let owner = controllers.split(',').any(|controller| controller == "cpu" || controller.is_empty());
        let mounts = if controllers.is_empty() { vec![String::new()] } else { vec![controllers.into(), "cpu".into()] };
        let roots = mounts.iter().map(|mount| Path::new("/sys/fs/cgroup").join(mount));
        // In a container the group's name may be that outside of it.
        let places = roots.flat_map(|root| [root.join(group.trim_start_matches('/')), root]);
        owner.then(|| places.collect::<Vec<_>>())
    };
    groups.lines().filter_map(of).flatten().find_map(|place| read(&place.join(name)))
}

fn read(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn children(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).map_or_else(|_| Vec::new(), |all| all.flatten().map(|entry| entry.path()).collect())
}

/// `b` of `a [b] c`.
pub fn chosen(all: &str) -> String {
    all.split('[').nth(1).and_then(|rest| rest.split(']').next()).unwrap_or(all).to_owned()
}

/// The number after a name at the start of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix([' ', '\t']))?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

fn load(text: &str) -> Option<[f64; 3]> {
    let fields: Vec<f64> = text.split(' ').take(3).filter_map(|field| field.parse().ok()).collect();
    fields.try_into().ok()
}

/// `total` of a line of /proc/pressure.
fn stalled(text: &str, line: &str) -> Option<u64> {
    let line = text.lines().find(|found| found.starts_with(line))?;
    line.rsplit_once("total=")?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_read() {
        let ticks = Ticks::read("cpu  100 20 30 400 50 6 7 80 90 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n");
        assert_eq!(ticks, Some(Ticks { tasks: 150, iowait: 50, steal: 80, total: 693 }));
        assert_eq!(load("1.09 0.87 1.20 7/124 12232\n"), Some([1.09, 0.87, 1.2]));
        let psi =
            "some avg10=46.22 avg60=11.06 avg300=3.46 total=837\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=5\n";
        assert_eq!((stalled(psi, "some"), stalled(psi, "full"), stalled("", "some")), (Some(837), Some(5), None));
        assert_eq!(field("Dirtyish: 9 kB\nDirty:   178 kB\n", "Dirty:"), Some(178));
        assert_eq!((chosen("none [mq-deadline] kyber").as_str(), chosen("none").as_str()), ("mq-deadline", "none"));
    }

    #[test]
    fn work_of_others_is_not_ours_and_short_runs_say_nothing() {
        let here = Path::new(".");
        let before = Snapshot::take(&[(2, here)]);
        let short = between(&before, &[(2, here)]);
        assert_eq!((short.others_cpu_share, short.steal_share), (None, None));
        assert!(short.storage.len() == 1 && short.storage[0].free_share.is_some_and(|share| share < 1.0));
        assert!(short.cpu_pressure.is_none_or(|p| p.some.is_none_or(|share| (0.0..=1.0).contains(&share))));
    }
}
