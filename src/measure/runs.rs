//! Where a run stands among others: the shard of a trace that it replayed, its place on the wall
//! clock, and the runs that a result was put together from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::replay::{Cpu, Host, TierReport, TokenSums, Totals, TraceFacts, Verdict};

/// What a result says of other runs; all of it is empty for one run of a whole trace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Runs {
    /// The part of the trace that this run replayed; none for all of it.
    #[serde(default)]
    pub shard: Option<Shard>,
    /// When it ran; none in results of before it was noted.
    #[serde(default)]
    pub clock: Option<RunClock>,
    /// Storage time by request, for adding it up over shards; none where requests are whole.
    #[serde(default)]
    pub request_storage: Option<RequestStorage>,
    /// The shards that this result was merged from, in their order.
    #[serde(default)]
    pub parts: Vec<Part>,
    /// The trials that this result was merged from, in their order.
    #[serde(default)]
    pub trials: Vec<Trial>,
    /// How much the trials differ.
    #[serde(default)]
    pub statistics: Vec<Statistic>,
}

/// One of several parts of a trace, by the hash of the key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// Which one, from 0.
    pub index: u32,
    /// Of how many.
    pub count: u32,
    /// Who said so: `--shard`, or a launcher and the variables of its environment.
    pub source: String,
}

/// A run on the wall clock, in nanoseconds since 1970-01-01 UTC. Spans are measured by the
/// monotonic clock; only the start is read from the wall clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunClock {
    /// When the run's clock started.
    pub started_unix_ns: u64,
    /// The first start of an operation; none when nothing started.
    pub first_start_unix_ns: Option<u64>,
    /// The last end of an operation; none when nothing ended.
    pub last_end_unix_ns: Option<u64>,
    /// When it was asked to start; none when it was not asked.
    pub start_at_unix_ns: Option<u64>,
    /// How much later than asked it started; below zero is earlier.
    pub start_offset_ns: Option<i64>,
    /// Whether the kernel says that its clock is synchronised (adjtimex(2)); none when it was not
    /// asked or did not say.
    pub synchronized: Option<bool>,
}

/// What a shard's rows of each request took: lists of the same length, requests ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestStorage {
    /// The ordinals of requests that had rows.
    pub requests: Vec<u64>,
    /// Sums of their service times.
    pub storage_ns: Vec<u64>,
    /// Sums of their response times.
    pub response_ns: Vec<u64>,
    /// Their rows that ended well.
    pub rows: Vec<u64>,
    /// Whether a row failed (1) or was of a tier that is skipped (2), or both (3).
    pub marks: Vec<u8>,
}

/// What the rows of one request took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestShare {
    /// Sum of their service times.
    pub storage_ns: u64,
    /// Sum of their response times.
    pub response_ns: u64,
    /// Rows that ended well.
    pub rows: u64,
    /// A row failed.
    pub failed: bool,
    /// A row was of a tier that is skipped.
    pub skipped: bool,
}

/// A shard of a merged result, as it was by itself, without its histograms.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Which one.
    pub shard: Shard,
    /// The tool that replayed it.
    pub tool: String,
    /// Where it ran.
    pub host: Host,
    /// When.
    pub clock: Option<RunClock>,
    /// Whether it went to its end.
    pub complete: bool,
    /// Whether its numbers may be believed.
    pub valid: bool,
    /// Why not.
    pub invalid_reasons: Vec<String>,
    /// What a reader should know of it.
    pub notes: Vec<String>,
    /// Its part of the trace.
    pub trace: TraceFacts,
    /// Its settings.
    pub config: BTreeMap<String, serde_json::Value>,
    /// Its figures.
    pub totals: Totals,
    /// Its processor time.
    pub cpu: Cpu,
    /// Its tiers.
    pub tiers: Vec<TierReport>,
    /// What bounded it.
    pub verdict: Verdict,
    /// How it kept its schedule.
    pub timing: PartTiming,
    /// What its token rates are made of, where the model is known.
    #[serde(default)]
    pub tokens: Option<TokenSums>,
    /// Why it says nothing of requests.
    pub requests_absent: Option<String>,
    /// Whether the block layer was watched.
    pub captured: bool,
}

