//! The token rates of a run.

use crate::measure::replay::{TokenSums, Tokens};
use crate::trace::{Op, Phase};

use super::Ended;
use super::requests::Served;

impl Ended<'_> {
    /// The token rates; none without a model, which says how many bytes a token has.
    pub fn tokens(&self, wall_s: f64, served: Option<&Served>) -> Option<Tokens> {
        let model = self.plan.meta.model.as_ref()?;
        let per_token =
            model.bytes_per_token as f64 / f64::from(self.plan.meta.tensor_parallel.max(1)) * self.config.size_scale;
        if per_token <= 0.0 || wall_s <= 0.0 {
            return None;
        }
        let of_rows = |wanted: fn(Op, Phase) -> bool| {
            self.tally.kinds().filter(|k| wanted(k.1, k.2)).map(|k| k.3.bytes).sum::<u64>() as f64 / per_token
        };
        let storage = &self.tally.moved[2];
        // Without a request that completed nothing is known of what was generated.
        let served = served.filter(|served| served.report.count > 0);
        let sums = TokenSums {
            generated: served.map(|served| served.generated_tokens),
            storage_s: served.map(|served| served.storage_s),
            tier2_moved: (storage.read + storage.written) as f64 / per_token,
            read: of_rows(|op, phase| op == Op::Read && phase != Phase::Evict),
            written: of_rows(|op, phase| op == Op::Write && phase == Phase::Prefill),
        };
        Some(sums.rates(wall_s))
    }
}
