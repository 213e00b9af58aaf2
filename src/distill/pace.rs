//! When the source's requests began: as fast as they were served, at a rate, or in bursts.

use crate::measure::{BlockResult, Histogram};
use crate::units;

use super::bursts::Bursts;
use super::depth::{is_kept, wall};
use super::pauses::{BURST, Idle, Pauses};
use super::streams::Direction;

/// The share of its time in which a source had requests in flight, from which on it is taken to
/// have been limited by the device alone: what a busy host adds between two requests of a full
/// queue is less than the rest.
pub const SATURATED: f64 = 0.75;
/// Idle time for each request below which it is the host's own between an end and the next start
/// (system calls, interrupts, copies), when the depth never changes: a job has the same.
const OVERHEAD_NS: f64 = 100_000.0;
/// The same where more than one is kept in flight: a host that is busy with other things stops a
/// program for milliseconds at a time, which no rate and no pause of the program's own explains.
const STARVED_NS: f64 = 300_000.0;
/// The Kolmogorov-Smirnov distance from an exponential distribution up to which times between
/// requests are those of a Poisson process, whatever the device made of it; of so many gaps chance
/// alone makes 0.06 once in a thousand times (1.95 / sqrt(n), Kolmogorov 1933).
const EXPONENTIAL: (f64, u64) = (0.06, 1000);
/// Variance over mean of the requests in flight that each one meets, from which on nobody keeps a
/// queue at a depth: a Poisson process has 1 (M/G/infinity), a queue that is kept full next to 0.
const LOOSE: f64 = 0.7;
/// The squared coefficient of variation of the times between requests below which they came as by
/// a clock rather than at random (a Poisson process has 1, a clock 0), and above which in bursts.
const CLOCKWORK: f64 = 0.5;
const BURSTY: f64 = 3.0;
/// How near to the median, relative, so large a share of the gaps of a clock lies, however often a
/// busy host makes it late. Of a Poisson process a fifth does (exp(-0.7 ln 2) - exp(-1.3 ln 2)).
const ON_TIME: (f64, f64) = (0.3, 0.45);

/// How requests begin.
#[derive(Clone, Debug, PartialEq)]
pub enum Pace {
    /// The next one when one ends.
    Saturated,
    /// At a rate, by a clock or at random (as a Poisson process).
    Rate {
        /// Requests per second that read, and that write.
        per_second: [f64; 2],
        /// A Poisson process, not a clock.
        poisson: bool,
    },
    /// So many as fast as they are served, then a pause.
    Bursts {
        /// Requests of a burst, both directions.
        requests: u64,
        /// The pause, from the last end to the next start.
        idle_ns: u64,
    },
    /// The same, of several sizes.
    Mixed(Bursts),
}

/// How a source's requests began, and how that is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Paced {
    /// How.
    pub pace: Pace,
    /// For people.
    pub why: String,
}

