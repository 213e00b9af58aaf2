//! `kvtrace distill-fio`: what the job says, and what real fio makes of it.

mod bad_input;
mod bursts;
mod cached;
mod engines;
mod events;
mod exact_proof;
mod hang;
mod mlperf;
mod original;
mod prove;
mod text;
mod together;

use std::process::Command;

use serde_json::Value;

use crate::loop_device::LoopDevice;
use crate::samples::{self, Load};
use crate::support::{Bench, has_program, is_root, skip};

fn has_fio() -> bool {
    let there = has_program("fio");
    if !there {
        skip("fio is not installed");
    }
    there
}

/// The value of a job file's option in a section.
fn option(job: &str, section: &str, name: &str) -> Option<String> {
    let mut inside = false;
    for line in job.lines() {
        if line.starts_with('[') {
            inside = line == format!("[{section}]");
        } else if inside && let Some(value) = line.strip_prefix(&format!("{name}=")) {
            return Some(value.to_owned());
        }
    }
    None
}

/// Runs the job's own printed command with fio and hands out its JSON.
fn run_printed_command(bench: &Bench, job: &str) -> Value {
    let (before, after) = job.lines().find_map(|line| line.split_once("fio --filename=FILE ")).expect("a command line");
    let before = before.strip_prefix("#   ").expect("an indented command line");
    let line = format!("{before} fio --output-format=json --filename=fio-target {after}");
    let output = Command::new("sh").current_dir(bench.path("")).args(["-c", &line]).output().expect("a shell");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{line}\n{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let start = text.find('{').expect("fio prints JSON");
    serde_json::from_str(&text[start..]).expect("fio's JSON")
}

/// Requests and bytes of a direction over all jobs.
fn done(fio: &Value, op: &str) -> (f64, f64) {
    let jobs = fio["jobs"].as_array().expect("jobs");
    let sum = |name: &str| jobs.iter().map(|job| job[op][name].as_f64().unwrap_or(0.0)).sum::<f64>();
    (sum("total_ios"), sum("io_bytes"))
}

#[test]
fn fio_does_what_the_source_did() {
    let bench = Bench::on_disk();
    let block = samples::kv_block();
    bench.write("block.json", samples::json(&block));
    bench.ok(&["distill-fio", "block.json", "-o", "job.fio", "--runtime", "3s", "--size", "64MiB"]);
    let job = String::from_utf8(bench.read("job.fio")).unwrap();
    if !has_fio() {
        return;
    }
    let fio = run_printed_command(&bench, &job);
    let sizes = |op| block.histogram("size", Some(op)).unwrap();
    let (reads, writes) = (sizes("read"), sizes("write"));
    let ((read_ios, read_bytes), (write_ios, write_bytes)) = (done(&fio, "read"), done(&fio, "write"));
    let share = |a: f64, b: f64| a * 100.0 / (a + b);
    assert!((share(read_ios, write_ios) - share(reads.count as f64, writes.count as f64)).abs() < 1.0);
    let real = share(reads.sum as f64, writes.sum as f64);
    assert!((share(read_bytes, write_bytes) - real).abs() < 1.0, "bytes read {real} %");
    for (op, real, ios, bytes) in [("read", reads, read_ios, read_bytes), ("write", writes, write_ios, write_bytes)] {
        // fio draws sizes at random: what a run may be off by shrinks with the root of its requests.
        let noise = 3.0 * 0.6 / ios.sqrt();
        let off = bytes / ios / real.mean().unwrap() - 1.0;
        assert!(off.abs() < 0.02 + noise, "{op}: mean size is {:.2} % off over {ios} requests", off * 100.0);
    }
    // Time-weighted: (4 * 900 + 8 * 6000 + 12 * 2000) / 8900 = 8.5 reads, (2000 + 2700) / 8900 = 0.5 writes.
    // 92.17 % are reads, so two jobs take turns.
    let depths = ["mix-92", "mix-93"].map(|section| option(&job, section, "iodepth"));
    assert_eq!(depths, [Some("9".to_owned()), Some("9".to_owned())]);
    assert_eq!(option(&job, "mix-93", "stonewall").as_deref(), Some("1"), "{job}");
    // A busy machine lets a queue run empty now and then; it is never fuller.
    let levels = &fio["jobs"][0]["iodepth_level"];
    let at_depth = |depth: &str| levels[depth].as_f64().unwrap_or(0.0);
    assert!(at_depth("8") > 50.0 && at_depth("16") == 0.0, "from 8 to 15: {levels}");
}

#[test]
fn one_direction_alone_has_one_stream_without_flow() {
    for (op, other) in [("read", "write"), ("write", "read")] {
        let bench = Bench::on_disk();
        let depths = [(1, 10), (2, 10)];
        bench.write(
            "b.json",
            samples::json(&samples::block(&[Load { op, sizes: &[(3584, 50), (131_072, 50)], depths: &depths }])),
        );
        bench.ok(&[
            "distill-fio",
            "b.json",
            "-o",
            "odd name.fio",
            "--runtime",
            "1s",
            "--size",
            "16MiB",
            "--ioengine",
            "libaio",
        ]);
        let job = String::from_utf8(bench.read("odd name.fio")).unwrap();
        assert_eq!(option(&job, op, "bssplit").as_deref(), Some("3584/50:128k/50"));
        assert_eq!(option(&job, op, "bs_unaligned").as_deref(), Some("1"), "or fio rounds 128k to 36 times 3584");
        assert!(!job.contains("flow=") && !job.contains(&format!("[{other}]")), "{job}");
        assert!(job.contains("ioengine=libaio") && job.contains("'odd name.fio'"), "{job}");
        if has_fio() {
            let fio = run_printed_command(&bench, &job);
            assert!(done(&fio, op).0 > 0.0 && done(&fio, other).0 == 0.0);
        }
    }
}

#[test]
fn rare_large_writes_keep_their_bytes() {
    let bench = Bench::on_disk();
    let load = |op| Load { op, sizes: &[(4096, 99_500), (1 << 20, 500)], depths: &[(4, 10)] };
    bench.write("b.json", samples::json(&samples::block(&[load("write")])));
    bench.ok(&["distill-fio", "b.json", "-o", "job.fio", "--runtime", "2s", "--size", "128MiB"]);
    let job = String::from_utf8(bench.read("job.fio")).unwrap();
    assert_eq!(option(&job, "write-large", "bs").as_deref(), Some("1m"));
    assert_eq!(
        (option(&job, "write", "flow").as_deref(), option(&job, "write-large", "flow").as_deref()),
        (Some("199"), Some("1"))
    );
    if has_fio() {
        let fio = run_printed_command(&bench, &job);
        let (ios, bytes) = done(&fio, "write");
        // Sizes are exact, so bytes tell how many were large: one in 200, give or take a queue of them.
        // fio balances jobs only while both run: on a busy machine the one that sees the end of the
        // runtime later goes on unbalanced, which a quarter allows for. Unbalanced throughout, it
        // would be off by many times.
        let large = (bytes - 4096.0 * ios) / (1_048_576.0 - 4096.0);
        let due = ios / 200.0;
        assert!(due > 5.0, "{ios} requests in two seconds say nothing");
        assert!((large - due).abs() <= 4.0 + 0.25 * due, "{large} large ones in {ios}, {due} were due");
    }
}

#[test]
fn the_header_says_where_values_come_from_and_the_job_is_replaced() {
    let bench = Bench::new();
    bench.write("r.json", samples::json(&samples::replay(Some(samples::kv_block()))));
    bench.ok(&["distill-fio", "r.json", "-o", "job.fio"]);
    let job = String::from_utf8(bench.read("job.fio")).unwrap();
    for said in [
        "# kvtrace.job/1 by kvtrace",
        "# Source: r.json (kvtrace.replay/1)\n#   sha256 ",
        "D2C: P50",
        "in flight: mean 8.49",
        "hot LBA zones",
        "Replay of t.csv.zst",
    ] {
        assert!(job.contains(said), "{said} is not in\n{job}");
    }
    assert!(job.lines().all(|line| !line.starts_with("filename")), "a job names no file");
    // Eight buckets of 64 MiB were touched.
    assert_eq!(option(&job, "global", "size").as_deref(), Some("512m"));
    bench.ok(&["distill-fio", "r.json", "-o", "job.fio", "--runtime", "90s"]);
    let job = String::from_utf8(bench.read("job.fio")).unwrap();
    let turns = ["mix-92", "mix-93"].map(|section| option(&job, section, "runtime").expect("a part of the time"));
    let ms = |time: &String| match time.strip_suffix("ms") {
        Some(ms) => ms.parse::<u64>().unwrap(),
        None => time.strip_suffix('s').unwrap().parse::<u64>().unwrap() * 1000,
    };
    assert_eq!(turns.iter().map(ms).sum::<u64>(), 90_000, "{turns:?}");
    bench.write("mine.fio", "[mine]\n");
    assert!(bench.refused(2, &["distill-fio", "r.json", "-o", "mine.fio"]).contains("--overwrite"));
}

#[test]
fn the_same_input_gives_the_same_job_and_stdin_works() {
    let bench = Bench::new();
    bench.write("b.json", samples::json(&samples::kv_block()));
    let first = bench.ok(&["distill-fio", "b.json", "-o", "-"]);
    assert_eq!(first, bench.ok(&["distill-fio", "b.json", "-o", "-"]));
    let mut piped = bench.command(&["distill-fio", "-", "-o", "-"]);
    let file = std::fs::File::open(bench.path("b.json")).unwrap();
    let output = piped.stdin(file).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), first.replace("b.json", "stdin"));
}

