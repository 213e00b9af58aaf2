//! The tiers as they were: what stood for them, what moved, and the facts of their devices.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::measure::Histogram;
use crate::measure::replay::{TargetReport, TierReport};

use super::{Ended, host};
use crate::replay::config::{Engine, Layout};
use crate::replay::per_tier::Word;
use crate::replay::prepare::Backend;
use crate::replay::prepare::volume::Volume;
use crate::replay::target::Target;
use crate::trace::{Op, Phase};

type Facts = BTreeMap<String, Value>;

impl Ended<'_> {
    /// One tier.
    pub fn tier(&self, tier: usize) -> TierReport {
        let (target, moved) = (&self.config.targets[tier], &self.tally.moved[tier]);
        let mut report = TierReport {
            tier: tier as u8,
            backend: if target.is_storage() { self.config.engine.word() } else { target.backend() }.to_owned(),
            target: target.to_string(),
            direct: None,
            layout: None,
            read_bytes: moved.read + moved.read_padding,
            write_bytes: moved.written + moved.write_padding,
            sync: self.sync(tier),
            decode_read_bytes: self.row_bytes(tier, Op::Read, Phase::Decode),
            prefill_write_bytes: self.row_bytes(tier, Op::Write, Phase::Prefill),
            preconditioned: self.stage.preconditioned.iter().filter(|p| usize::from(p.tier) == tier).cloned().collect(),
            facts: Facts::new(),
            targets: Vec::new(),
        };
        let mut note = |name: &str, value: Value| {
            report.facts.insert(name.to_owned(), value);
        };
        note("read_padding_bytes", moved.read_padding.into());
        note("write_padding_bytes", moved.write_padding.into());
        match self.stage.backends[tier] {
            Backend::Storage(_) if self.config.engine == Engine::Nop => note("ios", self.tally.chunks.into()),
            Backend::Storage(_) => self.storage(tier, &mut report),
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

    fn storage(&self, tier: usize, report: &mut TierReport) {
        let (stage, ring) = (self.stage, &self.stage.ring);
        let own = stage.volumes.iter().zip(&self.tally.volumes).filter(|(volume, _)| volume.tier == tier);
        for (volume, moved) in own {
            report.targets.push(TargetReport {
                target: volume.target.to_string(),
                direct: volume.direct(),
                read_bytes: moved.read + moved.read_padding,
                write_bytes: moved.written + moved.write_padding,
                facts: volume_facts(volume),
            });
        }
        report.direct = Some(report.targets.iter().all(|target| target.direct));
        report.layout = Some(self.config.layout.word().to_owned());
        if let [only] = &report.targets[..] {
            report.facts.extend(only.facts.clone());
        } else {
            report.facts.insert("strays".to_owned(), stage.objects.strays(tier).into());
        }
        let mut note = |name: &str, value: Value| {
            report.facts.insert(name.to_owned(), value);
        };
        note("fixed_buffers", ring.fixed_buffers().into());
        note("fixed_files", ring.fixed_files().into());
        note("taskrun", ring.taskrun.into());
        note("buffer_bytes", stage.arena.len().into());
        note("buffer_huge_page_bytes", stage.arena.huge_bytes().into());
        if self.config.layout == Layout::File {
            note("final_syncfs_s", self.sync_s.into());
            let times = &self.tally.files;
            let steps = [
                ("open", &times.open),
                ("create", &times.create),
                ("fallocate", &times.reserve),
                ("unlink", &times.unlink),
            ];
            for (name, histogram) in steps {
                note(name, json!(histogram.save(name, None, "ns")));
            }
        } else {
            note("final_fdatasync_s", self.sync_s.into());
        }
        note("ios", self.tally.chunks.into());
        note("short_ios", self.tally.short.into());
        note("io", self.config.io.of(tier).word().into());
        note("fadvise", self.config.fadvise.of(tier).word().into());
        note("durability", self.config.durability.of(tier).word().into());
        note("bytes_in_flight_curve", json!(stage.found));
    }

    /// Bytes of a kind of rows; none where they are skipped.
    fn row_bytes(&self, tier: usize, op: Op, phase: Phase) -> Option<u64> {
        let kinds = self.tally.kinds().filter(|k| (k.0.index(), k.1, k.2) == (tier, op, phase));
        (self.config.targets[tier] != Target::Skip).then(|| kinds.map(|kind| kind.3.bytes).sum())
    }

    fn sync(&self, tier: usize) -> Option<Histogram> {
        let sync = self.tally.sync[tier].save("sync", Some("write"), "ns");
        (sync.count > 0).then_some(sync)
    }

    /// That objects went to another target than their own, if any did.
    pub fn strays(&self) -> u64 {
        (0..3).map(|tier| self.stage.objects.strays(tier)).sum()
    }
}

fn volume_facts(volume: &Volume) -> Facts {
    let mut facts = volume.path().map(host::facts).unwrap_or_default();
    let mut note = |name: &str, value: Value| {
        facts.insert(name.to_owned(), value);
    };
    if let Some(slab) = volume.slab() {
        note("slab_bytes", slab.size_bytes().into());
        note("slab", if slab.fill { "written before the run" } else { "reused" }.into());
        note("dio_alignment_bytes", slab.alignment_bytes.into());
    }
    if let Some(folder) = volume.folder() {
        note("dio_alignment_bytes", folder.alignment_bytes.into());
        note("files_of_an_earlier_run", folder.leftovers.into());
    }
    facts
}