impl Paced {
    /// From the times between births (`gap`) and the time with requests in flight. A capture
    /// without them counts as saturated. What is written before each of so many `syncs` is one burst, where
    /// nothing else makes them.
    pub fn of(block: &BlockResult, syncs: Option<u64>) -> Self {
        let counted = Direction::ALL.map(|d| block.histogram("gap", Some(d.word())).filter(|h| h.count > 0));
        let leader = counted.into_iter().flatten().max_by_key(|gap| gap.count);
        let busy = block.histogram("inflight_time", None).map(busy_ns).filter(|ns| *ns > 0.0);
        let (Some(leader), Some(busy)) = (leader, busy) else {
            return Self::saturated("the capture has no times between requests, so the pace is not known".to_owned());
        };
        let span = span_ns(block).unwrap_or(busy);
        let share = busy / span.max(busy);
        let requests = Direction::ALL.map(|d| block.histogram("size", Some(d.word())).map_or(0, |h| h.count) as f64);
        let total: f64 = requests.iter().sum();
        if let Some(why) = always_in_calls(block, span) {
            return Self::saturated(why);
        }
        let pauses = Pauses::of(leader, span - busy);
        let idle = Idle { ns: span - busy, requests: total, span };
        if let Some(paced) = pauses
            .filter(|_| share < SATURATED && requests[0] == 0.0)
            .and_then(|p| p.between_syncs(block, syncs?, &idle))
        {
            return paced;
        }
        let pauses = pauses.filter(|pauses| total / pauses.count >= BURST);
        if let Some(pauses) = pauses.filter(|p| if share < SATURATED { p.are_own() } else { p.are_regular(share) }) {
            return pauses.paced(total, span);
        }
        if share >= SATURATED && is_exponential(leader) && depth_is_loose(block) {
            return Self {
                pace: Pace::Rate { per_second: requests.map(|n| n * 1e9 / span), poisson: true },
                why: format!(
                    "requests were in flight in {:.0} % of the time, but the times between them are those of a Poisson \
                     process, and nobody kept the depth: they came at random, and the device was slow",
                    share * 100.0
                ),
            };
        }
        let variation = squared_variation(leader).unwrap_or(1.0);
        if let Some(bursts) = Bursts::of(block, &idle).filter(|_| variation >= BURSTY && syncs.is_none()) {
            let why = format!("requests were in flight in {:.0} % of the time, {}", share * 100.0, bursts.about());
            return Self { pace: Pace::Mixed(bursts), why };
        }
        if share >= SATURATED {
            return Self::saturated(format!(
                "requests were in flight in {:.0} % of the time: the depth is kept full, and the device sets the pace",
                share * 100.0
            ));
        }
        let own = (span - busy - in_syncs(block)).max(0.0) / total;
        if own < idle_of_the_host(block) {
            let idle = units::ns(own);
            let depth = if depth_is_constant(block) {
                "nearly all of them met the same number in flight"
            } else {
                "while any was, the number stayed near its most"
            };
            return Self::saturated(format!(
                "requests were in flight in {:.0} % of the time; {depth}, and {idle} of idle time for each request is what \
                 the program and the host spend between them (system calls, syncs, the scheduler), as a job without a \
                 pause does: the depth is kept full",
                share * 100.0
            ));
        }
        let on_time = on_time(leader);
        let poisson = variation >= CLOCKWORK && on_time < ON_TIME.1;
        let how = match variation {
            v if v < CLOCKWORK => "so they come as by a clock",
            _ if !poisson => "but most are near the median: they come as by a clock that is late at times",
            v if v < BURSTY => "so they come at random",
            _ => "so they come in bursts, which a random rate follows only roughly",
        };
        Self {
            pace: Pace::Rate { per_second: requests.map(|n| n * 1e9 / span), poisson },
            why: format!(
                "requests were in flight in {:.0} % of the time; the squared variation of the times between them is \
                 {variation:.2} (a clock has 0, a Poisson process 1), {how}",
                share * 100.0
            ),
        }
    }

    fn saturated(why: String) -> Self {
        Self { pace: Pace::Saturated, why }
    }
}

/// Why a source is as fast as it can be: one thread waits in its calls nearly all of the time.
fn always_in_calls(block: &BlockResult, span: f64) -> Option<String> {
    let spent = |name: &str| block.histogram(name, None).map_or(0.0, |h| h.sum as f64);
    let share = (spent("syscall_read") + spent("syscall_write") + in_syncs(block)) / span.max(1.0);
    (SATURATED..=ONE_THREAD).contains(&share).then(|| {
        format!(
            "one thread was in calls of read, write and sync in {:.0} % of the time: the next comes when one ends",
            (share * 100.0).min(100.0)
        )
    })
}

/// The time in syncs, ns.
fn in_syncs(block: &BlockResult) -> f64 {
    ["fsync", "fdatasync"].iter().filter_map(|name| block.histogram(name, None)).map(|h| h.sum as f64).sum()
}

/// The share of the time in calls that is one thread's at most.
pub const ONE_THREAD: f64 = 1.1;

