//! `distill-fio` of events: slices where the load changes, and every request as an iolog.

use kvtrace::measure::block::BlockDevice;
use kvtrace::measure::events::{BlockOp, Event, EventsMeta, EventsWriter};
use kvtrace::output::Overwrite;

use crate::loop_device::LoopDevice;
use crate::support::{Bench, is_root, skip};

use super::{has_fio, option};

/// Requests of 100 us each, one after another: so many, so far apart, of a size, every n-th a write.
pub fn write_events(bench: &Bench, name: &str, parts: &[(u64, i64, u64, u64)]) {
    let device = BlockDevice { name: "vda".to_owned(), size_bytes: 1 << 30, ..BlockDevice::default() };
    let mut writer = EventsWriter::create(&bench.path(name), Overwrite::Ours, vec!["vda".to_owned()]).unwrap();
    let (mut at, mut number, mut born_last) = (0i64, 0u32, [None::<i64>; 2]);
    for &(count, apart_ns, size, writes) in parts {
        for n in 0..count {
            at += apart_ns;
            let write = n % writes == 0;
            let gap = born_last[usize::from(write)].replace(at).map(|last| (at - last) as u64);
            writer
                .write(Event {
                    op: if write { BlockOp::Write } else { BlockOp::Read },
                    queued_ns: at,
                    issued_ns: Some(at + 1_000),
                    completed_ns: at + 100_000,
                    offset_bytes: Some((1 << 29) + u64::from(number) * 7919 % 1000 * 65_536),
                    size_bytes: Some(size),
                    seek_bytes: Some(4096),
                    gap_ns: gap,
                    depth: Some(1),
                    took_off: Some(2 * number + 1),
                    landed: Some(2 * number + 2),
                    ..Event::default()
                })
                .unwrap();
            number += 1;
        }
        // A second of nothing.
        at += 1_000_000_000 * i64::from(count == 1);
    }
    let meta = EventsMeta {
        complete: true,
        source: "tp_btf".to_owned(),
        duration_s: Some(at as f64 / 1e9 + 0.01),
        devices: vec![device],
        ..EventsMeta::default()
    };
    writer.finish(meta).unwrap();
}

/// The runtime of a section, in ms.
fn runtime_ms(job: &str, section: &str) -> f64 {
    let text = option(job, section, "runtime").unwrap_or_else(|| panic!("no runtime in {section}:\n{job}"));
    match text.strip_suffix("ms") {
        Some(ms) => ms.parse().unwrap(),
        None => text.strip_suffix('s').unwrap().parse::<f64>().unwrap() * 1000.0,
    }
}

#[test]
fn a_load_that_changes_is_cut_into_jobs_that_follow_one_another() {
    let bench = Bench::on_disk();
    // 2 s of 1000 reads/s of 4 KiB, 4 s of 500/s of 64 KiB with writes.
    write_events(&bench, "e.parquet", &[(2000, 1_000_000, 4096, u64::MAX), (2000, 2_000_000, 65_536, 2)]);
    bench.ok(&["distill-fio", "e.parquet", "-o", "job.fio", "--runtime", "3s", "--size", "64MiB"]);
    let job = String::from_utf8(bench.read("job.fio")).unwrap();
    assert!(job.contains("# Slices of time: 2: the load changes"), "{job}");
    let of = |section: &str, name: &str| option(&job, section, name);
    assert_eq!(of("slice-1-read", "bs").as_deref(), Some("4k"), "{job}");
    assert_eq!(of("slice-2-mix", "bs").as_deref(), Some("64k"), "{job}");
    assert_eq!((of("slice-1-read", "stonewall"), of("slice-2-mix", "stonewall").as_deref()), (None, Some("1")));
    let runtimes = ["slice-1-read", "slice-2-mix"].map(|section| runtime_ms(&job, section));
    assert!((runtimes[0] - 1000.0).abs() < 60.0 && (runtimes[1] - 2000.0).abs() < 60.0, "{runtimes:?}");
    assert!(of("global", "runtime").is_none(), "{job}");
    bench.ok(&["distill-fio", "e.parquet", "-o", "one.fio", "--slices", "off"]);
    let one = String::from_utf8(bench.read("one.fio")).unwrap();
    assert!(!one.contains("slice") && one.contains("runtime=30s"), "{one}");
    if has_fio() {
        let fio = super::run_printed_command(&bench, &job);
        let jobs = fio["jobs"].as_array().unwrap();
        assert_eq!(jobs.iter().map(|job| job["groupid"].as_u64()).collect::<Vec<_>>(), [Some(0), Some(1)]);
        // A rate of 1000 and of 250 requests a second, whatever the machine can do.
        let ios = |at: usize, op: &str| jobs[at][op]["total_ios"].as_f64().unwrap();
        assert!((ios(0, "read") - 1000.0).abs() < 200.0, "{}", ios(0, "read"));
        assert!(ios(0, "write") == 0.0 && (ios(1, "write") - 500.0).abs() < 150.0, "{}", ios(1, "write"));
    }
}

