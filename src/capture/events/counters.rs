//! The histograms of one set in the making: what [`crate::measure::block::BlockResult`] names,
//! as far as events tell it.

use std::collections::BTreeMap;

use crate::capture::devices::SECTOR;
use crate::measure::Histogram;
use crate::measure::events::{BlockOp, Event, EventKind};

use super::counter::{Counter, Scale, Unit};

/// Values of each direction: read, write.
type Both = [Counter; 2];

/// The histograms of one set: the target, the others, or a phase.
#[derive(Clone, Debug)]
pub struct Counters {
    d2c: Both,
    q2d: Both,
    q2c: Both,
    i2d: Both,
    gap: Both,
    run: Both,
    ahead: Both,
    back: Both,
    size: Both,
    depth: Both,
    /// Time at each depth: of reads, of writes, of both together.
    busy: [Counter; 3],
    /// By device.
    places: BTreeMap<usize, Both>,
    /// Birth to completion of what moves no data: flushes, discards, written zeroes.
    commands: [Counter; 3],
}

/// What reads and writes are told apart by; none for what moves no data.
pub fn direction(op: BlockOp) -> Option<usize> {
    match op {
        BlockOp::Read => Some(0),
        BlockOp::Write => Some(1),
        _ => None,
    }
}

/// The ns from one moment to a later one, as the programs reckon.
fn between(from: i64, to: i64) -> u64 {
    to.wrapping_sub(from) as u64
}

impl Counters {
    /// Nothing yet.
    pub fn new() -> Self {
        let both = |scale| [Counter::new(scale), Counter::new(scale)];
        let (ns, sectors) = (Scale::LogLinear(Unit::Ns), Scale::LogLinear(Unit::Sectors));
        Self {
            d2c: both(ns),
            q2d: both(ns),
            q2c: both(ns),
            i2d: both(ns),
            gap: both(ns),
            run: both(Scale::LogLinear(Unit::Ios)),
            ahead: both(sectors),
            back: both(sectors),
            size: both(Scale::Sizes),
            depth: both(Scale::Depths),
            busy: [(); 3].map(|()| Counter::new(Scale::Depths)),
            places: BTreeMap::new(),
            commands: [(); 3].map(|()| Counter::new(ns)),
        }
    }

    /// Counts a request that has ended; `sectors` is the size of its device.
    pub fn count(&mut self, event: &Event, sectors: u64) {
        let seen = event.kind == EventKind::Done;
        if !seen && event.kind != EventKind::Unseen {
            return;
        }
        let Some(way) = direction(event.op) else {
            if seen {
                self.commands[event.op as usize - BlockOp::Flush as usize]
                    .record(between(event.queued_ns, event.completed_ns), 1);
            }
            return;
        };
        let Some(issued) = event.issued_ns else { return };
        if seen {
            self.d2c[way].record(between(issued, event.completed_ns), 1);
            self.q2c[way].record(between(event.queued_ns, event.completed_ns), 1);
        }
        self.q2d[way].record(between(event.queued_ns, issued), 1);
        // One that was put back into the queue after its last issue did not wait for that.
        if let Some(inserted) = event.inserted_ns.filter(|inserted| *inserted <= issued) {
            self.i2d[way].record(between(inserted, issued), 1);
        }
        if let Some(gap) = event.gap_ns {
            self.gap[way].record(gap, 1);
        }
        match event.seek_bytes {
            Some(back) if back < 0 => self.back[way].record(back.unsigned_abs() / SECTOR, 1),
            Some(ahead) => self.ahead[way].record(ahead.unsigned_abs() / SECTOR, 1),
            None => {}
        }
        self.depth[way].record(event.depth.unwrap_or(0).into(), 1);
        self.size[way].record(event.size_bytes.unwrap_or(0) / SECTOR, 1);
        let places = self.places.entry(event.device).or_insert_with(|| {
            let places = Counter::new(Scale::Places(sectors));
            [places.clone(), places]
        });
        places[way].record(event.offset_bytes.unwrap_or(0) / SECTOR, 1);
    }

    /// Counts `ns` with so many reads and writes in flight. Time with nothing in flight is not
    /// counted.
    pub fn count_depths(&mut self, reads: u64, writes: u64, ns: u64) {
        for (busy, depth) in self.busy.iter_mut().zip([reads, writes, reads + writes]) {
            if depth > 0 && ns > 0 {
                busy.record(depth, ns);
            }
        }
    }

    /// Counts a sequential run of so many requests.
    pub fn count_run(&mut self, way: usize, requests: u64) {
        self.run[way].record(requests, 1);
    }

    /// Adds another set.
    pub fn add(&mut self, other: &Counters) {
        for (mine, theirs) in self.all().into_iter().zip(other.clone().all()) {
            mine.add(theirs);
        }
        for (device, theirs) in &other.places {
            match self.places.get_mut(device) {
                Some(mine) => mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| mine.add(theirs)),
                None => {
                    self.places.insert(*device, theirs.clone());
                }
            }
        }
    }

    fn all(&mut self) -> Vec<&mut Counter> {
        let both = [
            &mut self.d2c,
            &mut self.q2d,
            &mut self.q2c,
            &mut self.i2d,
            &mut self.gap,
            &mut self.run,
            &mut self.ahead,
            &mut self.back,
            &mut self.size,
            &mut self.depth,
        ];
        both.into_iter().flatten().chain(&mut self.busy).chain(&mut self.commands).collect()
    }

    /// The saved histograms; `sectors` are the sizes of the devices.
    pub fn save(&self, sectors: &[u64]) -> Vec<Histogram> {
        const OPS: [Option<&str>; 3] = [Some("read"), Some("write"), None];
        let mut all = Vec::new();
        let mut each = |name: &str, counters: &[Counter]| {
            all.extend(counters.iter().zip(OPS).map(|(counter, op)| counter.save(name, op)));
        };
        each("d2c", &self.d2c);
        each("q2d", &self.q2d);
        each("q2c", &self.q2c);
        each("i2d", &self.i2d);
        each("size", &self.size);
        each("inflight", &self.depth);
        each("inflight_time", &self.busy);
        each("lba", &[0, 1].map(|way| self.over_largest(way, sectors)));
        each("gap", &self.gap);
        each("run_length", &self.run);
        for (way, op) in OPS.into_iter().enumerate().take(2) {
            all.push(self.ahead[way].save_signed(&self.back[way], "seek", op));
        }
        let commands = self.commands.iter().zip(["flush", "discard", "write_zeroes"]);
        all.extend(commands.map(|(counter, name)| counter.save(name, None)));
        all
    }

    /// Places on all devices, in buckets of the largest one that had any.
    fn over_largest(&self, way: usize, sectors: &[u64]) -> Counter {
        let used: Vec<_> = self.places.iter().filter(|(_, places)| !places[way].is_empty()).collect();
        let largest = used.iter().filter_map(|(device, _)| sectors.get(**device)).max().copied().unwrap_or(0);
        let mut sum = Counter::new(Scale::Places(largest));
        for (_, places) in used {
            sum.add(&places[way]);
        }
        sum
    }
}
