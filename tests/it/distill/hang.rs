//! `distill-fio --prove` with a fio that never ends.

use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use crate::samples;
use crate::support::Bench;

use super::prove::can_prove;

#[test]
fn a_fio_that_hangs_is_ended_and_named() {
    if !can_prove() {
        return;
    }
    let bench = Bench::on_disk();
    bench.write("b.json", samples::json(&samples::kv_block()));
    std::fs::create_dir(bench.path("ground")).unwrap();
    std::fs::create_dir(bench.path("bin")).unwrap();
    // It reads jobs and fills files, and then hears nothing.
    let script = "#!/bin/sh\ncase \" $* \" in\n*--version*) echo fio-3.33; exit ;;\n*--parse-only*|*--name=fill*) exit 0 ;;\n\
                  esac\ntrap '' INT\necho $$ > pid\necho 'fio: waiting for the device' >&2\nwhile :; do sleep 1; done\n";
    let fake = bench.write("bin/fio", script);
    std::fs::set_permissions(&fake, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", fake.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut command = bench.command(&["distill-fio", "b.json", "-o", "job.fio", "--prove", "--target", "ground"]);
    let command = command.args(["--size", "32MiB", "--runtime", "1s", "--fio-grace", "1s"]).env("PATH", path);
    let began = Instant::now();
    let ended = command.output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    let last = said.lines().last().unwrap_or_default();
    assert_eq!(ended.status.code(), Some(4), "{said}");
    assert!(
        last.contains("fio hung") && last.contains("its work takes 1.00 s") && last.contains("was killed"),
        "{last}"
    );
    assert!(last.contains("waiting for the device") && last.contains("dmesg"), "{last}");
    assert!(began.elapsed().as_secs_f64() >= 2.0, "it had its runtime and its grace");
    let pid = String::from_utf8(bench.read("pid")).unwrap();
    assert!(!std::path::Path::new(&format!("/proc/{}", pid.trim())).exists(), "it is gone");
    assert_eq!(std::fs::read_dir(bench.path("ground")).unwrap().count(), 0, "the target is as it was");
}