#[test]
fn what_cannot_be_distilled_is_refused_with_the_way_out() {
    let bench = Bench::new();
    bench.write("uncaptured.json", samples::json(&samples::replay(None)));
    assert!(bench.refused(2, &["distill-fio", "uncaptured.json", "-o", "j.fio"]).contains("--capture"));
    bench.write("empty.json", samples::json(&samples::block(&[])));
    assert!(bench.refused(2, &["distill-fio", "empty.json", "-o", "j.fio"]).contains("nothing to distil"));
    bench.write("cut.json", &samples::json(&samples::kv_block())[..500]);
    let cut = bench.refused(2, &["distill-fio", "cut.json", "-o", "j.fio"]);
    assert!(cut.contains("cut.json") && cut.contains("line"), "{cut}");
    bench.write("none.json", "");
    assert!(bench.refused(2, &["distill-fio", "none.json", "-o", "j.fio"]).contains("is empty"));
    assert!(bench.refused(2, &["distill-fio", ".", "-o", "j.fio"]).contains("directory"));
    bench.write("b.json", samples::json(&samples::kv_block()));
    assert!(bench.refused(2, &["distill-fio", "b.json", "-o", "j.fio", "--runtime", "0s"]).contains("above 0"));
    assert!(!bench.files().contains(&"j.fio".to_owned()));
}