#[test]
fn a_pause_between_slices_is_kept() {
    let bench = Bench::new();
    write_events(&bench, "e.parquet", &[(2000, 500_000, 4096, 4), (1, 1, 4096, 1), (2000, 500_000, 4096, 4)]);
    bench.ok(&["distill-fio", "e.parquet", "-o", "job.fio", "--runtime", "3s"]);
    let job = String::from_utf8(bench.read("job.fio")).unwrap();
    let starts = ["slice-1-mix", "slice-2-mix"].map(|section| option(&job, section, "startdelay"));
    let ms = |text: &Option<String>| text.as_ref().map(|t| t.trim_end_matches("ms").parse::<f64>().unwrap());
    assert!(starts[0].is_none(), "{job}");
    assert!((ms(&starts[1]).expect("a pause") - 2000.0).abs() < 80.0, "{job}");
    let rates = option(&job, "slice-2-mix", "rate").unwrap();
    let reads: f64 = rates.split(',').next().unwrap().parse().unwrap();
    assert!((reads / (1500.0 * 4096.0) - 1.0).abs() < 0.1, "the pause is no part of the rate: {job}");
}

#[test]
fn a_steady_load_is_one_job_and_slices_can_be_asked_for() {
    let bench = Bench::new();
    write_events(&bench, "e.parquet", &[(4000, 400_000, 4096, 4)]);
    bench.ok(&["distill-fio", "e.parquet", "-o", "job.fio"]);
    let job = String::from_utf8(bench.read("job.fio")).unwrap();
    assert!(
        job.contains("# Slices of time: one: the load does not change over time.") && !job.contains("[slice"),
        "{job}"
    );
    bench.ok(&["distill-fio", "e.parquet", "-o", "job.fio", "--slices", "3"]);
    let job = String::from_utf8(bench.read("job.fio")).unwrap();
    assert!(job.contains("[slice-3-mix]") && !job.contains("[slice-4"), "{job}");
    assert!(bench.refused(2, &["distill-fio", "e.parquet", "-o", "job.fio", "--slices", "99"]).contains("2 to 16"));
}

#[test]
fn an_iolog_holds_every_request_and_is_replaced() {
    let bench = Bench::new();
    write_events(&bench, "e.parquet", &[(1000, 200_000, 4096, 3), (500, 100_000, 12_288, 5)]);
    for _ in 0..2 {
        let said = bench.run(&["distill-fio", "e.parquet", "-o", "x.fio", "--exact"]);
        assert!(said.code == 0 && said.stderr.contains("--replay_redirect=FILE x.fio"), "{}", said.stderr);
    }
    let iolog = String::from_utf8(bench.read("x.iolog")).unwrap();
    let rows: Vec<Vec<&str>> =
        iolog.lines().map(|line| line.split(' ').collect()).filter(|row: &Vec<_>| row.len() == 5).collect();
    assert_eq!((iolog.lines().next(), rows.len()), (Some("fio version 3 iolog"), 1500));
    let bytes =
        |word: &str| -> u64 { rows.iter().filter(|r| r[2] == word).map(|r| r[4].parse::<u64>().unwrap()).sum() };
    assert_eq!((bytes("read"), bytes("write")), (666 * 4096 + 400 * 12_288, 334 * 4096 + 100 * 12_288));
    assert_eq!((rows[0][0], rows[1][0], rows[1][3]), ("1", "201", "60227584"), "{:?}", &rows[..2]);
    let machine = bench.ok_json(&["--json", "distill-fio", "e.parquet", "-o", "x.fio", "--exact"]);
    assert_eq!((machine["iolog"]["reads"].as_u64(), machine["iolog"]["in_flight"].as_u64()), (Some(1066), Some(1)));
    bench.write("mine.iolog", "fio version 2 iolog\n");
    assert!(bench.refused(2, &["distill-fio", "e.parquet", "-o", "mine.fio", "--exact"]).contains("--overwrite"));
    assert!(bench.refused(2, &["distill-fio", "e.parquet", "-o", "-", "--exact"]).contains("two files"));
    bench.write("b.json", crate::samples::json(&crate::samples::kv_block()));
    assert!(bench.refused(2, &["distill-fio", "b.json", "-o", "y.fio", "--exact"]).contains("--events"));
    let both = bench.run(&["distill-fio", "e.parquet", "-o", "x.fio", "--exact", "--slices", "2"]);
    assert_eq!(both.code, 2, "{}", both.stderr);
}

