//! What a million prompt tokens cost: memory and drives over their lives, GPUs by the hour.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::analyze::endurance::{Load, YEAR_DAYS};
use crate::units::GIB;

/// Hours of a year.
const YEAR_H: f64 = YEAR_DAYS * 24.0;

/// Prices, in a currency of the user's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prices {
    /// Of a GiB of DRAM.
    pub dram_per_gib: Option<f64>,
    /// Of a TB (1e12 bytes) of NVMe.
    pub nvme_per_tb: Option<f64>,
    /// Of an hour of the GPUs that compute `prefill_tokens_per_s`.
    pub gpu_hour: Option<f64>,
    /// Years over which DRAM and NVMe are written off.
    pub years: f64,
}

impl FromStr for Prices {
    type Err = String;

    /// Takes `dram=4,nvme=80,gpu-hour=2.5`, any of them; the years are those of
    /// [`Prices::default`].
    fn from_str(text: &str) -> Result<Self, String> {
        let mut prices = Self::default();
        for part in text.split(',') {
            let (name, price) = part.split_once('=').unwrap_or((part, ""));
            let place = match name {
                "dram" => &mut prices.dram_per_gib,
                "nvme" => &mut prices.nvme_per_tb,
                "gpu-hour" => &mut prices.gpu_hour,
                _ => return Err(format!("`{name}` has no price here; write dram=4,nvme=80,gpu-hour=2.5")),
            };
            let price = price.parse::<f64>().ok().filter(|price| price.is_finite() && *price >= 0.0);
            *place = Some(price.ok_or(format!("`{part}` is not a price; write dram=4,nvme=80,gpu-hour=2.5"))?);
        }
        Ok(prices)
    }
}

impl Prices {
    /// Years over which NVMe is written off that lasts so many by its rating: the shorter.
    pub fn nvme_life(&self, by_rating: Option<f64>) -> f64 {
        by_rating.map_or(self.years, |years| years.min(self.years))
    }
}

impl Default for Prices {
    fn default() -> Self {
        Self { dram_per_gib: None, nvme_per_tb: None, gpu_hour: None, years: 5.0 }
    }
}

/// What a million prompt tokens cost; a part without a price is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// DRAM.
    pub dram: Option<f64>,
    /// NVMe, written off over the shorter of the years given and what its rating lasts.
    pub nvme: Option<f64>,
    /// GPUs that compute what is not found.
    pub gpu: Option<f64>,
    /// All three; none when one is.
    pub total: Option<f64>,
    /// GPUs that compute everything.
    pub without_cache: Option<f64>,
}

/// What costs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bill {
    /// Bytes of DRAM.
    pub dram_bytes: u64,
    /// Bytes of NVMe that are bought: of whole drives, where their capacity is known.
    pub nvme_bytes: f64,
    /// Years that their rating lasts.
    pub nvme_years: Option<f64>,
    /// Tokens of all prompts.
    pub tokens: u64,
    /// Of those, the tokens that are not found.
    pub missed_tokens: u64,
    /// Tokens computed in a second.
    pub prefill_tokens_per_s: Option<f64>,
}

impl Bill {
    /// Memory of `bytes` for the time in which a million tokens come:
    /// `price / (years x 8760 h) / (million tokens an hour)`; computing:
    /// `missed / tokens x 1e6 / rate / 3600 x price of an hour`.
    pub fn per_million(&self, prices: &Prices, load: &Load) -> Cost {
        let millions_per_hour = load.per_day(self.tokens as f64).map(|tokens| tokens / 24.0 / 1e6);
        let kept = |price: f64, years: f64| millions_per_hour.map(|millions| price / (years * YEAR_H) / millions);
        let computed = |tokens: u64| {
            let millions = tokens as f64 / self.tokens.max(1) as f64;
            Some(millions * 1e6 / self.prefill_tokens_per_s? / 3600.0 * prices.gpu_hour?)
        };
        let life = prices.nvme_life(self.nvme_years);
        let price_of_nvme = prices.nvme_per_tb.map(|price| self.nvme_bytes / 1e12 * price);
        let price_of_dram = prices.dram_per_gib.map(|price| self.dram_bytes as f64 / GIB as f64 * price);
        let dram = price_of_dram.and_then(|price| kept(price, prices.years));
        let nvme = price_of_nvme.and_then(|price| kept(price, life));
        let gpu = computed(self.missed_tokens);
        let total = dram.zip(nvme).zip(gpu).map(|((dram, nvme), gpu)| dram + nvme + gpu);
        Cost { dram, nvme, gpu, total, without_cache: computed(self.tokens) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_as_people_write_them() {
        let prices: Prices = "dram=4,gpu-hour=2.5".parse().unwrap();
        assert_eq!((prices.dram_per_gib, prices.nvme_per_tb, prices.gpu_hour), (Some(4.0), None, Some(2.5)));
        for wrong in ["", "dram", "dram=", "dram=-1", "dram=NaN", "hbm=3"] {
            assert!(wrong.parse::<Prices>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_million_tokens_by_hand() {
        let prices = Prices { dram_per_gib: Some(8.76), nvme_per_tb: Some(87.6), gpu_hour: Some(3.6), years: 2.0 };
        let bill = Bill {
            dram_bytes: 10 * GIB,
            nvme_bytes: 1e12,
            nvme_years: Some(0.5),
            tokens: 2_000_000,
            missed_tokens: 500_000,
            prefill_tokens_per_s: Some(1000.0),
        };
        let cost = bill.per_million(&prices, &Load { span_s: 3600.0, rate_scale: 1.0 });
        let near = |value: Option<f64>, expected: f64| assert!((value.unwrap() - expected).abs() < 1e-12, "{value:?}");
        near(cost.dram, 87.6 / 17_520.0 / 2.0);
        near(cost.nvme, 87.6 / 4380.0 / 2.0);
        near(cost.gpu, 0.25);
        near(cost.without_cache, 1.0);
        near(cost.total, 0.0025 + 0.01 + 0.25);
        let unknown =
            Bill { prefill_tokens_per_s: None, ..bill }.per_million(&prices, &Load { span_s: 0.0, rate_scale: 1.0 });
        assert_eq!(unknown, Cost::default());
    }
}
