//! The columns of a Parquet trace: decoded and summed up by all processors, part by part; what
//! depends on the order of the rows is done by one after the other.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use polars::prelude::{ChunkedArray, DataFrame, PolarsNumericType, PolarsResult, StringChunked};

use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::stop::Stop;
use crate::trace::parquet::TableParts;
use crate::trace::{Op, Tier};

use super::distinct::{Gathering, Names, hash};
use super::follower::{Follower, Seen};
use super::groups::{CODES, Groups, Sizes, of_code};

/// Most threads that decode: each holds a part.
const MOST_THREADS: usize = 8;

/// What is summed up whatever the order.
#[derive(Default)]
pub struct Totals {
    /// Rows and bytes.
    pub groups: Groups,
    /// Sizes of objects.
    pub sizes: Sizes,
}

/// Everything of one trace.
pub struct Sums {
    /// What is summed up whatever the order.
    pub totals: Totals,
    /// Different keys.
    pub keys: Names,
    /// What depends on the order; none where only groups were asked for.
    pub follower: Option<Follower>,
}

impl Sums {
    /// Nothing so far.
    pub fn new(follower: Option<Follower>, approx: bool) -> Self {
        let totals = Totals::default();
        Self { totals, keys: Names::new(approx), follower }
    }
}

/// Whose turn it is to go on in order.
struct Turn<'a> {
    part: Mutex<(usize, Option<&'a mut Follower>)>,
    next: Condvar,
    over: AtomicBool,
}

/// Reads a table into `sums`. `first_ns` is taken off every stamp.
///
/// # Errors
/// What is wrong with the file or a row of it, or that the user asked to stop.
pub fn scan(
    table: &TableParts,
    name: &str,
    first_ns: i64,
    sums: &mut Sums,
    stop: &Stop,
    progress: &dyn Progress,
) -> Result<()> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
    let turn =
        Turn { part: Mutex::new((0, sums.follower.as_mut())), next: Condvar::new(), over: AtomicBool::new(false) };
    let (next_part, keys) = (AtomicUsize::new(0), &sums.keys);
    let work = || {
        let mut worker = Worker::new(keys);
        let mut result = Ok(());
        while result.is_ok() && !turn.over.load(Ordering::Relaxed) {
            let part = next_part.fetch_add(1, Ordering::Relaxed);
            if part >= table.count() {
                break;
            }
            result = worker.part(table, name, part, first_ns, &turn);
            progress.advance(worker.part_rows);
            if stop.requested() && result.is_ok() {
                result = Err(Error::interrupted(format!("interrupted while reading {name}; nothing was written")));
            }
        }
        if result.is_err() {
            turn.stop();
        }
        keys.hand_in(&mut worker.gathering);
        (result, worker.totals)
    };
    let ended: Vec<_> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let own = work();
        let others = others.into_iter().map(|thread| {
            let gave_up = || (Err(Error::usage(format!("{name}: decoding it failed"))), Totals::default());
            thread.join().unwrap_or_else(|_| gave_up())
        });
        std::iter::once(own).chain(others).collect()
    });
    for (result, totals) in ended {
        result?;
        sums.totals.groups.merge(&totals.groups);
        sums.totals.sizes.merge(&totals.sizes);
    }
    Ok(())
}

impl<'a> Turn<'a> {
    /// Waits until a part is the next one; none when the others gave up.
    fn wait(&self, part: usize) -> Option<MutexGuard<'_, (usize, Option<&'a mut Follower>)>> {
        let mut at = self.part.lock().unwrap_or_else(PoisonError::into_inner);
        while at.0 != part {
            if self.over.load(Ordering::Relaxed) {
                return None;
            }
            at = self.next.wait(at).unwrap_or_else(PoisonError::into_inner);
        }
        Some(at)
    }

    fn stop(&self) {
        // Under the lock, so that nobody begins to wait between the look and the call.
        let _at = self.part.lock().unwrap_or_else(PoisonError::into_inner);
        self.over.store(true, Ordering::Relaxed);
        self.next.notify_all();
    }
}

/// One thread.
struct Worker<'a> {
    keys: &'a Names,
    gathering: Gathering,
    totals: Totals,
    /// Where the columns of a part are put together.
    codes: Vec<u8>,
    hashes: Vec<u64>,
    part_rows: u64,
}

/// The value of a row that is not allowed.
struct Wrong {
    row: usize,
    column: &'static str,
    value: String,
    allowed: &'static str,
}

impl<'a> Worker<'a> {
    fn new(keys: &'a Names) -> Self {
        let (totals, gathering) = (Totals::default(), keys.gathering());
        Self { keys, gathering, totals, codes: Vec::new(), hashes: Vec::new(), part_rows: 0 }
    }

    fn part(&mut self, table: &TableParts, name: &str, part: usize, first_ns: i64, turn: &Turn) -> Result<()> {
        let (first, frame) = table.read(part)?;
        self.part_rows = frame.height() as u64;
        let damaged = |e| Error::usage(format!("{name}: {e}"));
        let wrong = |wrong: Wrong| {
            let Wrong { row, column, value, allowed } = wrong;
            let row = first + row as u64 + 1;
            Error::usage(format!("{name}, row {row}, column {column}: `{value}` is not allowed; {allowed}"))
        };
        self.read_codes(&frame).map_err(damaged)?.map_err(wrong)?;
        self.add(&frame).map_err(damaged)?.map_err(wrong)?;
        let columns = Columns::of(&frame).map_err(damaged)?;
        let Some(mut at) = turn.wait(part) else { return Ok(()) };
        let followed = at.1.as_deref_mut().map_or(Ok(()), |follower| {
            columns.as_ref().map_or(Ok(()), |columns| columns.follow(&self.codes, &self.hashes, first_ns, follower))
        });
        at.0 += 1;
        turn.next.notify_all();
        drop(at);
        followed.map_err(wrong)
    }

