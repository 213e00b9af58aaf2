//! `distill-fio`: what a machine reads, sizes that do not fit, and fio that is old or absent.

use std::os::unix::fs::PermissionsExt;

use kvtrace::measure::block::BlockSet;

use crate::samples::{self, Load};
use crate::support::Bench;

use super::{has_fio, option, run_printed_command};

#[test]
fn a_machine_reads_values_and_where_they_come_from() {
    let bench = Bench::new();
    bench.write("b.json", samples::json(&samples::kv_block()));
    let machine = bench.ok_json(&["--json", "distill-fio", "b.json", "-o", "job.fio"]);
    let job = String::from_utf8(bench.read("job.fio")).unwrap();
    assert_eq!(machine["schema"], "kvtrace.job/1");
    let sections = machine["sections"].as_array().unwrap();
    assert!(sections.iter().any(|section| section["name"] == "mix-92"));
    for section in sections {
        for setting in section["settings"].as_array().unwrap() {
            let (name, value) = (setting["name"].as_str().unwrap(), setting["value"].as_str().unwrap());
            assert_eq!(option(&job, section["name"].as_str().unwrap(), name).as_deref(), Some(value));
        }
    }
    let read = &machine["directions"][0];
    assert!(read["d2c_p50_ns"].as_f64().unwrap() > 0.0 && !read["hot_zones"].as_array().unwrap().is_empty(), "{read}");
    assert!(job.contains(machine["command"].as_str().unwrap()), "{}", machine["command"]);
    assert!(bench.refused(2, &["--json", "distill-fio", "b.json", "-o", "-"]).contains("standard output"));
}

#[test]
fn a_file_that_is_too_small_is_refused_and_a_small_one_is_said() {
    let bench = Bench::new();
    bench.write("b.json", samples::json(&samples::kv_block()));
    let refused = bench.refused(2, &["distill-fio", "b.json", "-o", "j.fio", "--size", "128KiB"]);
    assert!(refused.contains("largest request (512 KiB)") && refused.contains("leave --size out"), "{refused}");
    let small = bench.run(&["distill-fio", "b.json", "-o", "j.fio", "--size", "1MiB"]);
    assert!(small.code == 0 && small.stderr.contains("smaller than what the source worked on"), "{}", small.stderr);
    assert!(String::from_utf8(bench.read("j.fio")).unwrap().contains("# WARNING: the file (1.00 MiB) is smaller"));
}

#[test]
fn one_request_and_odd_sizes_make_a_job_that_says_so() {
    let bench = Bench::on_disk();
    let one = Load { op: "read", sizes: &[(3584, 1)], depths: &[(1, 10)] };
    bench.write("b.json", samples::json(&samples::block(&[one])));
    let said = bench.run(&["distill-fio", "b.json", "-o", "job.fio", "--runtime", "1s", "--size", "1MiB"]);
    assert!(said.code == 0 && said.stderr.contains("only 1 request;"), "{}", said.stderr);
    assert!(said.stderr.contains("3584 bytes, which is no multiple of 4 KiB"), "{}", said.stderr);
    let job = String::from_utf8(bench.read("job.fio")).unwrap();
    assert_eq!(option(&job, "read", "bs").as_deref(), Some("3584"));
    if has_fio() {
        run_printed_command(&bench, &job);
    }
}

#[test]
fn phases_run_beside_each_other_and_need_to_be_there() {
    let bench = Bench::on_disk();
    let whole = |reads: i64, writes: i64| {
        samples::block(&[
            Load { op: "read", sizes: &[(65_536, reads as u64)], depths: &[(8, 1000)] },
            Load { op: "write", sizes: &[(131_072, writes as u64)], depths: &[(2, 1000)] },
        ])
    };
    let mut block = whole(9000, 1000);
    bench.write("plain.json", samples::json(&block));
    let refused = bench.refused(2, &["distill-fio", "plain.json", "-o", "j.fio", "--by", "phase"]);
    assert!(refused.contains("no phases apart") && refused.contains("kvtrace mark"), "{refused}");
    let set = |reads, writes| BlockSet { histograms: whole(reads, writes).histograms };
    block.phases = Some([("decode".to_owned(), set(9000, 0)), ("evict".to_owned(), set(0, 1000))].into());
    bench.write("b.json", samples::json(&block));
    bench.ok(&["distill-fio", "b.json", "-o", "job.fio", "--by", "phase", "--runtime", "2s", "--size", "64MiB"]);
    let job = String::from_utf8(bench.read("job.fio")).unwrap();
    assert!(job.contains("[decode-read]") && job.contains("[evict-write]") && !job.contains("stonewall"), "{job}");
    let flow = |section: &str| option(&job, section, "flow").unwrap().parse::<f64>().unwrap();
    assert_eq!(flow("decode-read") / flow("evict-write"), 9.0, "{job}");
    if has_fio() {
        let fio = run_printed_command(&bench, &job);
        let (reads, writes) = (super::done(&fio, "read").0, super::done(&fio, "write").0);
        let share = reads / (reads + writes);
        assert!((share - 0.9).abs() < 0.03, "{share}");
    }
}

#[test]
fn an_old_fio_is_named_and_none_is_needed() {
    let bench = Bench::new();
    bench.write("b.json", samples::json(&samples::kv_block()));
    std::fs::create_dir(bench.path("bin")).unwrap();
    let fake = bench.write("bin/fio", "#!/bin/sh\necho fio-3.19\n");
    std::fs::set_permissions(&fake, std::fs::Permissions::from_mode(0o755)).unwrap();
    let with_path = |path: &str| {
        let output = bench.command(&["distill-fio", "b.json", "-o", "job.fio"]).env("PATH", path).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = with_path(fake.parent().unwrap().to_str().unwrap());
    assert!(code == Some(0) && said.contains("fio-3.19") && said.contains("older than fio 3.28"), "{said}");
    let (code, said) = with_path(bench.path("nothing").to_str().unwrap());
    assert!(code == Some(0) && said.contains("fio is not installed"), "{said}");
    assert!(bench.files().contains(&"job.fio".to_owned()));
}
