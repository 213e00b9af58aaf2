//! `kvtrace info --data`: files whose repetition is known.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use kvtrace::seed::mix;
use serde_json::Value;

use crate::support::{Bench, is_root};

/// Bytes that do not repeat.
fn random(bytes: usize, seed: u64) -> Vec<u8> {
    (0..bytes as u64 / 8).flat_map(|i| mix(seed << 40 ^ i).to_le_bytes()).collect()
}

/// Blocks, zeros, different ones and their share of one block size.
fn counted(contents: &Value, of: usize) -> (u64, u64, u64, f64) {
    let of = &contents["duplication"][of];
    let number = |name: &str| of[name].as_u64().unwrap();
    (number("blocks"), number("zero_blocks"), number("unique_blocks"), of["unique_share"].as_f64().unwrap_or(-1.0))
}

#[test]
fn repetition_zeros_and_noise_are_told_apart() {
    let bench = Bench::new();
    let look = |paths: &[&str]| bench.ok_json(&[&["info", "--json", "--data"], paths].concat());
    bench.write("noise", random(1 << 20, 1));
    bench.write("zeros", vec![0; 1 << 20]);
    bench.write("repeated", random(4096, 2).repeat(256));
    // 512-byte blocks that repeat, in 4 KiB blocks that do not.
    let pool: Vec<_> = (0..16).map(|i| random(512, 10 + i)).collect();
    let mixed: Vec<u8> = (0..2048u64).flat_map(|i| pool[(mix(i) % 16) as usize].clone()).collect();
    bench.write("mixed", mixed);
    let noise = look(&["noise"]);
    assert_eq!((counted(&noise, 0), counted(&noise, 1)), ((2048, 0, 2048, 1.0), (256, 0, 256, 1.0)));
    assert!(noise["zstd"]["ratio"].as_f64().unwrap() <= 1.0, "{noise}");
    let zeros = look(&["zeros"]);
    assert_eq!((counted(&zeros, 0), counted(&zeros, 1)), ((2048, 2048, 0, -1.0), (256, 256, 0, -1.0)));
    assert!(zeros["zstd"]["ratio"].as_f64().unwrap() > 1000.0 && zeros["duplication"][0]["dedup_ratio"].is_null());
    let repeated = look(&["repeated"]);
    assert_eq!((counted(&repeated, 0).2, counted(&repeated, 1).2), (8, 1));
    assert_eq!(repeated["duplication"][1]["dedup_ratio"], 256.0);
    let mixed = look(&["mixed"]);
    assert_eq!(counted(&mixed, 0).2, 16);
    assert!(counted(&mixed, 1).2 > 250, "{mixed}");
    let all = look(&["noise", "zeros", "repeated"]);
    assert_eq!(
        (counted(&all, 0), &all["files"], &all["bytes"]),
        ((6144, 2048, 2056, 2056.0 / 4096.0), &3.into(), &(3 << 20).into())
    );
    assert!(bench.ok(&["info", "--data", "repeated"]).contains("deduplication 256.0000 to 1; exact"));
}

#[test]
fn more_than_memory_holds_is_estimated_and_said_so() {
    let bench = Bench::new();
    bench.write("noise", random(24 << 20, 3));
    let contents = bench.ok_json(&["info", "--json", "--data", "noise", "--memory", "1MiB"]);
    let of = &contents["duplication"][0];
    assert!(of["exact"] == false && of["sampled_share"].as_f64().unwrap() <= 0.5, "{of}");
    let share = of["unique_share"].as_f64().unwrap();
    assert!((share - 1.0).abs() < 5.0 * of["standard_error"].as_f64().unwrap(), "{of}");
    assert!(bench.ok(&["info", "--data", "noise", "--memory", "1MiB"]).contains("estimated from"));
}

#[test]
fn folders_are_walked_and_links_lead_nowhere() {
    let bench = Bench::new();
    fs::create_dir_all(bench.path("data/deep/er")).unwrap();
    bench.write("data/a", random(1000, 1));
    bench.write("data/deep/er/b", random(4096, 2));
    bench.write("data/empty", "");
    bench.write("outside", random(1 << 20, 3));
    symlink(bench.path("outside"), bench.path("data/link")).unwrap();
    symlink(bench.path("."), bench.path("data/deep/loop")).unwrap();
    fs::hard_link(bench.path("data/a"), bench.path("data/same")).unwrap();
    let contents = bench.ok_json(&["info", "--json", "--data", "data"]);
    assert_eq!((&contents["files"], &contents["bytes"]), (&3.into(), &5096.into()));
    assert_eq!((&contents["left_alone"], &contents["other_names"]), (&2.into(), &1.into()));
    assert_eq!(counted(&contents, 0), (10, 0, 10, 1.0));
}

#[test]
fn what_cannot_be_read_is_named() {
    let bench = Bench::new();
    bench.write("there", "x");
    let last = bench.refused(2, &["info", "--data", "there", "missing"]);
    assert!(last.contains("missing") && last.contains("No such file"), "{last}");
    let last = bench.refused(2, &["info", "--data", "/dev/null"]);
    assert!(last.contains("neither a file nor a folder"), "{last}");
    assert_eq!(bench.run(&["info", "there", "--data", "there"]).code, 2);
    assert_eq!(bench.run(&["info"]).code, 2);
    if !is_root() {
        fs::set_permissions(bench.path("there"), fs::Permissions::from_mode(0o000)).unwrap();
        assert!(bench.refused(2, &["info", "--data", "there"]).contains("there"));
    }
}

#[test]
fn a_slab_of_ours_repeats_nothing() {
    let bench = Bench::on_disk();
    let writes = (0..12).map(|i| format!("{i},Write,3000000,Tier-2,k{i},Prefill\n"));
    let rows = writes.chain((0..12).map(|i| format!("{},Read,3000000,Tier-2,k{i},Decode\n", 12 + i)));
    let header = "Timestamp,Operation,Object_Size_Bytes,Tier,Key,Phase\n";
    bench.write("t.csv", std::iter::once(header.to_owned()).chain(rows).collect::<String>());
    bench.ok(&["replay", "t.csv", "--tier-2", "dir:D", "--precondition", "1x"]);
    let contents = bench.ok_json(&["info", "--json", "--data", "D"]);
    let (blocks, _, _, share) = counted(&contents, 0);
    assert!(blocks > 70_000 && share >= 0.9999 - 256.0 / blocks as f64, "{contents}");
    // The header's spaces are all that repeats.
    assert!(blocks - counted(&contents, 0).2 <= 255, "{contents}");
    assert!(contents["zstd"]["ratio"].as_f64().unwrap() < 1.01, "{contents}");
}
