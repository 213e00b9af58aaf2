//! What every test needs: the binary, a folder of its own, the real inputs when they are there.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A folder of the test's own with the binary in it, so to say.
pub struct Bench {
    dir: tempfile::TempDir,
}

/// What a run of the binary ended with.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Bench {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a temporary folder") }
    }

    /// A folder on a real disk (the target folder's), for O_DIRECT: /tmp may be a tmpfs.
    pub fn on_disk() -> Self {
        let dir = tempfile::Builder::new().prefix("it-").tempdir_in(env!("CARGO_TARGET_TMPDIR"));
        Self { dir: dir.expect("a temporary folder in the target folder") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, data: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, data).expect("a file in the test's folder");
        path
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|e| panic!("{name} was not written: {e}"))
    }

    pub fn json(&self, name: &str) -> serde_json::Value {
        serde_json::from_slice(&self.read(name)).unwrap_or_else(|e| panic!("{name} is not JSON: {e}"))
    }

    /// The names of everything in the folder, sorted.
    pub fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.path()).expect("the test's folder");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// The binary with the folder as its current one.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kvtrace"));
        command.current_dir(self.dir.path()).args(args).stdin(Stdio::null());
        command
    }

    /// Runs `kvtrace ARGS`, whatever comes of it.
    pub fn run(&self, args: &[&str]) -> Ended {
        Ended::from(self.command(args).output().expect("kvtrace starts"))
    }

    /// Runs `kvtrace ARGS`, which must end well, and hands out its stdout.
    pub fn ok(&self, args: &[&str]) -> String {
        let ended = self.run(args);
        assert!(
            ended.well(),
            "exit {}: kvtrace {args:?}\nstdout: {}\nstderr: {}",
            ended.code,
            ended.stdout,
            ended.stderr
        );
        ended.stdout
    }

    /// Runs `kvtrace ARGS`, which must end well with JSON on stdout.
    pub fn ok_json(&self, args: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.ok(args)).unwrap_or_else(|e| panic!("kvtrace {args:?}: no JSON on stdout: {e}"))
    }

    /// Runs `kvtrace ARGS`, which must end with `code`, and hands out its last line on stderr.
    pub fn refused(&self, code: i32, args: &[&str]) -> String {
        let ended = self.run(args);
        assert_eq!(ended.code, code, "kvtrace {args:?}\nstdout: {}\nstderr: {}", ended.stdout, ended.stderr);
        ended.stderr.lines().last().unwrap_or_default().to_owned()
    }
}

impl Ended {
    /// Whether it ended well. On a machine that others keep busy a replay may have been held up, and
    /// then says that its latencies are not to be quoted; that is no fault of what it is run for.
    pub fn well(&self) -> bool {
        self.code == 0 || self.code == 3 && self.stderr.contains("completions were seen late")
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// A real input, or none with the reason counted when it is absent here.
pub fn data(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("KVTRACE_DATA").map_or_else(|| manifest_dir().join("../shared/data"), PathBuf::from);
    let path = root.join(name);
    if path.exists() {
        return path.canonicalize().ok();
    }
    skip(&format!("{name}: no such file in the data folder (KVTRACE_DATA)"));
    None
}

/// Says once that a test could not run here; `tools/test` lists these lines at its end.
pub fn skip(why: &str) {
    let line = format!("SKIP {}: {why}\n", std::thread::current().name().unwrap_or("a test"));
    std::io::stderr().write_all(line.as_bytes()).expect("stderr can be written");
    if let Some(file) = std::env::var_os("KVTRACE_SKIPS") {
        let list = std::fs::File::options().create(true).append(true).open(file);
        list.and_then(|mut list| list.write_all(line.as_bytes())).expect("the list of skipped tests can be written");
    }
}

/// Whether a program is on the PATH.
pub fn has_program(name: &str) -> bool {
    Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// Whether we are root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The folder of the package.
pub fn manifest_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
