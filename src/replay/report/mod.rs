//! The report: what was counted, as `kvtrace.replay/1`.

pub mod amplification;
pub mod clock;
pub mod conditions;
pub mod doubts;
mod gds;
pub mod host;
pub mod judgement;
pub mod qos;
pub mod requests;
mod tiers;
pub mod tokens;
pub mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::measure::BlockResult;
use crate::measure::replay::{
    Cpu, Host, Latency, REPLAY_SCHEMA, ReplayResult, SizeLatency, Totals, TraceFacts, Verify, VerifyFailure,
};
use crate::measure::runs::{RequestStorage, RunClock, Runs};
use crate::trace::{Op, Phase, Tier};

use crate::replay::config::{Engine, Pace, ReplayConfig};
use crate::replay::content::verify::Classifier;
use crate::replay::plan::Plan;
use crate::replay::prepare::volume::Volume;
use crate::replay::prepare::{Backend, Stage};
use crate::replay::run::Early;
use crate::replay::run::kinds::Kind;
use crate::replay::run::op::NEVER;
use crate::replay::run::tally::{Moved, Tally};
use crate::replay::start::{self, Gate};
use amplification::Asked;
use host::Device;
use requests::Wholeness;
use verdict::{Backlog, verdict};

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
    /// When the run's clock started, and what it waited for.
    pub gate: Gate,
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
        let (config, times) = (self.config, &self.tally.requests);
        let whole = Wholeness::of(self.plan, times.len(), self.early.is_none())?;
        // A shard has only its part of a request.
        let served = match config.shard {
            Some(_) => None,
            None => requests::serve(&config.trace, &self.plan.meta, times, &whole, self.storage_is_from())?,
        };
        let latency = self.latency();
        let timing = self.timing();
        let asked = self.asked();
        let amplification =
            self.block.as_ref().map_or_else(Vec::new, |block| amplification::amplification(&asked, block));
        let tainted = self.block.as_ref().is_some_and(|block| block.tainted);
        let reached = amplification::findings(&amplification, &asked, tainted);
        let verify = self.verify();
        let totals = self.totals();
        let failure = self.failure(&timing, &verify);
        let mut result = ReplayResult {
            schema: REPLAY_SCHEMA.to_owned(),
            tool: crate::TOOL.to_owned(),
            complete: self.early.is_none(),
            valid: true,
            invalid_reasons: [self.invalid_reasons(&timing, &verify), reached.invalid].concat(),
            notes: self.notes(&timing, reached.notes),
            runs: self.runs(),
            host: self.host.clone(),
            trace: self.trace(),
            config: self.settings(),
            cpu: self.cpu(totals.moved_bytes),
            tiers: (0..3).map(|tier| self.tier(tier)).collect(),
            latency,
            tokens: self.tokens(totals.wall_s, served.as_ref()),
            requests_absent: served.is_none().then(|| self.why_no_requests()),
            requests: served.map(|s| s.report),
            verdict: verdict(&self.tally.spent, self.wall_ns(), self.backlog()),
            totals,
            timing,
            verify,
            errors: self.tally.errors.clone(),
            amplification,
            gds: self.gds(),
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
        if self.config.shard.is_some() && self.tally.requests.len() > 0 {
            return match RequestStorage::of(self.tally.requests.shares()) {
                Some(_) => {
                    "a shard has only its part of a request's storage time, kept in `request_storage`; `kvtrace \
                            merge --trace TRACE` adds it up"
                        .to_owned()
                }
                None => format!(
                    "a shard has only its part of a request's storage time, and there are more than {} requests, so \
                     that it was not kept for merging",
                    RequestStorage::MOST
                ),
            };
        }
        let name = crate::trace::requests_path(&self.config.trace);
        format!("no requests file beside the trace ({} is what would be read)", file_name(&name))
    }

    fn runs(&self) -> Runs {
        let shard = self.config.shard.clone();
        let partial = shard.is_some() && self.tally.requests.len() > 0;
        Runs {
            request_storage: if partial { RequestStorage::of(self.tally.requests.shares()) } else { None },
            clock: Some(self.clock()),
            shard,
            ..Runs::default()
        }
    }

    fn clock(&self) -> RunClock {
        let started = self.gate.started_unix_ns;
        let at = self.gate.at.map(|at| at.unix_ns);
        let several = self.config.shard.is_some() || at.is_some();
        RunClock {
            started_unix_ns: started,
            first_start_unix_ns: Some(self.tally.first_start).filter(|ns| *ns != NEVER).map(|ns| started + ns),
            last_end_unix_ns: Some(self.tally.last_done).filter(|ns| *ns > 0).map(|ns| started + ns),
            start_at_unix_ns: at,
            start_offset_ns: at.map(|at| started as i64 - at as i64),
            synchronized: if several { start::synchronized() } else { None },
        }
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
                    by_size: self.by_size(tier, op, phase, word),
                }
            })
            .collect()
    }

    fn by_size(&self, tier: Tier, op: Op, phase: Phase, word: &str) -> Vec<SizeLatency> {
        let class = |(up_to_bytes, kind): (Option<u64>, &Kind)| SizeLatency {
            up_to_bytes,
            ops: kind.ops,
            bytes: kind.bytes,
            response: kind.response.save("response", Some(word), "ns"),
            service: kind.service.save("service", Some(word), "ns"),
        };
        self.tally.sizes(tier, op, phase).map(class).collect()
    }

    /// Where times of storage are from.
    fn storage_is_from(&self) -> String {
        if self.config.engine == Engine::Nop {
            return "the replay's own: engine nop, no device took part".to_owned();
        }
        let modelled = self.tally.kinds().map(|kind| kind.0.index());
        let modelled: BTreeSet<_> =
            modelled.filter(|tier| matches!(self.stage.backends[*tier], Backend::Model { .. })).collect();
        let names: Vec<_> = modelled.into_iter().map(|t| format!("tier {t} ({})", self.config.targets[t])).collect();
        if names.is_empty() { "measured".to_owned() } else { format!("measured, but modelled on {}", names.join(", ")) }
    }

    /// What storage tiers with a known device were asked for.
    fn asked(&self) -> Vec<Asked> {
        let of = |(volume, moved): (&Volume, &Moved)| {
            Some(Asked {
                tier: volume.tier as u8,
                device: Device::below(volume.path()?)?.name,
                direct: volume.direct(),
                read: moved.read + moved.read_padding,
                written: moved.written + moved.write_padding,
            })
        };
        self.stage.volumes.iter().zip(&self.tally.volumes).filter_map(of).collect()
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
            ("bytes-in-flight-asked", json!(c.in_flight.to_string())),
            ("bytes-in-flight-found", json!(self.stage.found)),
            ("precondition", json!(c.precondition.map(|p| p.to_string()))),
            ("max-objects", json!(c.window())),
            ("chunks-per-object", json!(crate::replay::run::lane::OBJECT_CHUNKS)),
            ("wait", json!(c.wait.word())),
            ("gds", json!(c.gds.word())),
            ("engine", json!(c.engine.word())),
            ("io", json!(c.io.to_string())),
            ("fadvise", json!(c.fadvise.to_string())),
            ("durability", json!(c.durability.to_string())),
            ("order", json!(c.order.word())),
            ("prepare", json!(c.prepare.word())),
            ("verify", json!(c.verify.to_string())),
            ("helpers", json!(c.helpers)),
            ("max-errors", json!(c.max_errors)),
            ("max-lag-ns", json!(c.max_lag_ns)),
            ("seed", json!(c.seed)),
            ("trials", json!(c.trials)),
            ("cooldown-ns", json!(c.cooldown_ns)),
            ("layout", json!(c.layout.word())),
            ("i-know-this-destroys", json!(c.destroys)),
            ("data-epoch", json!(self.stage.epoch)),
            ("hlog", json!(c.hlog.as_deref().map(file_name))),
            ("hlog-interval-ns", json!(c.hlog.is_some().then_some(c.hlog_interval_ns))),
        ];
        settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| "-".to_owned(), |name| name.to_string_lossy().into_owned())
}