/// From the first birth of a request to the last one, in the direction that was at it longer: a
/// capture begins before its load and ends after it. No less than the time with requests in flight, of
/// which reads may have one part and writes the other. None without times between requests.
pub fn span_ns(block: &BlockResult) -> Option<f64> {
    let gaps = Direction::ALL.into_iter().filter_map(|d| block.histogram("gap", Some(d.word())));
    let busy = block.histogram("inflight_time", None).map_or(0.0, busy_ns);
    gaps.filter(|gap| gap.count > 0).map(|gap| (gap.sum as f64).max(busy)).reduce(f64::max)
}

/// Variance over the squared mean, values taken at the middle of their buckets: 0 for a clock, 1
/// for a Poisson process, more for bursts. None when empty.
pub fn squared_variation(gap: &Histogram) -> Option<f64> {
    let mean = gap.mean().filter(|mean| *mean > 0.0)?;
    let squares: f64 = gap.buckets.iter().map(|b| (middle(b) - mean).powi(2) * b.2 as f64).sum();
    Some(squares / gap.count as f64 / (mean * mean))
}

/// The share of the gaps near the median.
fn on_time(gap: &Histogram) -> f64 {
    let median = gap.quantile(0.5).unwrap_or(0.0);
    let near = |bucket: &&(i64, i64, u64)| (middle(bucket) / median.max(1.0) - 1.0).abs() <= ON_TIME.0;
    gap.buckets.iter().filter(near).map(|bucket| bucket.2).sum::<u64>() as f64 / gap.count.max(1) as f64
}

/// The value in the middle of a bucket.
pub fn middle(&(low, high, _): &(i64, i64, u64)) -> f64 {
    (low as f64 + (high - 1) as f64) / 2.0
}

/// Idle time for each request up to which it is the host's own, by how full the queue is kept.
fn idle_of_the_host(block: &BlockResult) -> f64 {
    if depth_is_constant(block) {
        return OVERHEAD_NS;
    }
    // A queue that ends at its depth is one that a program fills.
    if is_kept(block, 0.5) || wall(block, None).is_some_and(|depth| depth >= DEEP) { STARVED_NS } else { 0.0 }
}

/// A depth that requests which come by a clock or at random do not end at.
const DEEP: f64 = 4.0;

/// Whether nearly all requests met the same number in flight.
fn depth_is_constant(block: &BlockResult) -> bool {
    let depths = Direction::ALL.into_iter().filter_map(|d| block.histogram("inflight", Some(d.word())));
    depths.filter(|h| h.count > 0).all(|h| h.quantile(0.05) == h.quantile(0.95))
}

/// Whether the times between requests are those of a Poisson process.
fn is_exponential(gap: &Histogram) -> bool {
    let Some(mean) = gap.mean().filter(|mean| *mean > 0.0 && gap.count >= EXPONENTIAL.1) else { return false };
    let mut below = 0;
    let farthest = gap.buckets.iter().map(|&(_, high, count)| {
        below += count;
        (below as f64 / gap.count as f64 - (1.0 - (-(high as f64) / mean).exp())).abs()
    });
    farthest.fold(0.0, f64::max) <= EXPONENTIAL.0
}

/// Whether requests of the direction that has more of them met so different numbers in flight that
/// nobody kept those at one.
fn depth_is_loose(block: &BlockResult) -> bool {
    let depths = Direction::ALL.into_iter().filter_map(|d| block.histogram("inflight", Some(d.word())));
    let Some(met) = depths.max_by_key(|h| h.count) else { return false };
    let mean = met.mean().unwrap_or(0.0);
    squared_variation(met).is_some_and(|variation| variation * mean >= LOOSE)
}

