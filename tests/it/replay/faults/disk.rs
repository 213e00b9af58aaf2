//! The disk fails, fills up, shrinks, or is not one.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use rustix::fs::FallocateFlags;

use super::super::trace;
use super::{Mounted, ended_soon, ext4_in, partial, small_ext4, start_prepared, writes_and_reads};
use crate::loop_device::LoopDevice;
use crate::support::{Bench, has_program, is_root, skip};

#[test]
fn root_a_filesystem_without_direct_io_is_refused_with_the_way_out() {
    if !is_root() {
        return skip("needs root to mount a tmpfs");
    }
    let bench = Bench::on_disk();
    let Some(mounted) = Mounted::new(bench.path("m"), &["-t", "tmpfs", "-o", "size=64m", "kvtrace-test"]) else {
        return;
    };
    trace(&bench, "t.csv", &["0 Write 100000 Tier-2 a Prefill", "1 Read 100000 Tier-2 a Decode"]);
    let last = bench.refused(2, &["replay", "t.csv", "--tier-2", "dir:m/D"]);
    assert!(last.contains("--io buffered"), "{last}");
    assert!(!bench.path("m/D").exists());
    bench.ok(&["replay", "t.csv", "--tier-2", "dir:m/D", "--io", "buffered", "-o", "r.json"]);
    let result = bench.json("r.json");
    assert_eq!(result["tiers"][2]["direct"], false);
    assert!(result["notes"][0].as_str().unwrap().contains("buffered"));
    drop(mounted);
}

#[test]
fn root_a_disk_that_is_too_small_is_refused_with_need_and_have() {
    let bench = Bench::on_disk();
    let Some(_mounted) = small_ext4(&bench, 64) else { return };
    trace(&bench, "t.csv", &["0 Write 90000000 Tier-2 a Prefill", "1 Read 90000000 Tier-2 a Decode"]);
    let last = bench.refused(2, &["replay", "t.csv", "--tier-2", "dir:m/D", "-o", "r.json"]);
    assert!(last.contains("MiB is needed") && last.contains("is free") && last.contains("--size-scale"), "{last}");
    assert!(!bench.path("m/D").exists() && !bench.path("r.json").exists());
}

#[test]
fn root_a_failing_disk_ends_the_run_with_a_partial_report() {
    let bench = Bench::on_disk();
    let Some(mounted) = small_ext4(&bench, 96) else { return };
    let rows: Vec<_> = (0..60).map(|i| format!("{i} Write 200000 Tier-2 k{i} Prefill")).collect();
    trace(&bench, "t.csv", &rows);
    let args = ["replay", "t.csv", "--tier-2", "dir:m/D", "--pace", "rate:20/s", "-o", "r.json"];
    let child = start_prepared(&bench, "m/D/kvtrace-tier2.slab", &args);
    sleep(Duration::from_millis(800));
    shut_down(&mounted.place);
    let ended = ended_soon(child);
    assert_eq!(ended.code, 4, "{}", ended.stderr);
    let result = partial(&bench, "r.partial.json");
    assert_eq!(result["errors"][0]["errno"], 5, "{}", ended.stderr);
    assert_eq!((&result["complete"], &result["errors"][0]["op"]), (&false.into(), &"write".into()));
}

/// EXT4_IOC_SHUTDOWN without flushing: every I/O fails from now on.
fn shut_down(place: &Path) {
    const EXT4_IOC_SHUTDOWN: rustix::ioctl::Opcode = 0x8004_587d;
    let file = fs::File::open(place).unwrap();
    // SAFETY: the opcode takes a pointer to a 32-bit flag, as here.
    unsafe { rustix::ioctl::ioctl(&file, rustix::ioctl::Setter::<EXT4_IOC_SHUTDOWN, u32>::new(2)) }.unwrap();
}

/// A tmpfs of so many MiB with an ext4 in it that believes to be much larger.
struct Thin {
    // The filesystem has to go before what its image is in.
    inner: Mounted,
    _outer: Mounted,
}

fn thin_ext4(bench: &Bench, tmpfs_mib: u64, mib: u64) -> Option<Thin> {
    if !is_root() {
        skip("needs root to mount a tmpfs");
        return None;
    }
    let size = format!("size={tmpfs_mib}m");
    let outer = Mounted::new(bench.path("thin"), &["-t", "tmpfs", "-o", &size, "kvtrace-thin"])?;
    let inner = ext4_in(bench, &bench.path("thin/image"), mib, "loop,discard")?;
    Some(Thin { inner, _outer: outer })
}

