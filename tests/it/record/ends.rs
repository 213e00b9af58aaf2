//! How a recording ends when its output does: a full disk, a reader that goes away. Each of these
//! recordings would go on for hours.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::small_disk::SmallDisk;
use crate::support::Bench;

const ENDLESS: [&str; 8] =
    ["record", "synthetic", "--num-users", "2000", "--duration", "86400", "--storage-capacity-gb", "200"];
/// Far less than the recording, and far more than its end takes on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(20);

#[test]
fn a_reader_that_goes_away_ends_the_recording_in_peace() {
    let bench = Bench::new();
    let started = Instant::now();
    let mut command = bench.command(&[&ENDLESS[..], &["-o", "-"]].concat());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("kvtrace starts");
    let mut first = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut first).expect("a line");
    let ended = child.wait_with_output().expect("kvtrace ends");
    assert!(first.starts_with("Timestamp,Operation"), "{first}");
    assert_eq!((ended.status.code(), String::from_utf8_lossy(&ended.stderr).as_ref()), (Some(0), ""));
    assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());
}

#[test]
fn standard_output_that_takes_no_more_is_an_error_at_once() {
    let bench = Bench::new();
    let started = Instant::now();
    let full = File::options().write(true).open("/dev/full").expect("/dev/full");
    let mut command = bench.command(&[&ENDLESS[..], &["-o", "-"]].concat());
    let ended = command.stdout(full).output().expect("kvtrace ends");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(4), "{said}");
    assert!(said.contains("standard output") && said.contains("No space left"), "{said}");
    assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());
}

#[test]
fn a_full_disk_ends_the_recording_and_leaves_nothing() {
    let bench = Bench::new();
    let Some(disk) = SmallDisk::mount(&bench, "256k") else { return };
    for trace in ["small/t.csv", "small/t.csv.zst"] {
        let started = Instant::now();
        let said = bench.refused(4, &[&ENDLESS[..], &["-o", trace]].concat());
        // Whichever of the two files meets the end of the disk first is named.
        assert!(said.contains("cannot write small/t.") && said.contains("free some space"), "{said}");
        assert!(started.elapsed() < 3 * AT_ONCE, "{trace}: {:?}", started.elapsed());
        assert_eq!(disk.count(), 0, "{trace} left something");
    }
}
