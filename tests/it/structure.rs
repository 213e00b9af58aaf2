//! The house rules that a reader of the source can check: imports go one way, the library does
//! not print.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::manifest_dir;

/// Layers from the top down. A module may use any module of a lower layer.
const LAYERS: [&[&str]; 5] = [
    &["cli"],
    &["mlperf", "distill", "plot", "analyze"],
    &["replay", "capture", "live", "serve"],
    &["cache", "workload", "trace", "measure"],
    &["model", "seed", "units", "error", "output", "stop", "progress", "checksum"],
];

/// Neighbours in one layer that may be used, `(user, used)`.
const NEIGHBOURS: [(&str, &str); 12] = [
    ("plot", "analyze"),
    ("cache", "trace"),
    ("measure", "trace"),
    ("workload", "trace"),
    ("model", "error"),
    ("model", "units"),
    ("units", "error"),
    ("output", "error"),
    ("output", "stop"),
    ("progress", "error"),
    ("seed", "error"),
    ("stop", "error"),
];

/// Uses that a lower layer would allow and that the design forbids.
const FORBIDDEN: [(&str, &str); 3] = [("replay", "cache"), ("replay", "workload"), ("distill", "capture")];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("src is a folder") {
        let path = entry.expect("an entry of src").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The room a source file lives in: `src/trace/csv.rs` → `trace`, `src/seed.rs` → `seed`.
fn room(path: &Path) -> String {
    let inside = path.strip_prefix(manifest_dir().join("src")).expect("a path below src");
    let first = inside.iter().next().expect("a name").to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// The modules that a source text names after `crate::`, tests left out.
fn used_rooms(text: &str) -> Vec<(usize, String)> {
    let mut used = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("mod tests") {
            break;
        }
        if line.trim_start().starts_with("//") {
            continue;
        }
        for (at, found) in line.match_indices("crate::") {
            let rest = &line[at + found.len()..];
            let name: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            used.push((number + 1, name));
        }
        assert!(!line.contains("use crate::{"), "one `use crate::room` line a room keeps this test honest: {line}");
    }
    used
}

fn allowed(user: &str, used: &str, layer_of: &BTreeMap<&str, usize>) -> bool {
    let (Some(from), Some(to)) = (layer_of.get(user), layer_of.get(used)) else { return false };
    let downwards = from < to || user == used || NEIGHBOURS.contains(&(user, used));
    downwards && !FORBIDDEN.contains(&(user, used))
}

#[test]
fn imports_go_down_the_list_only() {
    let layer_of: BTreeMap<&str, usize> =
        LAYERS.iter().enumerate().flat_map(|(depth, rooms)| rooms.iter().map(move |room| (*room, depth))).collect();
    let mut files = Vec::new();
    sources(&manifest_dir().join("src"), &mut files);
    let mut wrong = Vec::new();
    for file in &files {
        let user = room(file);
        if user == "lib" || user == "main" {
            continue;
        }
        let text = fs::read_to_string(file).expect("a source file");
        for (line, used) in used_rooms(&text) {
            let constant = used.chars().all(|c| c.is_ascii_uppercase() || c == '_');
            if !constant && !allowed(&user, &used, &layer_of) {
                wrong.push(format!("{}:{line}: {user} uses {used}", file.display()));
            }
        }
    }
    assert!(files.len() > 20, "the walk found only {} files", files.len());
    assert!(wrong.is_empty(), "imports against the grain:\n{}", wrong.join("\n"));
}

#[test]
fn the_check_itself_can_fail() {
    let layer_of: BTreeMap<&str, usize> =
        LAYERS.iter().enumerate().flat_map(|(depth, rooms)| rooms.iter().map(move |room| (*room, depth))).collect();
    assert!(!allowed("trace", "replay", &layer_of), "upwards");
    assert!(!allowed("replay", "cache", &layer_of), "forbidden though downwards");
    assert!(!allowed("replay", "capture", &layer_of), "neighbours");
    assert!(allowed("cli", "seed", &layer_of));
    assert_eq!(used_rooms("use crate::trace::Op;\n// crate::cli\n"), [(1, "trace".to_owned())]);
}
