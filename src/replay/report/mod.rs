//! The report: what was counted, as `kvtrace.replay/1`.

pub mod host;
pub mod judgement;
pub mod requests;
pub mod verdict;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::measure::histogram::LogLinear;
use crate::measure::replay::{
    Cpu, Host, Latency, REPLAY_SCHEMA, ReplayResult, TierReport, Timing, Tokens, Totals, TraceFacts, Verify,
    VerifyFailure,
};
use crate::measure::{BlockResult, Histogram};
use crate::trace::{Op, Phase};

use crate::replay::config::{Engine, Pace, ReplayConfig};
use crate::replay::content::verify::Classifier;
use crate::replay::plan::Plan;
use crate::replay::prepare::{Backend, Stage};
use crate::replay::run::Early;
use crate::replay::run::tally::Tally;
use requests::Served;
use verdict::{Backlog, verdict};

/// The least bound of lateness: beyond it, and beyond a share of the service time, a schedule
/// was not kept.
const LATE_NS: f64 = 100_000.0;
/// That share.
const LATE_SHARE: f64 = 0.05;

/// A run that has ended, with everything that its report needs.
pub struct Ended<'a> {
    /// What was asked.
    pub config: &'a ReplayConfig,
    /// What was planned.
    pub plan: &'a Plan,
    /// The tiers.
    pub stage: &'a Stage,
    /// What was counted.
    pub tally: &'a Tally,
    /// Why it ended early, if it did.
    pub early: Option<Early>,
    /// The machine, when the run started.
    pub host: Host,
    /// Processor time of the run stage, user and system.
    pub cpu_s: (f64, f64),
    /// Time to make everything durable after the run.
    pub sync_s: f64,
    /// What the block layer did, when it was watched.
    pub block: Option<BlockResult>,
}

