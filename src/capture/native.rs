//! Programs around the headers of `bpf/`, compiled for this machine.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// What every program begins with: the kernel's types.
const TYPES: &str = r"
#include <stdio.h>
#include <stdbool.h>
typedef unsigned char __u8;
typedef int __s32;
typedef unsigned int __u32;
typedef long long __s64;
typedef unsigned long long __u64;
";

/// A compiled program, gone with its folder when dropped.
#[derive(Debug)]
pub struct Native {
    binary: PathBuf,
    _folder: TempDir,
}

impl Native {
    /// None where there is no compiler.
    pub fn compile(program: &str) -> Option<Self> {
        let is_there = |name: &&str| {
            Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
        };
        let compiler = ["cc", "clang", "gcc"].into_iter().find(is_there)?;
        let folder = tempfile::tempdir().unwrap();
        let (source, binary) = (folder.path().join("main.c"), folder.path().join("main"));
        std::fs::write(&source, format!("{TYPES}{program}")).unwrap();
        let headers = concat!("-I", env!("CARGO_MANIFEST_DIR"), "/bpf");
        let built = Command::new(compiler)
            .args(["-O1", "-Wall", "-Wextra", "-Werror", headers, "-o"])
            .arg(&binary)
            .arg(&source)
            .status();
        assert!(built.unwrap().success(), "the headers compile for this machine");
        Some(Self { binary, _folder: folder })
    }

    /// What it prints when it reads `input`.
    pub fn run(&self, input: &str) -> String {
        let mut child = Command::new(&self.binary).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_owned();
        let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        assert!(output.status.success(), "{:?}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }
}
