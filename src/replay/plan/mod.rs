//! The plan: one pass over the trace, no device. It finds out how much space each tier needs,
//! when an object goes, which objects must be there before the clock
//! starts, and which rows are the two legs of one move.

pub mod copies;
pub mod names;
pub mod occupancy;
pub mod resolve;
pub mod rows;
pub mod shard;

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::measure::runs::Shard;
use crate::progress::Progress;
use crate::stop::Stop;
use crate::trace::{Meta, Op, Record, Tier, TraceReader};

use crate::replay::config::Order;
use crate::replay::prepare::objects::NONE;
use names::{NameWriter, Names};
use occupancy::Occupancy;
use resolve::{Placement, Resolver};
use rows::{Row, RowWriter, Rows};
use shard::Split;

/// What will be executed, and what it needs.
pub struct Plan {
    /// The rows.
    pub rows: Rows,
    /// The names of the keys.
    pub names: Names,
    /// Objects that must be there before the clock starts.
    pub cold: Vec<Cold>,
    /// The trace in figures.
    pub facts: PlanFacts,
    /// The trace's metadata.
    pub meta: Meta,
    /// The trace's sha256, in hex.
    pub sha256: String,
}

/// An object that must be there before the clock starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cold {
    /// The key's number.
    pub key: u32,
    /// Where.
    pub tier: Tier,
    /// Its size, scaled.
    pub size: u64,
    /// Its content.
    pub content: u64,
    /// Its version.
    pub version: u32,
}

/// A trace in figures, sizes scaled.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct PlanFacts {
    /// Rows.
    pub rows: u64,
    /// From the first to the last stamp.
    pub span_s: f64,
    /// Different objects.
    pub keys: u64,
    /// Most bytes of objects live at once, by tier.
    pub peak_bytes: [u64; 3],
    /// The same in whole granules of 128 KiB, which is what a tier has to hold.
    pub peak_granules: [u64; 3],
    /// The same by the targets that share a tier's objects.
    pub volume_granules: [Vec<u64>; 3],
    /// The largest object, by tier.
    pub largest_bytes: [u64; 3],
    /// Bytes of objects that must be there before the clock starts, by tier.
    pub cold_bytes: [u64; 3],
    /// How many there are.
    pub cold_keys: u64,
    /// Reads whose object moves to another tier with the write that follows.
    pub moves: u64,
    /// Rows that read an object from a tier other than the one it was last put on.
    pub misplaced_reads: u64,
    /// Rows that read more of an object than was written; they read what there is.
    pub clamped_rows: u64,
    /// Delete rows of objects that are not there.
    pub idle_deletes: u64,
    /// Delete rows.
    pub deletes: u64,
    /// Whether an object goes with its last use, because the trace does not say when it goes.
    pub freed_at_last_use: bool,
    /// Rows that stand in the order of a request or a conversation, as asked for.
    pub ordered_rows: u64,
    /// Bytes of Read rows.
    pub read_bytes: u64,
    /// Bytes of Write rows.
    pub write_bytes: u64,
    /// Bytes of Read rows, by tier.
    pub tier_read_bytes: [u64; 3],
    /// Bytes of Write rows, by tier.
    pub tier_write_bytes: [u64; 3],
    /// Bytes that the busiest second of the trace asks for.
    pub busiest_second_bytes: u64,
    /// Rows of the whole trace, where this is a shard of it.
    pub whole_rows: u64,
    /// Read and Write rows of the whole trace, and of this shard.
    pub moving_rows: [u64; 2],
}

impl PlanFacts {
    /// The share of the trace's operations that are this shard's; 1 for the whole trace.
    pub fn share(&self) -> f64 {
        let [whole, own] = self.moving_rows;
        if own == 0 { 1.0 } else { own as f64 / whole as f64 }
    }

    /// Bytes per second of the trace's own time, in units of 1e9 bytes; none without a span.
    pub fn offered_gb_per_s(&self) -> Option<f64> {
        (self.span_s > 0.0).then(|| (self.read_bytes + self.write_bytes) as f64 / self.span_s / 1e9)
    }

    /// That tiers hold less than they did where the trace was recorded, if that may be so.
    pub fn freeing(&self) -> Option<&'static str> {
        match (self.freed_at_last_use, self.deletes) {
            (false, _) => None,
            (true, 0) => Some("the trace has no Delete rows: space is freed at the last use of an object"),
            (true, _) => {
                Some("the trace may not have all of its Delete rows: space is freed at the last use of an object")
            }
        }
    }
}

impl Plan {
    /// Finds out how full each target becomes when so many share the objects of a tier.
    ///
    /// # Errors
    /// When the plan cannot be read back.
    pub fn spread(&mut self, widths: [usize; 3]) -> Result<()> {
        if widths != [1; 3] {
            self.facts.volume_granules = Occupancy::follow(self, widths)?.volume_granules;
        }
        Ok(())
    }
}

/// Plans the replay of a trace, or of a shard of it, with every size multiplied by `size_scale`, in
/// the order asked for.
///
/// # Errors
/// An unreadable trace, a temporary folder without space, an order that shards cannot keep, an
/// interruption.
pub fn plan(
    mut trace: TraceReader,
    size_scale: f64,
    order: Order,
    shard: Option<&Shard>,
    stop: &Stop,
    progress: &dyn Progress,
) -> Result<Plan> {
    let mut planner = Planner::new(Placement::of(trace.meta()), size_scale, order, Split::new(shard, order))?;
    progress.stage("plan", trace.meta().rows, "rows");
    for (number, record) in trace.by_ref().enumerate() {
        planner.add(&record?)?;
        if number % 4096 == 4095 {
            progress.advance(4096);
            if stop.requested() {
                return Err(Error::interrupted("interrupted while planning; nothing was touched"));
            }
        }
    }
    progress.done();
    let (meta, sha256) = (trace.meta().clone(), trace.sha256().to_owned());
    planner.finish(meta, sha256)
}