/// The time in which anything was in flight.
pub fn busy_ns(depths: &Histogram) -> f64 {
    depths.buckets.iter().filter(|bucket| bucket.0 > 0).map(|bucket| bucket.2 as f64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::LogLinear;

    fn block(gaps: &[(u64, u64)], busy_ns: u64) -> BlockResult {
        let mut block = BlockResult::default();
        let mut times = LogLinear::times();
        gaps.iter().for_each(|&(ns, count)| times.record_many(ns, count));
        let mut sizes = LogLinear::new(5);
        sizes.record_many(4096, times.count() + 1);
        let mut depths = LogLinear::new(5);
        depths.record_many(1, busy_ns);
        block.histograms = vec![
            times.save("gap", Some("read"), "ns"),
            sizes.save("size", Some("read"), "bytes"),
            depths.save("inflight_time", None, "ios"),
        ];
        block
    }

    #[test]
    fn a_full_queue_is_saturated() {
        assert_eq!(Paced::of(&block(&[(100_000, 1000)], 99_000_000), None).pace, Pace::Saturated);
        assert_eq!(Paced::of(&BlockResult::default(), None).pace, Pace::Saturated);
    }

    #[test]
    fn a_clock_and_a_poisson_process_are_told_apart() {
        let Pace::Rate { per_second, poisson } = Paced::of(&block(&[(200_000, 5000)], 250_000_000), None).pace else {
            panic!("a rate");
        };
        assert!(!poisson && (per_second[0] / 5000.0 - 1.0).abs() < 0.05, "{per_second:?}");
        // Quantiles of an exponential distribution of mean 200 us.
        let gaps: Vec<(u64, u64)> =
            (0..1000).map(|i| ((-200_000.0 * (1.0 - (f64::from(i) + 0.5) / 1000.0).ln()) as u64, 5)).collect();
        let Pace::Rate { per_second, poisson } = Paced::of(&block(&gaps, 250_000_000), None).pace else {
            panic!("a rate")
        };
        assert!(poisson && (per_second[0] / 5000.0 - 1.0).abs() < 0.05, "{per_second:?}");
    }

    #[test]
    fn bursts_have_their_length_and_their_pause() {
        // 100 times 64 requests, one every 50 us, then 10 ms of nothing.
        let paced = Paced::of(&block(&[(50_000, 6300), (10_050_000, 99)], 320_000_000), None);
        let Pace::Bursts { requests, idle_ns } = paced.pace else { panic!("{paced:?}") };
        assert!((62..=67).contains(&requests), "{requests}");
        assert!((9_500_000..=10_500_000).contains(&idle_ns), "{idle_ns}");
    }

    #[test]
    fn a_synchronous_writer_is_no_paced_one() {
        // 40 us on the device, 25 us between, and one request at a time.
        let mut block = block(&[(65_000, 5000)], 200_000_000);
        let mut depths = LogLinear::new(5);
        depths.record_many(1, 5001);
        block.histograms.push(depths.save("inflight", Some("read"), "ios"));
        assert_eq!(Paced::of(&block, None).pace, Pace::Saturated);
    }

    #[test]
    fn a_full_queue_of_a_starved_program_is_no_burst() {
        // Four in flight, always, for 40 % of the time: the rest the program waits for a processor.
        let mut block = block(&[(20_000, 8000), (1_500_000, 100), (6_000_000, 40), (40_000_000, 5)], 300_000_000);
        let mut depths = LogLinear::new(5);
        depths.record_many(1, 20_000_000);
        depths.record_many(4, 280_000_000);
        block.histograms.retain(|histogram| histogram.name != "inflight_time");
        block.histograms.push(depths.save("inflight_time", None, "ios"));
        let mut met = LogLinear::new(5);
        (1..=4).for_each(|depth| met.record_many(depth, 2000));
        block.histograms.push(met.save("inflight", Some("read"), "ios"));
        let paced = Paced::of(&block, None);
        assert_eq!(paced.pace, Pace::Saturated, "{}", paced.why);
    }

    fn exponential(mean_ns: f64) -> Vec<(u64, u64)> {
        (0..1000).map(|i| ((-mean_ns * (1.0 - (f64::from(i) + 0.5) / 1000.0).ln()) as u64, 5)).collect()
    }

    fn met(block: &mut BlockResult, depths: &[(u64, u64)]) {
        let mut counter = LogLinear::new(5);
        depths.iter().for_each(|&(depth, count)| counter.record_many(depth, count));
        block.histograms.push(counter.save("inflight", Some("read"), "ios"));
    }

    #[test]
    fn a_slow_device_does_not_make_random_arrivals_a_full_queue() {
        let mut random = block(&exponential(200_000.0), 990_000_000);
        met(&mut random, &[(6, 600), (8, 900), (10, 1000), (12, 900), (14, 700), (17, 500), (20, 400)]);
        assert!(
            matches!(Paced::of(&random, None).pace, Pace::Rate { poisson: true, .. }),
            "{}",
            Paced::of(&random, None).why
        );
        // Sixteen servers of random times have random ends, and a queue that is kept.
        let mut kept = block(&exponential(200_000.0), 990_000_000);
        met(&mut kept, &[(14, 10), (15, 90), (16, 4900)]);
        assert_eq!(Paced::of(&kept, None).pace, Pace::Saturated);
    }

    #[test]
    fn pauses_count_however_long_the_bursts_between_them_are() {
        // 100 times 200 requests, one every 400 us, and 50 ms of nothing.
        let paced = Paced::of(&block(&[(400_000, 19_900), (50_000_000, 99)], 8_000_000_000), None);
        assert!(matches!(paced.pace, Pace::Bursts { requests: 195..=205, .. }), "{paced:?}");
        let few = Paced::of(&block(&[(400_000, 19_900), (10_000_000, 99)], 8_000_000_000), None);
        assert!(matches!(few.pace, Pace::Bursts { requests: 195..=205, .. }), "a tenth of the time: {few:?}");
        let irregular = [(400_000, 19_900), (3_000_000, 40), (9_000_000, 30), (30_000_000, 10)];
        let host = Paced::of(&block(&irregular, 8_000_000_000), None);
        assert_eq!(host.pace, Pace::Saturated, "what stops a program from outside: {}", host.why);
    }

    #[test]
    fn hiccups_of_a_busy_host_are_no_bursts() {
        let paced = Paced::of(&block(&[(17_000, 50_000), (3_600_000, 50)], 860_000_000), None);
        assert_eq!(paced.pace, Pace::Saturated, "{}", paced.why);
    }

    #[test]
    fn syncs_end_bursts_that_nothing_else_tells() {
        // 1,000 times 256 pages at once; the kernel holds some of them back for 3 ms, a few for 30.
        let gaps = [(700, 255_000), (400_000, 740), (3_500_000, 240), (30_000_000, 20)];
        let mut writeback = block(&gaps, 500_000_000);
        let ops = writeback.histograms.iter_mut().filter_map(|histogram| histogram.op.as_mut());
        ops.for_each(|op| *op = "write".to_owned());
        let Pace::Bursts { requests: 256, idle_ns } = Paced::of(&writeback, Some(1000)).pace else {
            panic!("{}", Paced::of(&writeback, Some(1000)).why);
        };
        assert!((1_300_000..1_500_000).contains(&idle_ns), "{idle_ns}");
        // A clock that syncs now and then is still one.
        let clock = block(&[(200_000, 5000)], 250_000_000);
        assert!(matches!(Paced::of(&clock, Some(300)).pace, Pace::Rate { poisson: false, .. }));
        let random = block(&exponential(200_000.0), 250_000_000);
        assert!(matches!(Paced::of(&random, Some(300)).pace, Pace::Rate { poisson: true, .. }));
    }

    #[test]
    fn a_thread_that_is_always_in_its_calls_has_no_pace() {
        // 40 us on the device, then 60 us until the call returns; and a sync of 1 ms after every 10.
        let mut block = block(&[(100_000, 4500), (1_100_000, 499)], 200_000_000);
        let spent = |name: &str, ns: u64, count: u64| {
            let mut calls = LogLinear::times();
            calls.record_many(ns, count);
            calls.save(name, None, "ns")
        };
        assert_ne!(Paced::of(&block, Some(500)).pace, Pace::Saturated, "what else could it be");
        block.histograms.extend([spent("syscall_read", 95_000, 5000), spent("fsync", 1_000_000, 500)]);
        assert_eq!(Paced::of(&block, Some(500)).pace, Pace::Saturated);
        block.histograms.retain(|h| h.name != "syscall_read" && h.name != "fsync");
        block.histograms.push(spent("syscall_read", 950_000, 5000));
        assert_ne!(Paced::of(&block, Some(500)).pace, Pace::Saturated, "several threads may each have one");
    }
}