#[test]
fn root_a_thin_disk_that_fills_up_during_prepare_names_the_slab_and_its_way_out() {
    let bench = Bench::on_disk();
    let Some(_mounted) = thin_ext4(&bench, 40, 256) else { return };
    trace(&bench, "t.csv", &["0 Write 90000000 Tier-2 a Prefill", "1 Read 90000000 Tier-2 a Decode"]);
    let last = bench.refused(4, &["replay", "t.csv", "--tier-2", "dir:m/D", "-o", "r.json"]);
    assert!(last.contains("m/D/kvtrace-tier2.slab") && last.contains("--size-scale"), "{last}");
    assert!(!bench.path("r.json").exists() && !bench.path("r.partial.json").exists());
}

#[test]
fn root_a_thin_disk_that_fills_up_in_mid_run_ends_it_although_the_filesystem_had_room() {
    let bench = Bench::on_disk();
    let Some(thin) = thin_ext4(&bench, 64, 256) else { return };
    trace(&bench, "t.csv", &writes_and_reads(60, 200_000));
    let args = ["replay", "t.csv", "--tier-2", "dir:m/D", "--pace", "rate:20/s", "-o", "r.json"];
    let child = start_prepared(&bench, "m/D/kvtrace-tier2.slab", &args);
    sleep(Duration::from_millis(300));
    // The slab's blocks are given back down to the tmpfs, and somebody else takes them.
    let slab = fs::File::options().write(true).open(bench.path("m/D/kvtrace-tier2.slab")).unwrap();
    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    rustix::fs::fallocate(&slab, punch, 1 << 20, slab.metadata().unwrap().len() - (1 << 20)).unwrap();
    rustix::fs::syncfs(fs::File::open(&thin.inner.place).unwrap()).unwrap();
    sleep(Duration::from_millis(100));
    let _ = fs::write(bench.path("thin/filler"), vec![1; 64 << 20]);
    let ended = ended_soon(child);
    assert_eq!(ended.code, 4, "{}", ended.stderr);
    let result = partial(&bench, "r.partial.json");
    let errno = result["errors"][0]["errno"].as_i64().unwrap();
    assert!([5, 28].contains(&errno), "{}", ended.stderr);
    // What the filesystem has to write now has nowhere to go.
    let _ = fs::remove_file(bench.path("thin/filler"));
}

#[test]
fn root_a_device_truncated_underneath_ends_the_run() {
    let bench = Bench::on_disk();
    let Some(mounted) = small_ext4(&bench, 96) else { return };
    trace(&bench, "t.csv", &writes_and_reads(60, 200_000));
    let args = ["replay", "t.csv", "--tier-2", "dir:m/D", "--pace", "rate:50/s", "-o", "r.json"];
    let child = start_prepared(&bench, "m/D/kvtrace-tier2.slab", &args);
    sleep(Duration::from_millis(1300));
    let image = fs::File::options().write(true).open(bench.path("image")).unwrap();
    image.set_len(1 << 20).unwrap();
    let ended = ended_soon(child);
    // The loop device says that reads failed; where it says zeros, they are wrong data.
    assert!([4, 5].contains(&ended.code), "{}", ended.stderr);
    let name = if ended.code == 4 { "r.partial.json" } else { "r.json" };
    assert_eq!(bench.json(name)["valid"], false);
    drop(mounted);
}

#[test]
fn a_slab_truncated_underneath_is_an_error_and_no_endless_retry() {
    let bench = Bench::on_disk();
    let rows = ["0 Read 200000 Tier-2 a Decode", "1 Read 2000000 Tier-2 b Decode", "2 Read 200000 Tier-2 c Decode"];
    trace(&bench, "t.csv", &rows);
    let args = ["replay", "t.csv", "--tier-2", "file:slab,size=8MiB", "--pace", "rate:1/s", "-o", "r.json"];
    let child = start_prepared(&bench, "slab", &args);
    sleep(Duration::from_millis(500));
    let slab = fs::File::options().write(true).open(bench.path("slab")).unwrap();
    // In the middle of `b`, so that its read is short before there is nothing.
    slab.set_len((128 << 10) * 3 + 300_000).unwrap();
    let ended = ended_soon(child);
    assert_eq!(ended.code, 4, "{}", ended.stderr);
    let result = partial(&bench, "r.partial.json");
    let error = &result["errors"][0];
    assert_eq!((&error["op"], &error["key"], &error["row"]), (&"read".into(), &"b".into(), &2.into()));
    assert!(error["message"].as_str().unwrap().contains("transferred"), "{error}");
}

