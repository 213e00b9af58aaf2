//! What belady sees: the recording is made twice, first without a file, to learn the order in
//! which every key is used.

use std::sync::Arc;

use crate::cache::{Placement, PolicyKind, Promotion, Rules, Uses};
use crate::error::Result;
use crate::progress::Progress;
use crate::serve::{self, Sink};
use crate::stop::Stop;
use crate::trace::{Phase, Row, Served};
use crate::workload::Skipped;

use super::settings::Settings;
use super::source;

/// Takes down what rows tell of uses.
#[derive(Default)]
struct Learner(Uses);

impl Sink for Learner {
    fn row(&mut self, row: Row) -> Result<()> {
        match row.phase {
            Phase::Evict => Ok(()),
            Phase::Prefill | Phase::Decode => self.0.note(&row.key),
        }
    }

    fn request(&mut self, _served: Served) -> Result<()> {
        Ok(())
    }
}

/// The system to record: with foresight, if a policy wants it. The future is learnt with room for
/// everything, so that it has every use that any policy could serve.
pub(super) fn config(settings: &Settings, stop: &Stop, progress: &dyn Progress) -> Result<serve::Config> {
    let mut config = settings.config.clone();
    if !config.rules.policies.contains(&PolicyKind::Belady) {
        return Ok(config);
    }
    let mut rehearsed = config.clone();
    rehearsed.limits.capacity_bytes[2] = None;
    rehearsed.rules = Rules { promotion: Promotion::None, placement: Placement::Exclusive, ..Rules::default() };
    let mut learner = Learner::default();
    let (workload, _) = source::workload(settings, &Skipped::default())?;
    serve::record(&rehearsed, workload, &mut learner, stop, progress)?;
    config.rules.foresight = Some(Arc::new(learner.0.finish()));
    Ok(config)
}