/// The card of a proof of `input` on a loop device of the test's own; none where that cannot run.
fn card_of(bench: &Bench, input: &str) -> Option<Value> {
    if !has_fio() || !is_root() || kvtrace::capture::rights::check().is_err() {
        skip("a proof needs root, fio and eBPF");
        return None;
    }
    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
    let image = folder.path().join("image");
    std::fs::File::create(&image).and_then(|file| file.set_len(128 << 20)).expect("an image");
    let device = LoopDevice::over(&image, &[])?;
    let target = format!("/dev/{}", device.name());
    let command =
        ["distill-fio", input, "-o", "job.fio", "--prove", "--target", &target, "--size", "64MiB", "--runtime", "2s"];
    let refused = bench.run(&command);
    assert_eq!(refused.code, 2, "a device has to be named twice: {}", refused.stderr);
    let proved = bench.run(&[&command[..], &["--i-know-this-destroys", &target]].concat());
    assert!(matches!(proved.code, 0 | 1), "{}: {}", proved.code, proved.stderr);
    let card = bench.json("job.fidelity.json");
    assert_eq!(card["pass"].as_bool(), Some(proved.code == 0), "the exit code is the verdict");
    Some(card)
}

fn metric<'a>(card: &'a Value, name: &str, op: &str) -> &'a Value {
    let all = card["metrics"].as_array().expect("metrics");
    all.iter().find(|metric| metric["name"] == name && metric["op"] == op).unwrap_or_else(|| panic!("{name} {op}"))
}

#[test]
fn a_trace_is_proved_against_its_own_replay() {
    let bench = Bench::on_disk();
    let mut rows = "Timestamp,Operation,Object_Size_Bytes,Tier,Key,Phase\n".to_owned();
    // Two of them are more than the device takes at once, so that no kernel merges them.
    (0..64).for_each(|key| rows += &format!("0.0,Write,1048576,Tier-2,k{key},Prefill\n"));
    for turn in 0..20 {
        (0..64).for_each(|key| rows += &format!("1.{turn:02},Read,1048576,Tier-2,k{key},Decode\n"));
    }
    bench.write("t.csv", rows);
    let Some(card) = card_of(&bench, "t.csv") else { return };
    assert_eq!((card["original"]["runs"].as_u64(), card["distilled"]["runs"].as_u64()), (Some(2), Some(2)));
    let share = &card["metrics"][0];
    assert_eq!((share["name"].as_str(), share["pass"].as_bool()), (Some("read_share"), Some(true)), "{share}");
    // Of 1344 objects alike, 1280 are read.
    assert!((share["original"].as_f64().unwrap() - 100.0 * 1280.0 / 1344.0).abs() < 0.2, "{share}");
    let size = metric(&card, "size", "read");
    assert!(size["distance"].as_f64().unwrap() <= size["bound"].as_f64().unwrap(), "{size}");
    assert!(metric(&card, "throughput", "read")["noise_floor"].is_number(), "two runs have a floor");
    let replay = card["original"]["command"].as_str().unwrap();
    assert!(replay.contains(" --tier-1 model:64GB/s+10us"), "what was not typed is said: {replay}");
    let said = "Replayed with model:64GB/s+10us (time that passes) as tier 1";
    assert!(card["notes"][0].as_str().unwrap().starts_with(said), "{}", card["notes"]);
    let job = std::fs::read_to_string(bench.path("job.fio")).unwrap();
    assert!(job.contains(&format!("# {said}")), "{job}");
}

#[test]
fn a_recording_is_proved_as_it_is() {
    let bench = Bench::on_disk();
    bench.write("b.json", samples::json(&samples::kv_block()));
    let Some(card) = card_of(&bench, "b.json") else { return };
    assert_eq!(card["original"]["runs"].as_u64(), Some(0));
    assert!(card["notes"][0].as_str().unwrap().contains("was not run again"), "{}", card["notes"]);
    assert_eq!(metric(&card, "d2c_p50", "read")["unit"], "ns");
}