impl Ended<'_> {
    /// The result, and the error that the command ends with, if any.
    ///
    /// # Errors
    /// A requests file that cannot be read.
    pub fn report(self) -> Result<(ReplayResult, Option<Error>)> {
        let served = match self.early {
            None => requests::serve(&self.config.trace, &self.plan.meta, &self.tally.request_ns)?,
            Some(_) => None,
        };
        let latency = self.latency();
        let (timing, late_bound_ns) = self.timing();
        let verify = self.verify();
        let totals = self.totals();
        let failure = self.failure(&timing, late_bound_ns, &verify);
        let mut result = ReplayResult {
            schema: REPLAY_SCHEMA.to_owned(),
            tool: crate::TOOL.to_owned(),
            complete: self.early.is_none(),
            valid: true,
            invalid_reasons: self.invalid_reasons(&timing, late_bound_ns, &verify),
            notes: self.notes(),
            host: self.host.clone(),
            trace: self.trace(),
            config: self.settings(),
            cpu: self.cpu(totals.moved_bytes),
            tiers: (0..3).map(|tier| self.tier(tier)).collect(),
            latency,
            tokens: self.tokens(&totals, served.as_ref()),
            requests_absent: served.is_none().then(|| self.why_no_requests()),
            requests: served.map(|s| s.report),
            verdict: verdict(&self.tally.spent, self.wall_ns(), self.backlog()),
            totals,
            timing,
            verify,
            errors: self.tally.errors.clone(),
            block: None,
            series: self.tally.series().clone(),
        };
        result.valid = result.invalid_reasons.is_empty();
        result.block = self.block;
        Ok((result, failure))
    }

    fn why_no_requests(&self) -> String {
        if self.early.is_some() {
            return "the run ended early, so that requests are not whole".to_owned();
        }
        let name = crate::trace::requests_path(&self.config.trace);
        format!("no requests file beside the trace ({} is what would be read)", file_name(&name))
    }

    /// From the first start to the last end.
    pub fn wall_ns(&self) -> u64 {
        self.tally.last_done.saturating_sub(self.tally.first_start.min(self.tally.last_done))
    }

    /// How far a paced run was behind its schedule; none without one.
    pub fn backlog(&self) -> Option<Backlog> {
        if self.config.pace == Pace::Asap {
            return None;
        }
        let wait = self.tally.wait.save("wait", None, "ns").quantile(0.99).unwrap_or(0.0);
        let behind_ns = self.tally.last_start.saturating_sub(self.tally.last_sched);
        Some(Backlog { behind_ns, wait_p99_ns: wait as u64 })
    }

    fn latency(&self) -> Vec<Latency> {
        let kinds = self.tally.kinds();
        kinds
            .map(|(tier, op, phase, kind)| {
                let word = if op == Op::Read { "read" } else { "write" };
                Latency {
                    tier,
                    op,
                    phase,
                    ops: kind.ops,
                    bytes: kind.bytes,
                    response: kind.response.save("response", Some(word), "ns"),
                    service: kind.service.save("service", Some(word), "ns"),
                }
            })
            .collect()
    }

    fn totals(&self) -> Totals {
        let sum = |op: Op| self.tally.kinds().filter(|k| k.1 == op).map(|k| k.3.bytes).sum::<u64>();
        let (read, written) = self.tally.moved.iter().fold((0, 0), |(r, w), m| (r + m.read, w + m.written));
        let wall_s = self.wall_ns() as f64 / 1e9;
        let rate = |bytes: u64| if wall_s > 0.0 { bytes as f64 / wall_s / 1e9 } else { 0.0 };
        let timed = self.plan.meta.time_model.is_some();
        Totals {
            ops: self.tally.ops,
            read_bytes: sum(Op::Read),
            write_bytes: sum(Op::Write),
            moved_bytes: read + written,
            wall_s,
            read_gb_per_s: rate(read),
            write_gb_per_s: rate(written),
            offered_gb_per_s: self.plan.facts.offered_gb_per_s().filter(|_| timed),
            prepare_s: self.stage.prepare_s,
        }
    }

    fn cpu(&self, moved: u64) -> Cpu {
        let (user_s, sys_s) = self.cpu_s;
        let (fill_s, verify_s) = (self.tally.fill_ns as f64 / 1e9, self.tally.verify_ns as f64 / 1e9);
        Cpu { user_s, sys_s, fill_s, verify_s, s_per_gb: (moved > 0).then(|| (user_s + sys_s) / (moved as f64 / 1e9)) }
    }

    fn trace(&self) -> TraceFacts {
        let (plan, facts) = (self.plan, &self.plan.facts);
        TraceFacts {
            file: file_name(&self.config.trace),
            sha256: plan.sha256.clone(),
            seed: plan.meta.seed,
            model: plan.meta.model.as_ref().map(|m| m.name.clone()),
            rows: facts.rows,
            inversions: plan.meta.inversions.unwrap_or(0),
            span_s: facts.span_s,
            peak_bytes: facts.peak_bytes,
            cold_keys: facts.cold_keys,
        }
    }

    fn tier(&self, tier: usize) -> TierReport {
        let (target, moved) = (&self.config.targets[tier], &self.tally.moved[tier]);
        let mut report = TierReport {
            tier: tier as u8,
            backend: if target.is_storage() { self.config.engine.word() } else { target.backend() }.to_owned(),
            target: target.to_string(),
            direct: None,
            layout: None,
            read_bytes: moved.read + moved.read_padding,
            write_bytes: moved.written + moved.write_padding,
            facts: BTreeMap::new(),
        };
        let mut note = |name: &str, value: Value| {
            report.facts.insert(name.to_owned(), value);
        };
        note("read_padding_bytes", moved.read_padding.into());
        note("write_padding_bytes", moved.write_padding.into());
        match self.stage.backends[tier] {
            Backend::Storage(_) if self.config.engine == Engine::Nop => note("ios", self.tally.chunks.into()),
            Backend::Storage(number) => {
                let (slab, ring) = (&self.stage.slabs[number as usize], &self.stage.ring);
                for (name, value) in host::facts(&slab.path) {
                    note(&name, value);
                }
                note("slab_bytes", slab.size_bytes().into());
                note("slab", if slab.fill { "written before the run" } else { "reused" }.into());
                note("dio_alignment_bytes", slab.alignment_bytes.into());
                note("fixed_buffers", ring.fixed_buffers().into());
                note("fixed_files", ring.fixed_files().into());
                note("taskrun", ring.taskrun.into());
                note("buffer_bytes", self.stage.arena.len().into());
                note("buffer_huge_page_bytes", self.stage.arena.huge_bytes().into());
                note("final_fdatasync_s", self.sync_s.into());
                note("ios", self.tally.chunks.into());
                note("short_ios", self.tally.short.into());
                report.direct = Some(slab.direct);
                report.layout = Some("slab".to_owned());
            }
            Backend::Memory(pool) => {
                let pool = &self.stage.pools[pool];
                note("pool_bytes", pool.len().into());
                note("pool_huge_page_bytes", pool.huge_bytes().into());
            }
            Backend::Gpu(number) => {
                for (name, value) in self.stage.gpus[number].facts() {
                    note(&name, value);
                }
            }
            Backend::Model { .. } | Backend::Skip => {}
        }
        report
    }

    fn tokens(&self, totals: &Totals, served: Option<&Served>) -> Option<Tokens> {
        let model = self.plan.meta.model.as_ref()?;
        let per_token =
            model.bytes_per_token as f64 / f64::from(self.plan.meta.tensor_parallel.max(1)) * self.config.size_scale;
        if per_token <= 0.0 || totals.wall_s <= 0.0 {
            return None;
        }
        let bytes = |wanted: fn(Op, Phase) -> bool| {
            self.tally.kinds().filter(|k| wanted(k.1, k.2)).map(|k| k.3.bytes).sum::<u64>() as f64
        };
        let (read, written) =
            (bytes(|op, p| op == Op::Read && p != Phase::Evict), bytes(|op, p| op == Op::Write && p == Phase::Prefill));
        let storage = &self.tally.moved[2];
        Some(Tokens {
            generated_per_s: served.map(|s| s.generated_tokens as f64 / totals.wall_s),
            tier2_moved_per_s: (storage.read + storage.written) as f64 / per_token / totals.wall_s,
            generated_per_storage_s: served
                .filter(|s| s.storage_s > 0.0)
                .map(|s| s.generated_tokens as f64 / s.storage_s),
            read_amplification: (written > 0.0).then(|| read / written),
        })
    }

    /// The timing, and the bound of lateness in nanoseconds.
    fn timing(&self) -> (Timing, f64) {
        let tally = self.tally;
        let mut service = LogLinear::times();
        tally.kinds().for_each(|(.., kind)| service.merge(&kind.service));
        let median = service.save("service", None, "ns").quantile(0.5).unwrap_or(0.0);
        let bound = LATE_NS.max(LATE_SHARE * median);
        let lateness = tally.lateness.save("lateness", None, "ns");
        let intended = tally.last_sched.saturating_sub(tally.first_sched);
        let actual = tally.last_start.saturating_sub(tally.first_start.min(tally.last_start));
        let paced = self.config.pace != Pace::Asap && intended > 0;
        let timing = Timing {
            pacing: self.config.pace.word().to_owned(),
            late_fraction: share_above(&lateness, bound),
            lateness,
            wait: tally.wait.save("wait", None, "ns"),
            dependency_wait: tally.dependency.save("dependency_wait", None, "ns"),
            queue_wait: tally.queue.save("queue_wait", None, "ns"),
            reap_gap: tally.reap_gap.save("reap_gap", None, "ns"),
            io: [("read", 0), ("write", 1)].map(|(op, i)| tally.io[i].save("io", Some(op), "ns")).to_vec(),
            spin_margin_ns: tally.spin_margin_ns.filter(|_| self.config.pace != Pace::Asap),
            drift_ppm: paced.then(|| (actual as f64 - intended as f64) / intended as f64 * 1e6),
        };
        (timing, bound)
    }

    fn verify(&self) -> Verify {
        let mut classifier = Classifier::new(self.stage.data_seed, &self.plan.names);
        let failures = self.tally.suspects.iter().map(|suspect| VerifyFailure {
            row: suspect.row,
            key: self.plan.names.get(suspect.key),
            offset_bytes: suspect.offset,
            class: classifier.class(suspect).to_owned(),
        });
        Verify {
            level: self.config.verify.to_string(),
            checked_bytes: self.tally.checked_bytes,
            checks: self.tally.checks,
            failures: failures.collect(),
            failure_count: self.tally.suspect_count,
        }
    }

    fn settings(&self) -> BTreeMap<String, Value> {
        let c = self.config;
        let settings = [
            ("tier-0", json!(c.targets[0].to_string())),
            ("tier-1", json!(c.targets[1].to_string())),
            ("tier-2", json!(c.targets[2].to_string())),
            ("pace", json!(c.pace.to_string())),
            ("speed", json!(c.speed)),
            ("size-scale", json!(c.size_scale)),
            ("io-size", json!(c.io_size_bytes)),
            ("bytes-in-flight", json!(c.bytes_in_flight)),
            ("max-objects", json!(c.window())),
            ("chunks-per-object", json!(crate::replay::run::transfer::OBJECT_CHUNKS)),
            ("wait", json!(c.wait.word())),
            ("engine", json!(c.engine.word())),
            ("io", json!(c.io.word())),
            ("fadvise", json!(c.fadvise.word())),
            ("durability", json!(c.durability.word())),
            ("order", json!(c.order.word())),
            ("prepare", json!(c.prepare.word())),
            ("verify", json!(c.verify.to_string())),
            ("helpers", json!(c.helpers)),
            ("max-errors", json!(c.max_errors)),
            ("max-lag-ns", json!(c.max_lag_ns)),
            ("seed", json!(c.seed)),
            ("data-epoch", json!(self.stage.epoch)),
        ];
        settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// The share of values that lie above `bound`.
fn share_above(histogram: &Histogram, bound: f64) -> f64 {
    let above: u64 = histogram.buckets.iter().filter(|b| b.0 as f64 > bound).map(|b| b.2).sum();
    if histogram.count == 0 { 0.0 } else { above as f64 / histogram.count as f64 }
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| "-".to_owned(), |name| name.to_string_lossy().into_owned())
}
