//! `distill-fio --prove … -- COMMAND`: the original is a command that runs in turns with its job.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::loop_device::LoopDevice;
use crate::samples;
use crate::support::Bench;

use super::metric;
use super::prove::can_prove;

/// A loop device over a sparse file in memory.
pub fn device(mib: u64) -> Option<(tempfile::TempDir, LoopDevice)> {
    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
    let image = folder.path().join("image");
    std::fs::File::create(&image).and_then(|file| file.set_len(mib << 20)).expect("an image");
    LoopDevice::over(&image, &[]).map(|device| (folder, device))
}

/// Reads of two sizes and some writes.
fn load(device: &str) -> String {
    format!(
        "fio --name=a --filename={device} --ioengine=libaio --direct=1 --rw=randrw --rwmixread=80 --bssplit=4k/70:64k/30 \
         --iodepth=4 --size=32m --offset=64m --time_based --runtime=1s --randrepeat=0 \
         --norandommap --output-format=terse"
    )
}

fn runs(card: &Value, side: &str) -> (u64, usize) {
    (card[side]["runs"].as_u64().unwrap(), card[side]["blocks"].as_array().unwrap().len())
}

#[test]
fn a_command_is_run_again_in_turns_with_its_job() {
    if !can_prove() {
        return;
    }
    let Some((_folder, device)) = device(128) else { return };
    let bench = Bench::on_disk();
    let command = load(&device.path);
    bench.ok(&["capture", "--dev", device.name(), "-o", "b.json", "--", "sh", "-c", &command]);
    let script = format!("echo mine; echo heard >&2; {command} >/dev/null");
    let mut words = vec!["--json", "distill-fio", "b.json", "-o", "job.fio", "--accept-tainted", "--prove"];
    words.extend(["--target", &device.path, "--i-know-this-destroys", &device.path, "--runtime", "1s"]);
    words.extend(["--", "sh", "-c", &script]);
    let proved = bench.run(&words);
    assert!(matches!(proved.code, 0 | 1), "{}: {}", proved.code, proved.stderr);
    let card: Value = serde_json::from_str(&proved.stdout).expect("nothing but the card on standard output");
    assert!(proved.stderr.contains("mine\n") && proved.stderr.contains("heard\n"), "{}", proved.stderr);
    assert_eq!((runs(&card, "original"), runs(&card, "distilled")), ((2, 2), (2, 2)));
    assert!(card["original"]["command"].as_str().unwrap().starts_with("sh -c 'echo mine"));
    assert!(card["notes"][0].as_str().unwrap().contains("the job is made from b.json"), "{}", card["notes"]);
    // In turns, and who begins changes.
    let order: Vec<&str> = proved
        .stderr
        .lines()
        .filter_map(|line| line.split_once(", run ").map(|(who, _)| who))
        .filter(|who| ["original", "distilled"].contains(who))
        .collect();
    assert_eq!(order, ["original", "distilled", "distilled", "original"]);
    let throughput = metric(&card, "throughput", "read");
    assert!(throughput["noise_floor"].is_number() && throughput["original_runs"].as_array().unwrap().len() == 2);
    assert!(metric(&card, "size", "read")["distance"].as_f64().unwrap() < 0.1, "the same sizes");
    let filled = proved.stderr.lines().find(|line| line.starts_with("writing ")).expect("what is written first");
    let at = |what: &str| proved.stderr.find(what).unwrap();
    assert!(at(filled) < at("original, run 1"), "the device is as full for the first original: {}", proved.stderr);
}