    /// Tier, direction and phase of each row.
    fn read_codes(&mut self, frame: &DataFrame) -> PolarsResult<Result<(), Wrong>> {
        self.codes.clear();
        let (tier, op, phase) =
            (frame.column("tier")?.u8()?, frame.column("op")?.str()?, frame.column("phase")?.str()?);
        let bad = |row, column, value: &str, allowed| Ok(Err(Wrong { row, column, value: value.to_owned(), allowed }));
        self.codes.extend(values(tier).iter().map(|tier| tier.wrapping_mul(9)));
        if let Some(row) = values(tier).iter().position(|tier| Tier::try_from(*tier).is_err()) {
            return bad(row, "tier", &values(tier)[row].to_string(), "0, 1 or 2");
        }
        for (row, (code, op)) in self.codes.iter_mut().zip(texts(op)).enumerate() {
            *code += match op {
                "Read" => 0,
                "Write" => 3,
                "Delete" => 6,
                other => return bad(row, "op", other, "Read, Write or Delete"),
            };
        }
        for (row, (code, phase)) in self.codes.iter_mut().zip(texts(phase)).enumerate() {
            *code += match phase {
                "Prefill" => 0,
                "Decode" => 1,
                "Evict" => 2,
                other => return bad(row, "phase", other, "Prefill, Decode or Evict"),
            };
        }
        Ok(Ok(()))
    }

    /// What does not depend on the order.
    fn add(&mut self, frame: &DataFrame) -> PolarsResult<Result<(), Wrong>> {
        let sizes = frame.column("size_bytes")?.u64()?;
        let sizes = values(sizes);
        if let Some(row) = sizes.iter().position(|size| *size == 0) {
            let value = "0".to_owned();
            return Ok(Err(Wrong { row, column: "size_bytes", value, allowed: "a size is above 0" }));
        }
        for (code, size) in self.codes.iter().zip(sizes) {
            self.totals.groups.add(*code, *size);
        }
        self.hashes.clear();
        let Ok(keys) = frame.column("key") else { return Ok(Ok(())) };
        let ops: [Op; CODES] = std::array::from_fn(|at| of_code(at as u8).1);
        for (code, size) in self.codes.iter().zip(sizes) {
            self.totals.sizes.add(ops[usize::from(*code)], *size);
        }
        for (row, key) in texts(keys.str()?).enumerate() {
            if key.is_empty() {
                let value = String::new();
                return Ok(Err(Wrong { row, column: "key", value, allowed: "every object has a name" }));
            }
            let hash = hash(key.as_bytes());
            self.hashes.push(hash);
            self.keys.add(hash, &mut self.gathering);
        }
        Ok(Ok(()))
    }
}

/// The columns whose order matters.
struct Columns<'a> {
    at_ns: &'a [i64],
    sizes: &'a [u64],
    request: Option<&'a ChunkedArray<polars::prelude::UInt64Type>>,
    conversation: Option<Vec<Option<u64>>>,
    turn: Option<&'a ChunkedArray<polars::prelude::UInt32Type>>,
}

impl<'a> Columns<'a> {
    /// None where only groups were asked for.
    fn of(frame: &'a DataFrame) -> PolarsResult<Option<Self>> {
        let Ok(at_ns) = frame.column("at_ns") else { return Ok(None) };
        let conversation = match frame.column("conversation") {
            Ok(column) => Some(hashes(column.str()?)),
            Err(_) => None,
        };
        Ok(Some(Self {
            at_ns: values(at_ns.i64()?),
            sizes: values(frame.column("size_bytes")?.u64()?),
            request: frame.column("request").ok().map(|c| c.u64()).transpose()?,
            conversation,
            turn: frame.column("turn").ok().map(|c| c.u32()).transpose()?,
        }))
    }

    fn follow(&self, codes: &[u8], keys: &[u64], first_ns: i64, follower: &mut Follower) -> Result<(), Wrong> {
        let mut requests = self.request.map(ChunkedArray::iter);
        let mut turns = self.turn.map(ChunkedArray::iter);
        for row in 0..codes.len() {
            let Ok(at_ns) = u64::try_from(self.at_ns[row].saturating_sub(first_ns)) else {
                let value = self.at_ns[row].to_string();
                return Err(Wrong { row, column: "at_ns", value, allowed: "a stamp is not negative" });
            };
            follower.take(&Seen {
                at_ns,
                code: codes[row],
                size: self.sizes[row],
                key: keys[row],
                request: requests.as_mut().and_then(|column| column.next().flatten()),
                conversation: self.conversation.as_ref().and_then(|column| column[row]),
                turn: turns.as_mut().and_then(|column| column.next().flatten()),
            });
        }
        Ok(())
    }
}

/// The hashes of names; runs of rows share one.
fn hashes(column: &StringChunked) -> Vec<Option<u64>> {
    let mut last: (&str, u64) = ("", 0);
    let mut hashed = Vec::with_capacity(column.len());
    for array in column.downcast_iter() {
        for name in array.iter() {
            hashed.push(name.filter(|name| !name.is_empty()).map(|name| {
                if name != last.0 {
                    last = (name, hash(name.as_bytes()));
                }
                last.1
            }));
        }
    }
    hashed
}

/// The values of a column without nulls, which is in one piece.
fn values<T: PolarsNumericType>(column: &ChunkedArray<T>) -> &[T::Native] {
    column.cont_slice().unwrap_or_default()
}

/// The texts of a column without nulls.
fn texts(column: &StringChunked) -> impl Iterator<Item = &str> {
    column.downcast_iter().flat_map(|array| array.values_iter())
}
