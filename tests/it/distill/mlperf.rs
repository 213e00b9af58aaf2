//! `distill-fio --method mlperf`: the reference's rules, in a job that fio takes.

use std::process::Command;

use crate::samples::{self, Load};
use crate::support::Bench;

use super::{done, has_fio, option, run_printed_command};

#[test]
fn the_reference_is_computed_without_its_losses() {
    let bench = Bench::on_disk();
    let sizes = [(4096, 30), (700 << 10, 960), (3 << 20, 10)];
    let mut block = samples::block(&[
        Load { op: "read", sizes: &sizes, depths: &[(6, 100)] },
        Load { op: "write", sizes: &[(300 << 10, 250)], depths: &[(2, 100)] },
    ]);
    block.histograms.push(samples::exact("inflight", "read", "ios", 1, &[(70, 1000)]));
    bench.write("b.json", samples::json(&block));
    let command =
        ["distill-fio", "b.json", "-o", "job.fio", "--method", "mlperf", "--runtime", "1s", "--size", "64MiB"];
    bench.ok(&command);
    let job = String::from_utf8(bench.read("job.fio")).unwrap();
    let value = |name: &str| option(&job, "mlperf", name);
    // 700 KiB lies in [512 KiB, 1 MiB), which the reference drops; its percents add up to 101 and 100.
    assert_eq!(value("bssplit").as_deref(), Some("4k/3:512k/96:2m/1,256k/100"));
    assert_eq!((value("rwmixread").as_deref(), value("iodepth").as_deref()), (Some("80"), Some("64")));
    assert_eq!(option(&job, "global", "ioengine").as_deref(), Some("libaio"));
    assert!(job.contains("# Method: mlperf") && !job.contains("zoned") && !job.contains("flow"), "{job}");
    if has_fio() {
        let fio = run_printed_command(&bench, &job);
        let (reads, writes) = (done(&fio, "read"), done(&fio, "write"));
        assert!(reads.0 > 0.0 && writes.0 > 0.0);
    }
}

#[test]
fn a_direction_that_is_missing_is_never_drawn() {
    let bench = Bench::on_disk();
    let load = Load { op: "write", sizes: &[(4096, 100)], depths: &[(1, 10)] };
    bench.write("b.json", samples::json(&samples::block(&[load])));
    bench.ok(&["distill-fio", "b.json", "-o", "job.fio", "--method", "mlperf"]);
    let job = String::from_utf8(bench.read("job.fio")).unwrap();
    let values = ["rwmixread", "bssplit", "iodepth"].map(|name| option(&job, "mlperf", name));
    assert_eq!(values, ["0", "4k/100,4k/100", "32"].map(|value| Some(value.to_owned())));
    if has_fio() {
        let parsed =
            Command::new("fio").current_dir(bench.path("")).args(["--parse-only", "job.fio"]).output().unwrap();
        assert!(parsed.status.success(), "{}", String::from_utf8_lossy(&parsed.stderr));
    }
}
