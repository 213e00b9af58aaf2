//! `distill-fio --prove`: the card's figures against the histograms in it, interruption, tuning, and
//! what is refused before anything runs.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::loop_device::LoopDevice;
use crate::samples;
use crate::support::{Bench, is_root, skip};

use super::{card_of, has_fio};

/// Whether a proof can run here.
pub fn can_prove() -> bool {
    let can = has_fio() && is_root() && kvtrace::capture::rights::check().is_ok();
    if !can {
        skip("a proof needs root, fio and eBPF");
    }
    can
}

/// The buckets of a histogram in a run: `(low, high, count)`.
fn buckets(block: &Value, name: &str, op: &str) -> Vec<(f64, f64, f64)> {
    let all = block["histograms"].as_array().expect("histograms");
    let found = all.iter().find(|h| h["name"] == name && h["op"] == op);
    let list = found.and_then(|h| h["buckets"].as_array()).cloned().unwrap_or_default();
    list.iter().map(|b| (b[0].as_f64().unwrap(), b[1].as_f64().unwrap(), b[2].as_f64().unwrap())).collect()
}

fn sum_of(block: &Value, name: &str, op: &str) -> f64 {
    let all = block["histograms"].as_array().expect("histograms");
    all.iter().find(|h| h["name"] == name && h["op"] == op).map_or(0.0, |h| h["sum"].as_f64().unwrap())
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

/// A quantile that is linear within its bucket.
fn quantile(buckets: &[(f64, f64, f64)], q: f64) -> f64 {
    let rank = q * buckets.iter().map(|b| b.2).sum::<f64>();
    let mut below = 0.0;
    for &(low, high, count) in buckets {
        if below + count >= rank {
            return if high - low <= 1.0 { low } else { low + (rank - below) / count * (high - low) };
        }
        below += count;
    }
    f64::NAN
}

/// The mean size and the 1-Wasserstein distance over the original's mean, of exact sizes.
fn sizes(sides: [&[Value]; 2], op: &str) -> (f64, f64, f64) {
    let [a, b] = sides.map(|runs| {
        let mut counts = std::collections::BTreeMap::new();
        for (low, _, count) in runs.iter().flat_map(|run| buckets(run, "size", op)) {
            *counts.entry(low as u64).or_insert(0.0) += count;
        }
        let total: f64 = counts.values().sum();
        counts.into_iter().map(|(size, count)| (size as f64, count / total)).collect::<Vec<(f64, f64)>>()
    });
    let mean = |of: &[(f64, f64)]| of.iter().map(|(size, share)| size * share).sum::<f64>();
    let mut places: Vec<f64> = a.iter().chain(&b).map(|part| part.0).collect();
    places.sort_by(f64::total_cmp);
    let upto = |of: &[(f64, f64)], x: f64| of.iter().filter(|part| part.0 <= x).map(|part| part.1).sum::<f64>();
    let apart: f64 =
        places.windows(2).map(|pair| (upto(&a, pair[0]) - upto(&b, pair[0])).abs() * (pair[1] - pair[0])).sum();
    (mean(&a), mean(&b), apart / mean(&a))
}

fn near(found: &Value, expected: f64, what: &str) {
    let found = found.as_f64().unwrap_or(f64::NAN);
    assert!((found - expected).abs() <= 1e-6 * expected.abs().max(1e-9), "{what}: {found}, computed again {expected}");
}

#[test]
fn the_card_s_figures_follow_from_its_histograms() {
    let bench = Bench::on_disk();
    bench.write("b.json", samples::json(&samples::kv_block()));
    let Some(card) = card_of(&bench, "b.json") else { return };
    let runs = |side: &str| card[side]["blocks"].as_array().expect("runs").clone();
    let (originals, distilled) = (runs("original"), runs("distilled"));
    assert_eq!((originals.len(), distilled.len()), (1, 2));
    assert!(bench.read("job.fidelity.json").len() < 10 << 20);
    let mut checked = 0;
    for metric in card["metrics"].as_array().unwrap() {
        let (name, op) = (metric["name"].as_str().unwrap(), metric["op"].as_str().unwrap_or("read"));
        let what = format!("{op} {name}");
        let each = |of: &dyn Fn(&Value) -> Option<f64>| {
            let values = distilled.iter().map(of).collect::<Vec<_>>();
            for (shown, value) in metric["distilled_runs"].as_array().unwrap().iter().zip(&values) {
                assert_eq!(shown.is_null(), value.is_none(), "{what}");
                value.iter().for_each(|value| near(shown, *value, &what));
            }
            median(values.into_iter().flatten().collect())
        };
        let count = |run: &Value| buckets(run, "d2c", op).iter().map(|b| b.2).sum::<f64>();
        match name {
            "size" => {
                let (a, b, apart) = sizes([&originals, &distilled], op);
                near(&metric["original"], a, &what);
                near(&metric["distilled"], b, &what);
                // The sample's sizes lie in buckets of a sector, over which the card spreads them.
                let shown = metric["distance"].as_f64().unwrap();
                assert!((shown - apart).abs() <= 0.01 * apart + 1e-3, "{what}: {shown} for {apart}");
            }
            "read_share" => {
                let all =
                    |op: &str| distilled.iter().flat_map(|run| buckets(run, "size", op)).map(|b| b.2).sum::<f64>();
                near(&metric["distilled"], 100.0 * all("read") / (all("read") + all("write")), &what);
            }
            "d2c_p50" => {
                let value = each(&|run| (count(run) >= 20.0).then(|| quantile(&buckets(run, "d2c", op), 0.5)));
                value.iter().for_each(|value| near(&metric["distilled"], *value, &what));
            }
            "throughput" => {
                let value = each(&|run| {
                    let span = sum_of(run, "gap", "read").max(sum_of(run, "gap", "write"));
                    Some(sum_of(run, "size", op) * 1e9 / span)
                });
                near(&metric["distilled"], value.unwrap(), &what);
            }
            _ => continue,
        }
        checked += 1;
        let (distance, allowed, pass) = (&metric["distance"], &metric["allowed"], &metric["pass"]);
        if let (Some(distance), Some(allowed), Some(pass)) = (distance.as_f64(), allowed.as_f64(), pass.as_bool()) {
            assert_eq!(pass, distance <= allowed, "{what}");
        }
    }
    assert_eq!(checked, 7, "sizes, medians and throughputs of both directions, and the share of reads");
}

#[test]
fn an_interrupted_proof_keeps_its_runs_and_leaves_nothing_behind() {
    if !can_prove() {
        return;
    }
    let bench = Bench::on_disk();
    bench.write("b.json", samples::json(&samples::kv_block()));
    fs::create_dir(bench.path("ground")).unwrap();
    let mut child = bench
        .command(&[
            "distill-fio",
            "b.json",
            "-o",
            "job.fio",
            "--prove",
            "--target",
            "ground",
            "--size",
            "64MiB",
            "--runtime",
            "60s",
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("distilled, run 1") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "it ended before the job ran");
    }
    // Until its jobs are there: they are what must not stay.
    let file = bench.path("ground").join("kvtrace-proof/fio.data");
    let at_work = || {
        let processes = fs::read_dir("/proc").unwrap().flatten();
        processes
            .filter(|process| {
                let words = fs::read(process.path().join("cmdline")).unwrap_or_default();
                words.starts_with(b"fio\0") && String::from_utf8_lossy(&words).contains(file.to_str().unwrap())
            })
            .count()
    };
    for _ in 0..500 {
        if at_work() > 1 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("job.partial.fidelity.json") || rest.contains(".partial"), "{rest}");
    assert_eq!(at_work(), 0, "fio's own processes ended with it");
    assert_eq!(fs::read_dir(bench.path("ground")).unwrap().count(), 0, "the target is as it was");
    let partial = bench.files().into_iter().find(|name| name.contains(".partial")).expect("a partial card");
    let card = bench.json(&partial);
    assert_eq!((card["complete"].as_bool(), card["pass"].as_bool()), (Some(false), Some(false)));
    assert!(card["metrics"].as_array().unwrap().iter().all(|metric| metric["pass"].is_null()), "no verdict");
    assert!(!bench.files().contains(&"job.fidelity.json".to_owned()));
}

#[test]
fn a_proof_is_refused_before_anything_runs() {
    if !can_prove() {
        return;
    }
    let bench = Bench::on_disk();
    bench.write("b.json", samples::json(&samples::kv_block()));
    let command = ["distill-fio", "b.json", "-o", "job.fio", "--prove", "--target"];
    let with = |more: &[&str]| bench.refused(2, &[&command[..], more].concat());
    fs::create_dir_all(bench.path("mine/kvtrace-proof")).unwrap();
    bench.write("mine/kvtrace-proof/notes", "precious");
    assert!(with(&["mine"]).contains("no proof made it"));
    assert_eq!(bench.read("mine/kvtrace-proof/notes"), b"precious");
    fs::create_dir(bench.path("ground")).unwrap();
    let huge = with(&["ground", "--size", "900TiB"]);
    assert!(huge.contains("--size") && huge.contains("larger target"), "{huge}");
    assert_eq!(fs::read_dir(bench.path("ground")).unwrap().count(), 0);
    bench.refused(2, &["distill-fio", "b.json", "-o", "j.fio", "--tune"]);
    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
    let image = folder.path().join("image");
    fs::File::create(&image).and_then(|file| file.set_len(32 << 20)).expect("an image");
    let Some(device) = LoopDevice::over(&image, &[]) else { return };
    let device = format!("/dev/{}", device.name());
    let small = with(&[&device, "--i-know-this-destroys", &device, "--size", "1GiB"]);
    assert!(small.contains(&device) && small.contains("--size"), "{small}");
}

#[test]
fn tuning_says_what_it_tried() {
    if !can_prove() {
        return;
    }
    let bench = Bench::on_disk();
    bench.write("b.json", samples::json(&samples::kv_block()));
    fs::create_dir(bench.path("ground")).unwrap();
    let ended = bench.run(&[
        "distill-fio",
        "b.json",
        "-o",
        "job.fio",
        "--prove",
        "--target",
        "ground",
        "--size",
        "64MiB",
        "--runtime",
        "2s",
        "--runs",
        "1",
        "--tune",
        "--tune-rounds",
        "2",
    ]);
    assert!(matches!(ended.code, 0 | 1), "{}: {}", ended.code, ended.stderr);
    let (card, job) = (bench.json("job.fidelity.json"), String::from_utf8(bench.read("job.fio")).unwrap());
    let tuned = &card["tuned"];
    let rounds = tuned["rounds"].as_u64().expect("rounds");
    assert!(rounds <= 2 && tuned["tried"].as_array().unwrap().len() as u64 == rounds, "{tuned}");
    let changes = tuned["changes"].as_array().unwrap();
    assert_eq!(changes.is_empty(), tuned["kept"].as_u64() == Some(0), "{tuned}");
    for change in changes {
        assert!(job.contains(&format!("# Tuned by a proof: {}.", change.as_str().unwrap())), "{change}: {job}");
    }
    let missed = card["metrics"].as_array().unwrap().iter().filter(|metric| metric["pass"] == false).count();
    assert_eq!(tuned["unreached"].as_array().unwrap().len(), missed, "{tuned}");
    assert_eq!(card["pass"].as_bool(), Some(ended.code == 0));
}
