//! Store or recompute: from where on loading a token's KV cache beats computing it.

use serde::{Deserialize, Serialize};

use crate::analyze::endurance::YEAR_DAYS;
use crate::units::GIB;

use super::{Setting, Totals};

/// The comparison for one tier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BreakEven {
    /// `dram` or `nvme`.
    pub tier: String,
    /// Loading a token without the latency, s: bytes of a token over bandwidth.
    pub load_s_per_token: Option<f64>,
    /// Computing a token, s. The same at every length: attention's share, which grows with the
    /// context, is not modelled, so that long prompts favour loading more than this says.
    pub prefill_s_per_token: f64,
    /// The bandwidth at which both take as long, bytes a second: bytes of a token x tokens a second.
    pub bandwidth_bytes_per_s: f64,
    /// The tokens from which on loading is faster, latency included; none when it never is.
    pub from_tokens: Option<f64>,
    /// How long a block may wait for its next use before keeping it costs more than computing it
    /// again, s (the five-minute rule: Gray and Putzolu, SIGMOD 1987). NVMe is written off as in
    /// [`Bill::per_million`](super::cost::Bill::per_million): over the life of its rating, where that
    /// is the shorter.
    pub worth_keeping_s: Option<f64>,
}

/// Both tiers, of NVMe that lasts `nvme_years` by its rating; nothing when the rate of computing is
/// not known.
pub fn of(setting: &Setting, totals: &Totals, nvme_years: Option<f64>) -> Vec<BreakEven> {
    let Some(rate) = setting.prefill_tokens_per_s else { return Vec::new() };
    let prices = &setting.prices;
    let life = [prices.years, prices.nvme_life(nvme_years)];
    let per_byte = [prices.dram_per_gib.map(|price| price / GIB as f64), prices.nvme_per_tb.map(|price| price / 1e12)];
    let tiers = ["dram", "nvme"].into_iter().zip(per_byte).enumerate();
    tiers
        .map(|(number, (tier, price))| {
            let bytes = setting.bytes_per_token as f64;
            let timing = setting.tiers.map(|tiers| tiers[number]);
            let load_s_per_token = timing.map(|timing| bytes / timing.bytes_per_s);
            let gained = load_s_per_token.map(|load| 1.0 / rate - load).filter(|gained| *gained > 0.0);
            let computing = prices.gpu_hour.map(|hour| hour / 3600.0 * totals.block_tokens as f64 / rate);
            let keeping = price
                .map(|price| price * setting.block_bytes(totals) as f64 / (life[number] * YEAR_DAYS * 86_400.0))
                .filter(|price| *price > 0.0);
            BreakEven {
                tier: tier.to_owned(),
                load_s_per_token,
                prefill_s_per_token: 1.0 / rate,
                bandwidth_bytes_per_s: bytes * rate,
                from_tokens: timing.zip(gained).map(|(timing, gained)| timing.latency_s / gained),
                worth_keeping_s: computing.zip(keeping).map(|(computing, keeping)| computing / keeping),
            }
        })
        .collect()
}
