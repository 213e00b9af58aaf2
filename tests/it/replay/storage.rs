//! `kvtrace replay`: how storage tiers are used, tier by tier, and what state they are in.

use std::fs;
use std::process::Command;

use serde_json::Value;

use super::trace;
use crate::support::{Bench, has_program, is_root, skip};

/// Objects written and then read on tiers 1 and 2.
fn two_tiers(bench: &Bench, objects: u32) {
    let rows = (1..3).flat_map(|tier| {
        let writes = (0..objects).map(move |i| format!("{i} Write 300000 Tier-{tier} k{tier}-{i} Prefill"));
        writes.chain((0..objects).map(move |i| format!("{} Read 300000 Tier-{tier} k{tier}-{i} Decode", objects + i)))
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by_key(|row| row.split(' ').next().unwrap().parse::<u32>().unwrap());
    trace(bench, "t.csv", &rows.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn storage_is_used_as_told_tier_by_tier() {
    let bench = Bench::on_disk();
    two_tiers(&bench, 12);
    let two = ["replay", "t.csv", "--tier-1", "dir:A", "--tier-2", "dir:B", "--verify", "full", "-o", "r.json"];
    let run = |more: &[&str]| {
        bench.ok(&[&two, more].concat());
        let result = bench.json("r.json");
        assert_eq!((&result["verify"]["failure_count"], &result["errors"]), (&0.into(), &Value::Array(vec![])));
        result
    };
    let mixed = run(&["--io", "1=buffered", "--fadvise", "1=dontneed", "--durability", "1=none,2=fdatasync"]);
    let tier = |result: &Value, tier: usize| result["tiers"][tier].clone();
    let (first, second) = (tier(&mixed, 1), tier(&mixed, 2));
    assert_eq!((&first["direct"], &second["direct"]), (&Value::Bool(false), &Value::Bool(true)));
    assert_eq!((&first["facts"]["fadvise"], &second["facts"]["fadvise"]), (&"dontneed".into(), &"none".into()));
    assert_eq!((&first["facts"]["durability"], &second["facts"]["durability"]), (&"none".into(), &"fdatasync".into()));
    assert!(first["sync"].is_null(), "nobody asked: {}", first["sync"]);
    assert_eq!((&second["sync"]["count"], &second["sync"]["unit"]), (&12.into(), &"ns".into()));
    let notes = mixed["notes"].to_string();
    assert!(notes.contains("tier 1 ran buffered") && !notes.contains("tier 2 ran buffered"), "{notes}");
    assert_eq!(mixed["config"]["durability"], "1=none,2=fdatasync");
    let common = run(&["--durability", "fsync"]);
    assert_eq!((&tier(&common, 1)["sync"]["count"], &tier(&common, 2)["sync"]["count"]), (&12.into(), &12.into()));
    let written_through = run(&["--durability", "dsync"]);
    assert!(tier(&written_through, 1)["sync"].is_null(), "no sync of its own follows");
}

#[test]
fn what_is_said_of_a_tier_that_is_not_storage_is_refused() {
    let bench = Bench::on_disk();
    two_tiers(&bench, 1);
    for (flag, value, why) in [
        ("--durability", "1=fsync", "tier 1 is dram, not storage"),
        ("--io", "0=buffered", "tier 0 is model:"),
        ("--fadvise", "2=dontneed", "add --io 2=buffered"),
        ("--durability", "2=later", "none, fdatasync, fsync, dsync"),
        ("--io", "3=direct", "the tiers are 0, 1 and 2"),
    ] {
        let ended = bench.run(&["replay", "t.csv", "--tier-2", "dir:D", flag, value]);
        assert_eq!(ended.code, 2, "{flag} {value}");
        assert!(ended.stderr.contains(why), "{flag} {value}: {}", ended.stderr);
    }
    assert!(!bench.path("D").exists());
    bench.ok(&["replay", "t.csv", "--tier-2", "dram", "--durability", "fsync", "-o", "r.json"]);
    let notes = bench.json("r.json")["notes"].to_string();
    assert!(notes.contains("has no effect: no tier is storage"), "{notes}");
}

/// An ext4 of the test's own on a loop device of the test's own; both gone when dropped.
struct Looped {
    device: String,
    place: std::path::PathBuf,
}

impl Looped {
    fn new(bench: &Bench, mib: u64) -> Option<Self> {
        if !is_root() || !has_program("mkfs.ext4") {
            skip("needs root and mkfs.ext4 to make a small filesystem");
            return None;
        }
        let image = bench.path("image");
        fs::File::create(&image).unwrap().set_len(mib << 20).unwrap();
        let made = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image).status().unwrap();
        assert!(made.success());
        let attached = Command::new("losetup").args(["-f", "--show"]).arg(&image).output();
        let Some(attached) = attached.ok().filter(|o| o.status.success()) else {
            skip("loop devices are not permitted here");
            return None;
        };
        let device = String::from_utf8(attached.stdout).unwrap().trim().to_owned();
        let place = bench.path("m");
        fs::create_dir(&place).unwrap();
        let looped = Self { device, place };
        let mounted = Command::new("mount").arg(&looped.device).arg(&looped.place).output();
        if mounted.is_ok_and(|o| o.status.success()) {
            return Some(looped);
        }
        skip("mount is not permitted here");
        None
    }

    /// Flushes that the device was asked for, field 16 of its statistics
    /// (Documentation/admin-guide/iostats.rst).
    fn flushes(&self) -> u64 {
        let name = self.device.trim_start_matches("/dev/");
        let stat = fs::read_to_string(format!("/sys/block/{name}/stat")).unwrap();
        stat.split_ascii_whitespace().nth(15).unwrap().parse().unwrap()
    }
}

impl Drop for Looped {
    fn drop(&mut self) {
        for _ in 0..50 {
            if Command::new("umount").arg(&self.place).output().is_ok_and(|o| o.status.success()) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        let _ = Command::new("losetup").args(["-d", &self.device]).output();
    }
}

#[test]
fn root_durability_is_counted_in_flushes_of_the_device() {
    const OBJECTS: u64 = 40;
    let bench = Bench::on_disk();
    let Some(looped) = Looped::new(&bench, 64) else { return };
    let rows: Vec<_> = (0..OBJECTS).map(|i| format!("{i} Write 300000 Tier-2 k{i} Prefill")).collect();
    trace(&bench, "t.csv", &rows.iter().map(String::as_str).collect::<Vec<_>>());
    let run = |durability: &str| {
        let before = looped.flushes();
        // One object at a time, so that one flush does not serve two.
        let args = ["--max-objects", "1", "--durability", durability, "-o", "r.json"];
        bench.ok(&[&["replay", "t.csv", "--tier-2", "dir:m/D"][..], &args].concat());
        (looped.flushes() - before, bench.json("r.json")["tiers"][2]["sync"]["count"].as_u64())
    };
    run("none");
    let (without, counted) = run("none");
    // The header's, when it is taken into use and when it is let go, and the one at the end.
    assert!((1..=8).contains(&without) && counted.is_none(), "{without} flushes, {counted:?}");
    for durability in ["fdatasync", "fsync"] {
        let (flushes, counted) = run(durability);
        assert_eq!(counted, Some(OBJECTS), "{durability}");
        let own = flushes - without;
        assert!((OBJECTS..=OBJECTS + OBJECTS / 4).contains(&own), "{durability}: {own} of {OBJECTS} objects");
    }
    let (flushes, _) = run("dsync");
    assert!(flushes - without >= OBJECTS, "every I/O is flushed: {flushes}");
}
