//! `kvtrace replay` on block devices: loop devices of the tests' own.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::trace;
use crate::loop_device::LoopDevice;
use crate::support::{Bench, Ended, has_program, skip};

/// A loop device of so many MiB; none where that is not possible.
fn looped(bench: &Bench, name: &str, mib: u64, flags: &[&str]) -> Option<LoopDevice> {
    let image = bench.path(name);
    if !image.exists() {
        fs::File::create(&image).unwrap().set_len(mib << 20).unwrap();
    }
    LoopDevice::over(&image, flags)
}

fn spec(device: &LoopDevice) -> String {
    format!("block:{}", device.path)
}

fn small_trace(bench: &Bench) {
    let rows: Vec<_> = (0..20).map(|i| format!("{i} Write 700001 Tier-2 k{i} Prefill")).collect();
    let reads = (0..20).map(|i| format!("30 Read 700001 Tier-2 k{i} Decode"));
    let rows: Vec<_> = rows.into_iter().chain(reads).collect();
    trace(bench, "t.csv", &rows);
}

fn on(bench: &Bench, spec: &str, more: &[&str]) -> Ended {
    bench.run(&[&["replay", "t.csv", "--tier-2", spec, "--verify", "full", "-o", "r.json"][..], more].concat())
}

fn refused(bench: &Bench, spec: &str, more: &[&str]) -> String {
    let ended = on(bench, spec, more);
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    ended.stderr.lines().last().unwrap_or_default().to_owned()
}

#[test]
fn root_a_device_that_was_named_is_used_whole_and_reused() {
    let bench = Bench::on_disk();
    small_trace(&bench);
    let Some(device) = looped(&bench, "image", 48, &[]) else { return };
    let (spec, named) = (spec(&device), ["--i-know-this-destroys", &device.path]);
    let untouched = fs::read(bench.path("image")).unwrap();
    let last = refused(&bench, &spec, &[]);
    assert!(last.contains("would destroy everything on it; add --i-know-this-destroys"), "{last}");
    let last = refused(&bench, &spec, &["--i-know-this-destroys", "/dev/null"]);
    assert!(last.contains("--i-know-this-destroys"), "{last}");
    let last = refused(&bench, &format!("{spec},size=1GiB"), &named);
    assert!(last.contains("has only 48.0 MiB"), "{last}");
    let last = refused(&bench, &format!("{spec},size=1MiB"), &named);
    assert!(last.contains("the trace needs"), "{last}");
    assert!(fs::read(bench.path("image")).unwrap() == untouched, "a refusal writes nothing");
    let first = on(&bench, &spec, &named);
    assert_eq!(first.code, 0, "{}", first.stderr);
    let result = bench.json("r.json");
    let facts = &result["tiers"][2]["facts"];
    assert_eq!((&facts["slab_bytes"], &facts["slab"]), (&(48u64 << 20).into(), &"written before the run".into()));
    assert_eq!((&facts["device"], &facts["filesystem"]), (&device.path[5..].into(), &Value::Null));
    assert_eq!((&result["verify"]["failure_count"], &result["tiers"][2]["direct"]), (&0.into(), &true.into()));
    let second = on(&bench, &spec, &[&named[..], &["--prepare", "never"]].concat());
    assert_eq!(second.code, 0, "{}", second.stderr);
    assert_eq!(bench.json("r.json")["tiers"][2]["facts"]["slab"], "reused");
    let last = refused(&bench, &spec, &[]);
    assert!(last.contains("a slab of kvtrace on it"), "{last}");
    drop(device);
    let written = fs::read(bench.path("image")).unwrap();
    assert!(written.chunks(4096).all(|block| block.iter().any(|byte| *byte != 0)), "every block was written");
}

#[test]
fn root_devices_that_are_in_use_are_refused_even_when_named() {
    let bench = Bench::on_disk();
    small_trace(&bench);
    if !has_program("mkfs.ext4") {
        return skip("needs mkfs.ext4");
    }
    let Some(device) = looped(&bench, "image", 48, &[]) else { return };
    let named = ["--i-know-this-destroys", &device.path];
    assert!(Command::new("mkfs.ext4").args(["-q", "-F", &device.path]).status().unwrap().success());
    let last = refused(&bench, &spec(&device), &[]);
    assert!(last.contains("an ext2, ext3 or ext4 filesystem on it"), "{last}");
    let last = refused(&bench, &format!("file:{},size=8MiB", device.path), &named);
    assert!(last.contains("below /dev"), "{last}");
    fs::create_dir(bench.path("m")).unwrap();
    let mounted = Command::new("mount").arg(&device.path).arg(bench.path("m")).status();
    if mounted.is_ok_and(|status| status.success()) {
        let last = refused(&bench, &spec(&device), &named);
        let _ = Command::new("umount").arg(bench.path("m")).status();
        assert!(last.contains("is mounted on") && last.contains("only a device that nothing uses"), "{last}");
    }
    if let Some(inner) = LoopDevice::over(&device.path, &[]) {
        let last = refused(&bench, &spec(&device), &named);
        drop(inner);
        assert!(last.contains("lies on") || last.contains("in use"), "{last}");
    }
    let ended = on(&bench, &spec(&device), &named);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let notes = bench.json("r.json")["notes"].to_string();
    assert!(notes.contains("held an ext2, ext3 or ext4 filesystem, which is gone"), "{notes}");
}

#[test]
fn root_a_read_only_device_and_one_with_partitions_are_refused() {
    let bench = Bench::on_disk();
    small_trace(&bench);
    let Some(device) = looped(&bench, "locked", 48, &["--read-only"]) else { return };
    let last = refused(&bench, &spec(&device), &["--i-know-this-destroys", &device.path]);
    assert!(last.contains("read-only"), "{last}");
    let mut table = vec![0u8; 512];
    table[446 + 4] = 0x83;
    table[446 + 8..446 + 12].copy_from_slice(&2048u32.to_le_bytes());
    table[446 + 12..446 + 16].copy_from_slice(&4096u32.to_le_bytes());
    table[510..].copy_from_slice(&[0x55, 0xaa]);
    table.resize(48 << 20, 0);
    bench.write("parted", &table);
    let Some(device) = looped(&bench, "parted", 48, &["--partscan"]) else { return };
    let last = refused(&bench, &spec(&device), &[]);
    let has_partitions = Path::new("/sys/class/block").join(format!("{}p1", &device.path[5..])).exists();
    assert!(last.contains(if has_partitions { "has partitions" } else { "a partition table" }), "{last}");
    assert!(fs::read(bench.path("parted")).unwrap() == table, "nothing was written");
}

#[test]
fn a_system_disk_is_never_a_target() {
    let bench = Bench::on_disk();
    small_trace(&bench);
    for mounted in fs::read_to_string("/proc/self/mountinfo").unwrap_or_default().lines() {
        let number = mounted.split(' ').nth(2).unwrap_or_default();
        let Ok(sys) = fs::canonicalize(format!("/sys/dev/block/{number}")) else { continue };
        let device = format!("/dev/{}", sys.file_name().unwrap().to_string_lossy());
        // A plan touches nothing, so that this is safe whatever comes of it.
        let args = ["replay", "t.csv", "--plan-only", "--i-know-this-destroys", &device, "--tier-2"];
        let last = bench.refused(2, &[&args[..], &[&format!("block:{device}")]].concat());
        assert!(last.contains("is mounted on") || last.contains("has partitions"), "{last}");
    }
}
