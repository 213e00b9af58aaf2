//! How much of the prompts was found, by every definition at once: token blocks, tokens, bytes,
//! and the mean over requests, which differ by several points on the same trace.

use std::collections::BTreeMap;

use crate::trace::meta::HitRatio;

/// What was found of what was looked for.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    hits: u64,
    total: u64,
}

/// The counts.
#[derive(Debug, Default)]
pub struct Ratios {
    blocks: Share,
    bytes: Share,
    tokens: Share,
    requests: u64,
    sum_of_shares: f64,
}

impl Ratios {
    /// A request looked for the token blocks of its prompt: how many, and their bytes.
    pub fn looked_up(&mut self, hits: u64, total: u64, hit_bytes: u64, total_bytes: u64) {
        self.blocks.add(hits, total);
        self.bytes.add(hit_bytes, total_bytes);
    }

    /// A prompt was looked up: its tokens that were found.
    pub fn prompt(&mut self, hit_tokens: u64, prompt_tokens: u64) {
        if prompt_tokens > 0 {
            let hits = hit_tokens.min(prompt_tokens);
            self.tokens.add(hits, prompt_tokens);
            self.requests += 1;
            self.sum_of_shares += hits as f64 / prompt_tokens as f64;
        }
    }

    /// The ratios by the names that `kvtrace analyze hits` uses; what nobody looked for is left
    /// out.
    pub fn stats(&self) -> BTreeMap<String, HitRatio> {
        let shares = [
            ("token_block.prefix", self.blocks.ratio()),
            ("bytes.prefix", self.bytes.ratio()),
            ("token.prefix", self.tokens.ratio()),
            ("request_mean.prefix", self.mean()),
        ];
        shares.into_iter().filter(|(_, ratio)| ratio.total > 0).map(|(name, ratio)| (name.to_owned(), ratio)).collect()
    }

    fn mean(&self) -> HitRatio {
        HitRatio { hits: None, total: self.requests, ratio: self.sum_of_shares / self.requests.max(1) as f64 }
    }
}

impl Share {
    fn add(&mut self, hits: u64, total: u64) {
        self.hits = self.hits.saturating_add(hits);
        self.total = self.total.saturating_add(total);
    }

    fn ratio(self) -> HitRatio {
        HitRatio { hits: Some(self.hits), total: self.total, ratio: self.hits as f64 / self.total.max(1) as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_definition_has_its_own_value() {
        let mut ratios = Ratios::default();
        // A prompt of one full block and 44 tokens, found but for nothing, and one of 1,000 tokens
        // of which one block of four is found.
        ratios.looked_up(2, 2, 300, 300);
        ratios.prompt(300, 300);
        ratios.looked_up(1, 4, 256, 1000);
        ratios.prompt(256, 1000);
        let stats = ratios.stats();
        let of = |name: &str| (stats[name].hits, stats[name].total, stats[name].ratio);
        assert_eq!(of("token_block.prefix"), (Some(3), 6, 0.5));
        assert_eq!(of("token.prefix"), (Some(556), 1300, 556.0 / 1300.0));
        assert_eq!(of("bytes.prefix"), (Some(556), 1300, 556.0 / 1300.0));
        assert_eq!(of("request_mean.prefix"), (None, 2, (1.0 + 0.256) / 2.0));
        assert!(Ratios::default().stats().is_empty());
    }
}
