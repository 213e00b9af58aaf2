//! What a job says to its reader: places, sizes and warnings, and that fio does what it says.

use std::collections::BTreeMap;

use kvtrace::measure::BlockResult;

use crate::samples::{self, Load};
use crate::support::Bench;

use super::{has_fio, option};

const MIB: i64 = 1 << 20;

/// Reads of the given sizes whose map of places has so many requests in each 10 MiB.
fn reads(sizes: &[(i64, u64)], map: Option<Vec<u64>>) -> BlockResult {
    let mut block = samples::block(&[Load { op: "read", sizes, depths: &[(4, 1000)] }]);
    block.histograms.retain(|histogram| histogram.name != "lba");
    let places = |counts: Vec<u64>| -> Vec<(i64, u64)> {
        counts.into_iter().enumerate().map(|(at, count)| (at as i64 * 10 * MIB, count)).collect()
    };
    block.histograms.extend(map.map(|map| samples::exact("lba", "read", "bytes", 10 * MIB, &places(map))));
    block
}

fn distilled(bench: &Bench, block: &BlockResult) -> String {
    bench.write("b.json", samples::json(block));
    bench.ok(&["distill-fio", "b.json", "-o", "job.fio"]);
    String::from_utf8(bench.read("job.fio")).unwrap()
}

#[test]
fn places_are_hot_or_even_or_not_known() {
    let bench = Bench::new();
    let of = |map| distilled(&bench, &reads(&[(16_384, 100_000)], map));
    let zoned = of(Some(
        (0..100)
            .map(|at| {
                if at < 10 {
                    6000
                } else if at < 30 {
                    1500
                } else {
                    143
                }
            })
            .collect(),
    ));
    assert!(zoned.contains("the densest first:\n#     0-100 MiB 60.0 %, 100-300 MiB 30.0 %\n"), "{zoned}");
    let zones = option(&zoned, "read", "random_distribution");
    assert_eq!(zones.as_deref(), Some("zoned_abs:60/100m:30/200m:10/700m"), "{zoned}");
    assert_eq!(option(&zoned, "read", "bs").as_deref(), Some("16k"), "one size is no split");
    let even = of(Some(vec![1000; 100]));
    assert!(even.contains("hot LBA zones: none, spread evenly over 1000 MiB (0-1000 MiB)"), "{even}");
    assert_eq!(option(&even, "read", "random_distribution"), None);
    assert!(of(None).contains("hot LBA zones: not captured"));
}

#[test]
fn comments_fit_into_100_columns() {
    let bench = Bench::new();
    let load = |op| Load { op, sizes: &[(3584, 7), (131_072, 5), (524_288, 9)], depths: &[(3, 1000)] };
    let job = distilled(&bench, &samples::block(&[load("read"), load("write")]));
    let long: Vec<&str> = job.lines().filter(|line| line.starts_with('#') && line.chars().count() > 100).collect();
    assert!(long.is_empty() && job.contains("# WARNING: "), "{long:?} in\n{job}");
}

#[test]
fn fio_issues_sizes_that_are_no_multiples_of_each_other_as_they_are() {
    let bench = Bench::on_disk();
    let sizes = [(12 << 10, 30_000), (20 << 10, 30_000), (52 << 10, 40_000)];
    let map = (0..20).map(|at| if at < 5 { 9000 } else { 3000 }).collect();
    let job = distilled(&bench, &reads(&sizes, Some(map)));
    assert_eq!(option(&job, "read", "bssplit").as_deref(), Some("12k/30:20k/30:52k/40"));
    assert!(option(&job, "read", "random_distribution").is_some(), "{job}");
    if !has_fio() {
        return;
    }
    let log = "--write_iolog=log --number_ios=4000 --filename=fio-target";
    let ran = std::process::Command::new("sh")
        .current_dir(bench.path(""))
        .args([
            "-c",
            &format!("sed 's/^runtime=.*/runtime=60s/; s/^time_based.*//' job.fio > own.fio && fio {log} own.fio"),
        ])
        .output()
        .expect("a shell");
    let text = if bench.files().contains(&"log".to_owned()) { bench.read("log") } else { Vec::new() };
    let mut counts = BTreeMap::new();
    for line in String::from_utf8_lossy(&text).lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        if let [.., "read", offset, size] = words[..] {
            assert_eq!(offset.parse::<u64>().unwrap() % 4096, 0, "{line}");
            *counts.entry(size.parse::<u64>().unwrap() >> 10).or_insert(0u64) += 1;
        }
    }
    let total: u64 = counts.values().sum();
    assert!(total >= 4000, "{}", String::from_utf8_lossy(&ran.stderr));
    let percent: Vec<(u64, u64)> = counts.into_iter().map(|(kib, count)| (kib, count * 100 / total)).collect();
    let near = |at: usize, kib: u64, due: u64| percent[at].0 == kib && percent[at].1.abs_diff(due) <= 3;
    assert!(percent.len() == 3 && near(0, 12, 30) && near(1, 20, 30) && near(2, 52, 40), "{percent:?}");
}

#[test]
fn a_file_on_which_large_requests_do_not_fit_is_said() {
    let bench = Bench::new();
    bench.write("b.json", samples::json(&reads(&[(4096, 1000), (1 << 20, 1000)], Some(vec![1000; 100]))));
    let small = bench.run(&["distill-fio", "b.json", "-o", "j.fio", "--size", "16MiB"]);
    assert!(
        small.code == 0 && small.stderr.contains("6 % of the bytes of a direction are missing"),
        "{}",
        small.stderr
    );
    let large = bench.run(&["distill-fio", "b.json", "-o", "j.fio", "--size", "256MiB"]);
    assert!(large.code == 0 && !large.stderr.contains("are missing"), "{}", large.stderr);
}