#[test]
fn a_slab_with_holes_or_too_short_is_written_anew() {
    let bench = Bench::on_disk();
    trace(&bench, "t.csv", &["0 Read 2000000 Tier-2 a Decode"]);
    let how = || {
        bench.ok(&["replay", "t.csv", "--tier-2", "dir:D", "--verify", "full", "-o", "r.json"]);
        bench.json("r.json")["tiers"][2]["facts"]["slab"].as_str().unwrap().to_owned()
    };
    assert_eq!([how(), how()], ["written before the run", "reused"]);
    let slab = fs::File::options().write(true).open(bench.path("D/kvtrace-tier2.slab")).unwrap();
    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    if rustix::fs::fallocate(&slab, punch, 4 << 20, 1 << 20).is_ok() {
        assert_eq!([how(), how()], ["written before the run", "reused"]);
    }
    slab.set_len(1 << 20).unwrap();
    assert_eq!([how(), how()], ["written before the run", "reused"]);
}

#[test]
fn root_sectors_of_4096_bytes_are_kept_to() {
    if !is_root() || !has_program("mkfs.ext4") {
        return skip("needs root and mkfs.ext4 to make a disk with large sectors");
    }
    let bench = Bench::on_disk();
    fs::File::create(bench.path("image")).unwrap().set_len(96 << 20).unwrap();
    let Some(device) = LoopDevice::over(bench.path("image"), &["-b", "4096"]) else { return };
    assert!(Command::new("mkfs.ext4").args(["-q", "-F", &device.path]).status().unwrap().success());
    let Some(mounted) = Mounted::new(bench.path("m"), &[&device.path]) else { return };
    let rows: Vec<_> = [1, 511, 513, 4095, 4097, 131_071, 131_073, 3_000_001]
        .iter()
        .enumerate()
        .flat_map(|(i, size)| {
            [format!("0 Write {size} Tier-2 k{i} Prefill"), format!("1 Read {size} Tier-2 k{i} Decode")]
        })
        .collect();
    trace(&bench, "t.csv", &rows);
    bench.ok(&["replay", "t.csv", "--tier-2", "dir:m/D", "--io-size", "64KiB", "--verify", "full", "-o", "r.json"]);
    let result = bench.json("r.json");
    assert_eq!((&result["verify"]["failure_count"], &result["tiers"][2]["direct"]), (&0.into(), &true.into()));
    assert_eq!(result["tiers"][2]["facts"]["dio_alignment_bytes"], 4096);
    drop(mounted);
}

/// Has ext4 report an error of its own, upon which it becomes read-only.
fn break_filesystem(place: &Path) -> bool {
    let device = rustix::fs::stat(place).unwrap().st_dev;
    let link = format!("/sys/dev/block/{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    let name = fs::canonicalize(link).unwrap().file_name().unwrap().to_string_lossy().into_owned();
    fs::write(format!("/sys/fs/ext4/{name}/trigger_fs_error"), "kvtrace-test").is_ok()
}

#[test]
fn root_a_filesystem_that_becomes_read_only_ends_the_run() {
    let bench = Bench::on_disk();
    let Some(mounted) = ext4_in(&bench, &bench.path("image"), 96, "loop,errors=remount-ro") else { return };
    trace(&bench, "t.csv", &writes_and_reads(100, 100_000));
    let args = ["replay", "t.csv", "--tier-2", "dir:m/D", "--pace", "rate:20/s", "-o", "r.json"];
    let child = start_prepared(&bench, "m/D/kvtrace-tier2.slab", &args);
    sleep(Duration::from_millis(800));
    if !break_filesystem(&mounted.place) {
        let _ = rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT);
        ended_soon(child);
        return skip("this ext4 has no trigger for errors");
    }
    let ended = ended_soon(child);
    assert_eq!(ended.code, 4, "{}", ended.stderr);
    let result = partial(&bench, "r.partial.json");
    let errno = result["errors"][0]["errno"].as_i64().unwrap();
    assert!([5, 30].contains(&errno), "{}", ended.stderr);
}

#[test]
fn root_the_target_folder_removed_in_mid_run_is_said() {
    let bench = Bench::on_disk();
    trace(&bench, "t.csv", &writes_and_reads(20, 100_000));
    let args = ["replay", "t.csv", "--tier-2", "dir:D", "--pace", "rate:30/s", "-o", "r.json"];
    let child = start_prepared(&bench, "D/kvtrace-tier2.slab", &args);
    sleep(Duration::from_millis(300));
    fs::remove_dir_all(bench.path("D")).unwrap();
    let ended = ended_soon(child);
    assert!([0, 3].contains(&ended.code), "{}", ended.stderr);
    let result = bench.json("r.json");
    assert_eq!((&result["verify"]["failure_count"], &result["totals"]["ops"]), (&0.into(), &40.into()));
    assert!(result["notes"].to_string().contains("was removed during the run"), "{}", result["notes"]);
    assert!(!bench.path("D").exists());
}
