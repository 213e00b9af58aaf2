//! The defects that `tools/plant-defects` plants: here only that each still finds its place in
//! the programs. That the tests catch them takes a build for each, which is the tool's own work.

use std::process::Command;

use crate::support::{has_program, manifest_dir, skip};

#[test]
fn every_defect_finds_its_place() {
    if !has_program("python3") {
        return skip("tools/plant-defects needs python3");
    }
    let output = Command::new(manifest_dir().join("tools/plant-defects")).arg("--check").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).lines().count() >= 5, "five defects and more");
}
