//! How fast a capture's events become a job: `cargo bench --bench events` writes 50 million events of
//! a device that keeps sixteen requests in flight, four reads to a write, and prints what
//! [`kvtrace::capture::events::reduce`] takes of the wall clock and of memory to count them again,
//! which is the whole of what distilling them takes. `-- write FILE [ROWS]` only writes such a file,
//! for `kvtrace distill-fio FILE`.

use std::collections::BinaryHeap;
use std::error::Error;
use std::path::Path;
use std::time::Instant;

use kvtrace::capture::events::reduce;
use kvtrace::measure::block::BlockDevice;
use kvtrace::measure::events::{BlockOp, Event, EventsMeta, EventsWriter};
use kvtrace::output::Overwrite;
use kvtrace::seed::{Seed, Stream};
use kvtrace::stop::Stop;

/// Rows without being told.
const ROWS: u64 = 50_000_000;
/// Requests in flight.
const DEPTH: u32 = 16;
/// What one takes at the device on average, ns.
const TAKES_NS: f64 = 100_000.0;
/// Sizes, all alike in number.
const SIZES: [u64; 4] = [16 << 10, 128 << 10, 256 << 10, 1 << 20];
/// The device, and its blocks that are touched.
const BYTES: u64 = 1 << 40;
const BLOCK: u64 = 4096;

/// A device with a full queue, as its probes would tell of it.
struct Device {
    draws: Stream,
    /// Those in flight, the first to end on top.
    flying: BinaryHeap<std::cmp::Reverse<(i64, u64)>>,
    started: Vec<Event>,
    changes: u32,
    last: [Option<(i64, u64)>; 2],
}

impl Device {
    fn new() -> Self {
        let mut device = Self {
            draws: Seed(1).stream("events of a bench", 0, 0),
            flying: BinaryHeap::new(),
            started: Vec::new(),
            changes: 0,
            last: [None; 2],
        };
        (0..DEPTH).for_each(|slot| device.issue(0, slot as usize));
        device
    }

    fn issue(&mut self, now_ns: i64, slot: usize) {
        let way = usize::from(self.draws.chance(0.2));
        let size = SIZES[self.draws.below(SIZES.len() as u64) as usize];
        let offset = self.draws.below((BYTES - size) / BLOCK) * BLOCK;
        let before = self.last[way].replace((now_ns, offset + size));
        self.changes = self.changes.wrapping_add(1);
        let end_ns = now_ns + 1 + self.draws.exponential(TAKES_NS) as i64;
        self.flying.push(std::cmp::Reverse((end_ns, slot as u64)));
        let event = Event {
            op: [BlockOp::Read, BlockOp::Write][way],
            queued_ns: now_ns,
            issued_ns: Some(now_ns),
            completed_ns: end_ns,
            offset_bytes: Some(offset),
            size_bytes: Some(size),
            seek_bytes: before.map(|(_, end)| offset as i64 - end as i64),
            gap_ns: before.map(|(born, _)| (now_ns - born) as u64),
            depth: Some(DEPTH),
            pid: 1,
            took_off: Some(self.changes),
            ..Event::default()
        };
        match self.started.get_mut(slot) {
            Some(place) => *place = event,
            None => self.started.push(event),
        }
    }

    /// The next one that ends; another one begins at once.
    fn next(&mut self) -> Option<Event> {
        let std::cmp::Reverse((end_ns, slot)) = self.flying.pop()?;
        let slot = slot as usize;
        self.changes = self.changes.wrapping_add(1);
        let ended = Event { landed: Some(self.changes), ..self.started[slot].clone() };
        self.issue(end_ns, slot);
        Some(ended)
    }
}

fn write(path: &Path, rows: u64) -> Result<(), Box<dyn Error>> {
    let mut writer = EventsWriter::create(path, Overwrite::Anything, vec!["nvme0n1".to_owned()])?;
    let mut device = Device::new();
    let mut end_ns = 0;
    for _ in 0..rows {
        let event = device.next().ok_or("a queue that is full ends nothing")?;
        end_ns = event.completed_ns;
        writer.write(event)?;
    }
    let about = BlockDevice {
        name: "nvme0n1".to_owned(),
        number: "259:0".to_owned(),
        size_bytes: BYTES,
        max_sectors_kb: 1024,
        ..BlockDevice::default()
    };
    let duration_s = Some(end_ns as f64 / 1e9);
    let meta = EventsMeta {
        complete: true,
        source: "bench".to_owned(),
        duration_s,
        devices: vec![about],
        ..EventsMeta::default()
    };
    writer.finish(meta)?;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
fn figures() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("events.parquet");
    write(&path, ROWS)?;
    let start = Instant::now();
    let block = reduce(&path, &Stop::new())?;
    let took_s = start.elapsed().as_secs_f64();
    let counted: u64 = block.histograms.iter().filter(|h| h.name == "size").map(|h| h.count).sum();
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or(" unknown").trim();
    println!(
        "{counted} events in {took_s:.1} s, {:.2} M/s, peak memory with writing {peak}",
        counted as f64 / took_s / 1e6
    );
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    // cargo adds `--bench`.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["write", path] => write(path.as_ref(), ROWS),
        ["write", path, rows] => write(path.as_ref(), rows.parse()?),
        _ => figures(),
    }
}
