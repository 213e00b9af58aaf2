//! A trace as lookups of objects of many sizes, independent of each other: what a cache of bytes is
//! asked for, whatever the recording's own tiers did.

use std::path::Path;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::stop::Stop;
use crate::trace::{Op, Phase, Record, TraceReader};

use super::inputs::Source;
use super::recorded::Recorded;

/// Rows between two looks at the stop flag.
const STRIDE: u64 = 8192;

/// What counts as what, for people.
pub const MEANING: &str = "a lookup is a Read row of phase Prefill or Decode, or a Write row that stores an object again \
    which the recording had stored before and lost; the first Write of an object puts it into the cache and is no \
    lookup; a Write at the stamp of another row of its object is a copy (a promotion, a lower tier) and counts \
    nowhere, nor do Evict rows, which are the recording's own making of room";

/// References to objects, in the order of time.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    /// The object of each reference, below the number of objects.
    pub uses: Vec<u32>,
    /// Whether each reference is a lookup, or the first storing of its object.
    pub lookups: Vec<bool>,
    /// When, ns since the start of the trace.
    pub at_ns: Vec<i64>,
    /// The size of each object. One that changes its size is another object from then on.
    pub bytes: Vec<u64>,
    /// How often that happened.
    pub resized: u64,
}

/// What a file is, for results.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct TraceFile {
    /// As it was typed.
    pub file: String,
    /// Its checksum, in hex.
    pub sha256: String,
}

/// Traces that were read.
#[derive(Clone, Debug, Default)]
pub struct Traces {
    /// Which.
    pub files: Vec<TraceFile>,
    /// What was asked for.
    pub objects: Objects,
    /// What the recordings themselves had.
    pub recorded: Recorded,
}

/// What is known of one trace.
#[derive(Default)]
struct Keys {
    keys: FxHashMap<Arc<str>, Known>,
    /// Whether it is in several files.
    in_parts: bool,
    /// What is taken off the stamps of all of them.
    first_ns: Option<i64>,
}

/// What is known of a key.
struct Known {
    number: u32,
    bytes: u64,
    stored: bool,
    last_ns: i64,
}

impl Traces {
    /// Reads traces that run side by side: their rows are merged by time, and objects are those of
    /// their own trace. The parts of one follow each other, with one clock and the same objects.
    ///
    /// # Errors
    /// What cannot be read, traces without a lookup, an interruption.
    pub fn read(sources: &[Source], stop: &Stop, progress: &dyn Progress) -> Result<Self> {
        let mut traces = Self::default();
        for source in sources {
            let mut known = Keys { in_parts: source.parts.len() > 1, ..Keys::default() };
            for path in &source.parts {
                traces.add(path, &mut known, stop, progress)?;
            }
        }
        if traces.files.len() > 1 {
            traces.objects.sort();
        }
        if traces.objects.lookups.contains(&true) {
            return Ok(traces);
        }
        let names = traces.files.iter().map(|file| file.file.as_str()).collect::<Vec<_>>().join(" ");
        Err(Error::usage(format!("{names}: no row looks for an object, so that there is nothing to hit; record more")))
    }

    fn add(&mut self, path: &Path, known: &mut Keys, stop: &Stop, progress: &dyn Progress) -> Result<()> {
        let mut reader = TraceReader::open_until(path, stop)?;
        progress.stage("trace", reader.meta().rows, "rows");
        // Parts go on with the stamps of the one before: what their reader took off comes back.
        let back_ns = if known.in_parts && !reader.is_ours() { reader.meta().epoch_ns } else { 0 };
        let mut rows = 0u64;
        for record in &mut reader {
            let mut record = record?;
            record.at_ns = record.at_ns.saturating_add(back_ns);
            let first_ns = *known.first_ns.get_or_insert(if back_ns == 0 { 0 } else { record.at_ns });
            record.at_ns = record.at_ns.saturating_sub(first_ns);
            rows += 1;
            self.recorded.row(&record);
            self.objects.add(&record, &mut known.keys)?;
            if rows.is_multiple_of(STRIDE) {
                progress.advance(STRIDE);
                if stop.requested() {
                    return Err(Error::interrupted(format!("interrupted after {rows} rows of {}", path.display())));
                }
            }
        }
        progress.done();
        self.recorded.requests_beside(path, reader.meta(), stop)?;
        self.files.push(TraceFile { file: path.display().to_string(), sha256: reader.sha256().to_owned() });
        Ok(())
    }
}

impl Objects {
    fn add(&mut self, record: &Record, keys: &mut FxHashMap<Arc<str>, Known>) -> Result<()> {
        if record.op == Op::Delete || record.phase == Phase::Evict {
            return Ok(());
        }
        let next = u32::try_from(self.bytes.len()).ok().filter(|_| self.uses.len() < u32::MAX as usize - 1);
        let next = next.ok_or_else(|| {
            Error::usage("more objects or references than 4,294,967,294; analyse the traces one at a time")
        })?;
        let (bytes, at_ns) = (record.size_bytes, record.at_ns);
        let unused = Known { number: next, bytes, stored: false, last_ns: i64::MIN };
        let known = keys.entry(record.key.clone()).or_insert(unused);
        if known.number == next {
            self.bytes.push(bytes);
        } else if known.bytes != bytes {
            *known = Known { number: next, bytes, stored: false, last_ns: i64::MIN };
            self.bytes.push(bytes);
            self.resized += 1;
        }
        let last_ns = std::mem::replace(&mut known.last_ns, at_ns);
        if record.op == Op::Write && last_ns == at_ns {
            return Ok(());
        }
        let lookup = record.op == Op::Read || known.stored;
        // What is read was there before the trace began, or was stored in it.
        known.stored = true;
        self.uses.push(known.number);
        self.lookups.push(lookup);
        self.at_ns.push(at_ns);
        Ok(())
    }

