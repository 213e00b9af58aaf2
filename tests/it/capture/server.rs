//! A process tree that writes files as a server does, on a filesystem on a loop device.

use super::device::{Loop, until_delivered};
use super::{histogram, others};
use crate::support::{has_program, skip};

const PROGRAM: &str = include_str!("server.py");

#[test]
fn a_tree_of_threads_and_processes_is_seen_to_the_last_byte() {
    if !has_program("python3") {
        return skip("the process tree is written in Python");
    }
    let Some(device) = Loop::sized("mq-deadline", 256) else { return };
    let Some(mount) = device.with_ext4() else { return };
    let program = device.bench.write("server.py", PROGRAM).display().to_string();
    let (folder, list) = (mount.place.display().to_string(), device.bench.path("list.json"));
    let script = format!("rm -f {folder}/*.safetensors; python3 {program} {folder} > {}", list.display());
    let result = until_delivered(|| device.command("server", &["sh", "-c", &script]));
    assert!(!result.tainted, "{:?}", result.taint_reasons);
    let said = device.bench.json("list.json");
    let payload = i128::from(said["bytes"].as_u64().unwrap());
    assert_eq!(said["files"], 24);
    let [reads, writes] = ["read", "write"].map(|op| histogram(&result, "size", op).sum);
    assert!(writes >= payload, "{payload} bytes written and flushed, {writes} seen");
    assert!(reads >= payload, "{payload} bytes read from the disk, {reads} seen");
    // The journal's thread and the one that reads bitmaps ahead.
    let [foreign_reads, foreign_writes] = ["read", "write"].map(|op| others(&result, "size", op).sum);
    assert!(foreign_reads * 10 < payload, "{foreign_reads} bytes read besides {payload}");
    assert!(foreign_writes * 10 < payload, "{foreign_writes} bytes written besides {payload}");
    let kernel = result.devices[0].kernel;
    assert_eq!(reads + foreign_reads, i128::from(kernel.read_bytes));
    assert_eq!(writes + foreign_writes, i128::from(kernel.write_bytes));
}