#[test]
fn a_command_that_fails_or_does_nothing_is_no_original() {
    if !can_prove() {
        return;
    }
    let Some((_folder, device)) = device(64) else { return };
    let bench = Bench::on_disk();
    bench.write("b.json", samples::json(&samples::kv_block()));
    let with = |code: i32, script: &str| {
        let mut words = vec!["distill-fio", "b.json", "-o", "job.fio", "--prove", "--size", "32MiB", "--runtime", "1s"];
        words.extend(["--target", &device.path, "--i-know-this-destroys", &device.path, "--", "sh", "-c", script]);
        bench.refused(code, &words)
    };
    let failed = with(4, "echo early >&2; echo 'no model there' >&2; exit 7");
    assert!(failed.contains("exit code 7") && failed.contains("no model there"), "{failed}");
    let idle = with(2, "true");
    assert!(idle.contains("read and wrote nothing") && idle.contains(device.name()), "{idle}");
    assert!(!bench.files().contains(&"job.fidelity.json".to_owned()), "{:?}", bench.files());
    let base = ["distill-fio", "b.json", "-o", "job.fio"];
    assert!(bench.refused(2, &[&base[..], &["--", "true"]].concat()).contains("--prove"));
    bench.write("t.csv", "Timestamp,Operation,Object_Size_Bytes,Tier,Key,Phase\n0.0,Write,4096,Tier-2,k,Prefill\n");
    let trace = ["distill-fio", "t.csv", "-o", "j.fio", "--prove", "--target", ".", "--", "true"];
    assert!(bench.refused(2, &trace).contains("replays a trace"), "{trace:?}");
}

#[test]
fn an_interrupted_command_ends_and_leaves_what_had_run() {
    if !can_prove() {
        return;
    }
    let bench = Bench::on_disk();
    bench.write("b.json", samples::json(&samples::kv_block()));
    std::fs::create_dir(bench.path("ground")).unwrap();
    let mark = bench.path("pid");
    // The first run moves something, the second hangs and hears nothing.
    let script = format!(
        "if test -e once; then trap '' INT; echo $$ > {}; while :; do sleep 1; done; fi; touch once; \
         dd if=/dev/zero of=data bs=64k count=32 oflag=direct status=none; dd if=data of=/dev/null bs=64k iflag=direct \
         status=none",
        mark.display()
    );
    let mut words = vec!["distill-fio", "b.json", "-o", "job.fio", "--prove", "--target", "ground", "--size", "32MiB"];
    words.extend(["--runtime", "1s", "--", "sh", "-c", &script]);
    let mut child = bench.command(&words).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("original, run 2") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "it ended before the second run");
    }
    let pid = || std::fs::read_to_string(&mark).ok().and_then(|text| text.trim().parse::<i32>().ok());
    while pid().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), Signal::INT).unwrap();
    let rest: Vec<String> = said.lines().map_while(Result::ok).collect();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest:?}");
    let last = rest.last().expect("a last line");
    assert!(last.contains("1 of 2 runs of the original and 2 of 2 of the job"), "{last}");
    assert!(!std::path::Path::new(&format!("/proc/{}", pid().unwrap())).exists(), "the command ended");
    let partial = bench.files().into_iter().find(|name| name.contains(".partial")).expect("a partial card");
    assert_eq!(bench.json(&partial)["original"]["blocks"].as_array().unwrap().len(), 1);
}

#[test]
fn each_round_of_tuning_runs_the_command_again() {
    if !can_prove() {
        return;
    }
    let Some((_folder, device)) = device(64) else { return };
    let bench = Bench::on_disk();
    // The recording's depth of 8 is far from what the command does.
    bench.write("b.json", samples::json(&samples::kv_block()));
    let command = format!(
        "fio --name=a --filename={} --ioengine=libaio --direct=1 --rw=randread --bs=64k --iodepth=1 --size=32m \
         --time_based --runtime=1s --output-format=terse >/dev/null",
        device.path
    );
    let mut words = vec!["distill-fio", "b.json", "-o", "job.fio", "--prove", "--size", "32MiB", "--runtime", "1s"];
    words.extend(["--runs", "1", "--tune", "--tune-rounds", "1", "--target", &device.path]);
    words.extend(["--i-know-this-destroys", &device.path, "--", "sh", "-c", &command]);
    let tuned = bench.run(&words);
    assert_eq!(tuned.code, 1, "{}", tuned.stderr);
    let card = bench.json("job.fidelity.json");
    let rounds = card["tuned"]["rounds"].as_u64().expect("rounds");
    assert_eq!(rounds, 1, "a depth of 8 for one of 1 is tuned: {}", card["tuned"]);
    let ran = |what: &str| tuned.stderr.lines().filter(|line| line.starts_with(what)).count();
    assert_eq!((ran("original, run 1"), ran("tuned, round 1, run 1")), (2, 1), "{}", tuned.stderr);
    assert_eq!((runs(&card, "original"), runs(&card, "distilled")), ((1, 1), (1, 1)));
}
