//! A source that is idle now and then, with now few and now many requests in flight: bursts of some sizes.

use std::process::Command;

use kvtrace::measure::{BlockResult, Histogram, LogLinear};

use crate::samples::{self, Load, exact};
use crate::support::{Bench, has_program, skip};

use super::option;

/// Ns with 1 to 28 in flight, so many in all: bursts of 4, 10 and 28 that drain, and nothing in flight before
/// and after them.
fn draining(busy_ns: u64, idle_ns: u64) -> Vec<(i64, u64)> {
    let sorts = [(4, 30), (10, 40), (28, 30)];
    let at = |depth: i64| {
        sorts.iter().filter(|sort| depth <= sort.0).map(|sort| busy_ns / 100 * sort.1 / sort.0 as u64).sum()
    };
    [(0, idle_ns)].into_iter().chain((1..=28).map(|depth| (depth, at(depth)))).collect()
}

/// Ten seconds of 70,000 reads and 30,000 writes of 64 KiB. Either is in flight for so long.
fn bursty(reads_ns: u64, writes_ns: u64, either_ns: u64) -> BlockResult {
    let all = 10_000_000_000;
    let of = |busy: u64| draining(busy, all - busy);
    let mut block = samples::block(&[
        Load { op: "read", sizes: &[(65_536, 70_000)], depths: &of(reads_ns) },
        Load { op: "write", sizes: &[(65_536, 30_000)], depths: &of(writes_ns) },
    ]);
    let both = exact("inflight_time", "both", "ios", 1, &of(either_ns));
    block.histograms.push(Histogram { op: None, ..both });
    for (op, count, few_ns) in [("read", 69_999u64, 8_000), ("write", 29_999, 12_000)] {
        // Pauses of any length, the long ones as much of the time as the short ones.
        let mut gaps = LogLinear::times();
        (0..8).for_each(|doubled| gaps.record_many(64_000 << doubled, 9_000 >> doubled));
        gaps.record_many(few_ns, count - gaps.count());
        block.histograms.push(Histogram { sum: all.into(), ..gaps.save("gap", Some(op), "ns") });
        block.histograms.push(exact("inflight", op, "ios", 1, &[(1, count / 8), (5, count - count / 8)]));
    }
    block
}

fn job_of(block: &BlockResult) -> String {
    let bench = Bench::new();
    bench.write("b.json", samples::json(block));
    bench.ok(&["distill-fio", "b.json", "-o", "job.fio", "--runtime", "20s"]);
    if has_program("fio") {
        let parsed =
            Command::new("fio").current_dir(bench.path("")).args(["--parse-only", "job.fio"]).output().unwrap();
        assert!(parsed.status.success(), "{parsed:?}");
    } else {
        skip("fio is missing, so its parser does not see the jobs of bursts");
    }
    let job = String::from_utf8(bench.read("job.fio")).expect("a job is text");
    let mut names = sections(&job);
    names.sort_unstable();
    assert!(names.windows(2).all(|two| two[0] != two[1]), "no two jobs have one name: {names:?}");
    job
}

fn sections(job: &str) -> Vec<&str> {
    job.lines().filter_map(|line| line.strip_prefix('[')?.strip_suffix(']')).filter(|name| *name != "global").collect()
}

/// Milliseconds of a time as fio reads it.
fn ms(time: Option<String>) -> u64 {
    let time = time.unwrap_or_else(|| "0ms".to_owned());
    match time.strip_suffix("ms") {
        Some(ms) => ms.parse().unwrap(),
        None => time.strip_suffix('s').unwrap().parse::<u64>().unwrap() * 1000,
    }
}

#[test]
fn bursts_of_one_direction_are_jobs_beside_each_other_that_keep_their_shares() {
    // In flight at the same time for 2.1 s: as often as chance has it.
    let job = job_of(&bursty(4_200_000_000, 5_000_000_000, 7_100_000_000));
    for (direction, count, idle_ns) in [("read", 70_000u64, 5_800_000_000u64), ("write", 30_000, 5_000_000_000)] {
        let own: Vec<&str> = sections(&job).into_iter().filter(|name| name.starts_with(direction)).collect();
        assert!((2..=3).contains(&own.len()), "{job}");
        let mut begin = 0;
        for name in own {
            let number = |option_name: &str| option(&job, name, option_name).unwrap().parse::<u64>().unwrap();
            assert_eq!(option(&job, name, "rw"), Some(format!("rand{direction}")));
            let per_second = number("rate") / 65_536;
            assert!(per_second.abs_diff(count / 10) <= 1, "{name}: {per_second}");
            assert_eq!(option(&job, name, "thinktime_blocks_type").as_deref(), Some("issue"));
            let pause_ns = number("thinktime") * 1000 / number("thinktime_blocks");
            assert!((pause_ns as f64 / (idle_ns / count) as f64 - 1.03).abs() < 0.02, "{name}: {pause_ns}");
            assert_eq!(ms(option(&job, name, "startdelay")), begin, "{name} begins when the one before it ends");
            begin += ms(option(&job, name, "runtime"));
        }
        assert!(begin.abs_diff(20_000) <= 2, "{direction} takes all of the time: {begin}");
    }
    assert!(!job.contains("stonewall") && !job.contains("rwmixread"), "{job}");
}

#[test]
fn bursts_of_both_directions_take_turns() {
    // Whenever one is in flight, the other one is nearly always.
    let job = job_of(&bursty(5_000_000_000, 4_800_000_000, 5_200_000_000));
    let own = sections(&job);
    assert!((2..=3).contains(&own.len()) && own.iter().all(|name| name.starts_with("mix-by-")), "{job}");
    let time: u64 = own.iter().map(|name| ms(option(&job, name, "runtime"))).sum();
    assert!(time.abs_diff(20_000) <= 2, "{time}");
    assert_eq!(own.iter().filter(|name| option(&job, name, "stonewall").is_some()).count(), own.len() - 1);
    assert!(own.iter().all(|name| option(&job, name, "rwmixread").as_deref() == Some("70")), "{job}");
    assert!(!job.contains("rate="), "{job}");
}

#[test]
fn what_is_never_idle_has_no_bursts() {
    let job = job_of(&bursty(9_900_000_000, 9_800_000_000, 9_950_000_000));
    assert!(!job.contains("thinktime"), "{job}");
}