    /// Puts the references of several traces in the order of time, those of one stamp as they came.
    fn sort(&mut self) {
        let mut order: Vec<u32> = (0..self.uses.len() as u32).collect();
        order.sort_by_key(|at| self.at_ns[*at as usize]);
        self.uses = order.iter().map(|at| self.uses[*at as usize]).collect();
        self.lookups = order.iter().map(|at| self.lookups[*at as usize]).collect();
        self.at_ns = order.iter().map(|at| self.at_ns[*at as usize]).collect();
    }

    /// What there is to hit after the first `warmup` references.
    pub fn totals(&self, warmup: usize) -> ObjectTotals {
        let mut totals = ObjectTotals::default();
        for (object, lookup) in self.uses.iter().zip(&self.lookups).skip(warmup) {
            let bytes = self.bytes[*object as usize];
            if *lookup {
                totals.lookups += 1;
                totals.lookup_bytes += u128::from(bytes);
            } else {
                totals.stores += 1;
                totals.store_bytes += u128::from(bytes);
            }
        }
        totals
    }

    /// Bytes of all objects together.
    pub fn footprint_bytes(&self) -> u64 {
        self.bytes.iter().fold(0, |sum, bytes| sum.saturating_add(*bytes))
    }

    /// The largest object.
    pub fn largest_bytes(&self) -> u64 {
        self.bytes.iter().copied().max().unwrap_or(0)
    }
}

/// What there is to hit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ObjectTotals {
    /// Lookups.
    pub lookups: u64,
    /// Bytes of their objects.
    pub lookup_bytes: u128,
    /// First storings of objects.
    pub stores: u64,
    /// Their bytes.
    pub store_bytes: u128,
}

#[cfg(test)]
pub mod samples {
    //! Objects made by hand.

    use super::Objects;

    /// References to objects, the first of each a storing, one a second.
    pub fn of(uses: &[u32], bytes: &[u64]) -> Objects {
        let mut seen = vec![false; bytes.len()];
        let lookups = uses.iter().map(|object| std::mem::replace(&mut seen[*object as usize], true)).collect();
        let at_ns = (0..uses.len() as i64).map(|second| second * 1_000_000_000).collect();
        Objects { uses: uses.to_vec(), lookups, at_ns, bytes: bytes.to_vec(), resized: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;

    fn source(path: std::path::PathBuf) -> Source {
        Source { name: path.display().to_string(), parts: vec![path] }
    }

    fn read(rows: &str) -> Result<Traces> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.csv");
        std::fs::write(&path, format!("Timestamp,Operation,Object_Size_Bytes,Tier,Key,Phase\n{rows}")).unwrap();
        Traces::read(&[source(path)], &Stop::new(), &Silent)
    }

    #[test]
    fn reads_and_storing_again_are_lookups_and_copies_are_nothing() {
        let rows = "0,Write,10,Tier-0,a,Prefill\n0,Write,10,Tier-1,a,Prefill\n1,Read,10,Tier-1,a,Decode\n\
                    1,Write,10,Tier-0,a,Decode\n2,Read,10,Tier-0,a,Evict\n2,Delete,10,Tier-0,a,Evict\n\
                    3,Write,10,Tier-0,a,Prefill\n4,Read,7,Tier-2,old,Decode\n5,Write,11,Tier-0,a,Prefill\n";
        let traces = read(rows).unwrap();
        assert_eq!(traces.objects.uses, [0, 0, 0, 1, 2]);
        assert_eq!(traces.objects.lookups, [false, true, true, true, false]);
        assert_eq!((&traces.objects.bytes[..], traces.objects.resized), (&[10, 7, 11][..], 1));
        let totals = traces.objects.totals(0);
        assert_eq!((totals.lookups, totals.lookup_bytes, totals.stores, totals.store_bytes), (3, 27, 2, 21));
        assert_eq!(traces.objects.totals(4).lookups, 0);
    }

    #[test]
    fn traces_side_by_side_have_their_own_objects_and_one_time() {
        let dir = tempfile::tempdir().unwrap();
        let trace = |name: &str, first: u32| {
            let path = dir.path().join(name);
            let header = "Timestamp,Operation,Object_Size_Bytes,Tier,Key,Phase";
            let rows = format!("{first},Write,5,Tier-0,a,Prefill\n{},Read,5,Tier-0,a,Decode\n", first + 2);
            std::fs::write(&path, format!("{header}\n{rows}")).unwrap();
            source(path)
        };
        let traces = Traces::read(&[trace("a.csv", 0), trace("b.csv", 1)], &Stop::new(), &Silent).unwrap();
        assert_eq!(traces.objects.uses, [0, 1, 0, 1]);
        assert_eq!(traces.objects.lookups, [false, false, true, true]);
    }

    #[test]
    fn a_trace_that_looks_for_nothing_is_refused() {
        let refused = read("0,Write,10,Tier-0,a,Prefill\n").unwrap_err().to_string();
        assert!(refused.contains("nothing to hit"), "{refused}");
    }
}