/// Reads and writes of the target in a capture: requests and bytes.
fn moved(block: &serde_json::Value) -> [(u64, i64); 2] {
    let all = block["histograms"].as_array().unwrap();
    ["read", "write"].map(|op| {
        let size = all.iter().find(|h| h["name"] == "size" && h["op"] == op).unwrap();
        (size["count"].as_u64().unwrap(), size["sum"].as_i64().unwrap())
    })
}

#[test]
fn fio_replays_an_iolog_request_by_request() {
    if !has_fio() || !is_root() || kvtrace::capture::rights::check().is_err() {
        skip("a replay of an iolog needs root, fio and eBPF");
        return;
    }
    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
    let image = folder.path().join("image");
    std::fs::File::create(&image).and_then(|file| file.set_len(64 << 20)).expect("an image");
    let Some(device) = LoopDevice::over(&image, &["--direct-io=off"]) else { return };
    let bench = Bench::on_disk();
    let source = format!(
        "fio --name=a --filename={} --ioengine=libaio --direct=1 --rw=randrw --rwmixread=70 --bssplit=4k/60:64k/40 \
         --iodepth=4 --size=16m --offset=32m --io_size=12m --rate_iops=1000 --output-format=terse",
        device.path
    );
    let watched = |command: &str, block: &str, events: &[&str]| {
        let mut all = vec!["capture", "--dev", device.name(), "-o", block];
        all.extend(events);
        all.extend(["--", "sh", "-c", command]);
        bench.ok(&all);
        bench.json(block)
    };
    // Where completions are lost now and then, an exact one has to be waited for.
    let mut original = watched(&source, "a.json", &["--events", "a.parquet"]);
    for _ in 0..8 {
        if original["tainted"] == false {
            break;
        }
        original = watched(&source, "a.json", &["--events", "a.parquet"]);
    }
    bench.ok(&["distill-fio", "a.parquet", "-o", "again.fio", "--exact"]);
    let job = String::from_utf8(bench.read("again.fio")).unwrap();
    let printed = job.lines().find_map(|line| line.strip_prefix("#   ").filter(|l| l.contains("--replay_redirect")));
    let command = printed.expect("a command line").replace("FILE", &device.path);
    let replayed = watched(&format!("{command} --output-format=terse"), "b.json", &[]);
    assert_eq!(moved(&original), moved(&replayed), "every request, and every byte");
}

#[test]
fn the_series_of_a_replay_cuts_a_paced_load() {
    use kvtrace::measure::LogLinear;
    use kvtrace::measure::replay::Series;

    let bench = Bench::new();
    let load = crate::samples::Load { op: "read", sizes: &[(65_536, 6000)], depths: &[(1, 600_000_000)] };
    let mut block = crate::samples::block(&[load]);
    // Half of the time at 500 a second, half at 1000, as random as that.
    let mut gaps = LogLinear::times();
    for (mean, count) in [(2_000_000.0, 2000), (1_000_000.0, 4000)] {
        (0..count).for_each(|i| gaps.record((-mean * (1.0 - (f64::from(i) + 0.5) / f64::from(count)).ln()) as u64));
    }
    block.histograms.push(gaps.save("gap", Some("read"), "ns"));
    let mut busy = LogLinear::new(5);
    busy.record_many(1, 600_000_000);
    block.histograms.push(busy.save("inflight_time", None, "ios"));
    let mut replay = crate::samples::replay(Some(block));
    let rates = (0..40).map(|at| (if at < 20 { 100 } else { 200 }) * 65_536u64);
    replay.series = Series { interval_s: 0.2, tier2_read_bytes: rates.collect(), ..Series::default() };
    bench.write("r.json", crate::samples::json(&replay));
    bench.ok(&["distill-fio", "r.json", "-o", "job.fio", "--runtime", "8s"]);
    let job = String::from_utf8(bench.read("job.fio")).unwrap();
    let rate =
        |section: &str| option(&job, section, "rate_iops").unwrap_or_else(|| panic!("{job}")).parse::<f64>().unwrap();
    let (slow, fast) = (rate("slice-1-read"), rate("slice-2-read"));
    assert!((slow / 500.0 - 1.0).abs() < 0.1 && (fast / slow - 2.0).abs() < 0.1, "{slow} {fast}\n{job}");
    assert_eq!(runtime_ms(&job, "slice-1-read"), 4000.0);
}