/// What is said of a run's schedule besides histograms.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PartTiming {
    /// Operations that started.
    pub starts: u64,
    /// Share of operations that started later than the bound.
    pub late_fraction: f64,
    /// Actual span against intended, in parts per million; none when unpaced.
    pub drift_ppm: Option<f64>,
    /// How long before its time an operation was waited for awake.
    pub spin_margin_ns: Option<u64>,
}

/// One of several runs of the same plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Its figures; `prepare_s` is what it took to put the objects back.
    pub totals: Totals,
    /// Its processor time.
    pub cpu: Cpu,
    /// Whether it went to its end.
    pub complete: bool,
    /// Whether its numbers may be believed.
    pub valid: bool,
    /// Why not.
    pub invalid_reasons: Vec<String>,
    /// When it ran.
    pub clock: Option<RunClock>,
    /// What bounded it.
    pub verdict: Verdict,
}

/// A figure over the trials that have it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Statistic {
    /// What: `wall`, `storage_read`, `cpu`, `tier2.read.decode.response.p95`, …
    pub metric: String,
    /// Its unit.
    pub unit: String,
    /// The mean.
    pub mean: f64,
    /// The coefficient of variation, sample standard deviation over mean; none for one value, or
    /// when the mean is 0.
    pub cv: Option<f64>,
    /// The lower end of the 95 % confidence interval of the mean (Student's t); none for one value.
    pub ci95_low: Option<f64>,
    /// The upper end.
    pub ci95_high: Option<f64>,
    /// The values, in the order of the trials.
    pub values: Vec<f64>,
}

impl RequestStorage {
    /// Requests at most: with more of them a result would be megabytes of them.
    pub const MOST: usize = 200_000;

    /// Of requests by ordinal, ascending, those without rows left out; none when there are more
    /// than [`RequestStorage::MOST`].
    pub fn of(shares: impl Iterator<Item = (u64, RequestShare)>) -> Option<Self> {
        let mut all = Self::default();
        for (request, share) in shares.filter(|(_, share)| *share != RequestShare::default()) {
            if all.requests.len() == Self::MOST {
                return None;
            }
            let RequestShare { storage_ns, response_ns, rows, failed, skipped } = share;
            all.requests.push(request);
            all.storage_ns.push(storage_ns);
            all.response_ns.push(response_ns);
            all.rows.push(rows);
            all.marks.push(u8::from(failed) | u8::from(skipped) << 1);
        }
        Some(all)
    }

    /// Request by request.
    pub fn shares(&self) -> impl Iterator<Item = (u64, RequestShare)> {
        let times = self.storage_ns.iter().zip(&self.response_ns).zip(self.rows.iter().zip(&self.marks));
        self.requests.iter().zip(times).map(|(request, ((storage, response), (rows, marks)))| {
            let (storage_ns, response_ns, rows) = (*storage, *response, *rows);
            (*request, RequestShare { storage_ns, response_ns, rows, failed: marks & 1 > 0, skipped: marks & 2 > 0 })
        })
    }

    /// Both together, request by request; none when that is too many.
    pub fn with(self, other: Self) -> Option<Self> {
        let mut sums = BTreeMap::<u64, RequestShare>::new();
        for (request, share) in self.shares().chain(other.shares()) {
            let sum = sums.entry(request).or_default();
            sum.storage_ns = sum.storage_ns.saturating_add(share.storage_ns);
            sum.response_ns = sum.response_ns.saturating_add(share.response_ns);
            sum.rows += share.rows;
            sum.failed |= share.failed;
            sum.skipped |= share.skipped;
        }
        Self::of(sums.into_iter())
    }
}