struct Planner {
    rows: RowWriter,
    names: NameWriter,
    resolver: Resolver,
    facts: PlanFacts,
    size_scale: f64,
    order: Order,
    conversations: HashMap<Arc<str>, u32>,
    first_ns: Option<i64>,
    second: (i64, u64),
    split: Split,
    /// Delete rows of the whole trace.
    deletes: u64,
}

impl Planner {
    fn new(placement: Placement, size_scale: f64, order: Order, split: Split) -> Result<Self> {
        Ok(Self {
            rows: RowWriter::new()?,
            names: NameWriter::new()?,
            resolver: Resolver::new(placement),
            facts: PlanFacts::default(),
            size_scale,
            order,
            conversations: HashMap::new(),
            first_ns: None,
            second: (0, 0),
            split,
            deletes: 0,
        })
    }

    fn add(&mut self, record: &Record) -> Result<()> {
        // Time, and what is said of deletes, are the whole trace's.
        let first_ns = *self.first_ns.get_or_insert(record.at_ns);
        self.facts.span_s = (record.at_ns - first_ns) as f64 / 1e9;
        self.facts.whole_rows += 1;
        self.facts.moving_rows[0] += u64::from(record.op != Op::Delete);
        self.deletes += u64::from(record.op == Op::Delete);
        if !self.split.owns(record)? {
            return Ok(());
        }
        self.facts.moving_rows[1] += u64::from(record.op != Op::Delete);
        let row = Row {
            at_ns: record.at_ns - first_ns,
            size: scaled(record.size_bytes, self.size_scale),
            content: 0,
            request: record.request,
            chain: self.chain(record),
            key: 0,
            version: 0,
            op: record.op,
            tier: record.tier,
            phase: record.phase,
            flags: 0,
            leg: None,
        };
        let row = self.resolver.resolve(row, &record.key, &mut self.rows, &mut self.names, &mut self.facts)?;
        self.count(&row);
        Ok(())
    }

    /// In whose order a row's operation stands.
    fn chain(&mut self, record: &Record) -> u32 {
        match (self.order, record.request, &record.conversation) {
            (Order::Request, Some(request), _) => u32::try_from(request).unwrap_or(NONE),
            (Order::Conversation, _, Some(conversation)) => {
                let number = self.conversations.len() as u32;
                *self.conversations.entry(Arc::clone(conversation)).or_insert(number)
            }
            _ => NONE,
        }
    }

    fn count(&mut self, row: &Row) {
        let facts = &mut self.facts;
        facts.ordered_rows += u64::from(row.chain != NONE);
        let moved = match row.op {
            Op::Read => (&mut facts.read_bytes, &mut facts.tier_read_bytes),
            Op::Write => (&mut facts.write_bytes, &mut facts.tier_write_bytes),
            Op::Delete => {
                facts.deletes += 1;
                return;
            }
        };
        *moved.0 = moved.0.saturating_add(row.size);
        let tier = &mut moved.1[row.tier.index()];
        *tier = tier.saturating_add(row.size);
        let largest = &mut facts.largest_bytes[row.tier.index()];
        *largest = row.size.max(*largest);
        let second = row.at_ns.div_euclid(1_000_000_000);
        if second != self.second.0 {
            self.second = (second, 0);
        }
        self.second.1 = self.second.1.saturating_add(row.size);
        facts.busiest_second_bytes = facts.busiest_second_bytes.max(self.second.1);
    }

    fn finish(mut self, meta: Meta, sha256: String) -> Result<Plan> {
        // A recording of ours counts what was deleted: with all of that here, an object that is
        // not deleted stays.
        let says_deletes = meta.record.as_ref().is_some_and(|record| record.deletes == self.deletes);
        self.facts.freed_at_last_use = !says_deletes;
        let cold = self.resolver.finish(&mut self.rows, says_deletes)?;
        self.facts.rows = self.rows.len();
        let names = self.names.finish()?;
        self.facts.keys = u64::from(names.len());
        self.facts.cold_keys = cold.len() as u64;
        for object in &cold {
            let bytes = &mut self.facts.cold_bytes[object.tier.index()];
            *bytes = bytes.saturating_add(object.size);
        }
        let mut plan = Plan { rows: self.rows.finish()?, names, cold, facts: self.facts, meta, sha256 };
        let occupancy = Occupancy::follow(&plan, [1; 3])?;
        (plan.facts.peak_bytes, plan.facts.peak_granules) = (occupancy.peak_bytes, occupancy.peak_granules);
        plan.facts.volume_granules = occupancy.volume_granules;
        if plan.facts.rows == 0 && !(self.split.is_partial() && plan.facts.whole_rows > 0) {
            return Err(Error::usage("the trace has no rows; there is nothing to replay"));
        }
        Ok(plan)
    }
}

/// A size times the scale, at least one byte.
fn scaled(size_bytes: u64, scale: f64) -> u64 {
    if scale == 1.0 { size_bytes } else { ((size_bytes as f64 * scale).round() as u64).max(1) }
}
