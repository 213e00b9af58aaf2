//! How long the GPU takes: to compute the prompt, and to generate the answer.

use super::Config;

/// The GPU of the simulated system, as far as it takes time.
#[derive(Debug)]
pub enum Gpu {
    /// A fixed time a token, whoever else generates; prompts take none (the reference's model).
    Fixed {
        /// Time of a generated token.
        ns_per_token: u64,
    },
}

impl Gpu {
    /// An idle GPU.
    pub fn new(config: &Config) -> Self {
        Gpu::Fixed { ns_per_token: config.generation_ns_per_token }
    }

    /// When the prompt's `tokens` that were not found are computed, if that begins now.
    pub fn prefill(&mut self, _tokens: u64, now: u64) -> u64 {
        now
    }

    /// A worker's request begins to generate.
    pub fn begin(&mut self, _worker: u32, _context_tokens: u64, _now: u64) {}

    /// When a worker's request has generated `tokens`, having begun at `began_ns`. None when that
    /// depends on what others do in the meantime: [`Gpu::next`] says it then.
    pub fn after(&mut self, _worker: u32, tokens: u32, began_ns: u64) -> Option<u64> {
        let Gpu::Fixed { ns_per_token } = self;
        Some(began_ns.saturating_add(u64::from(tokens).saturating_mul(*ns_per_token)))
    }

    /// The next worker whose tokens are generated, and when: as things stand now.
    pub fn next(&self) -> Option<(u64, u32)> {
        None
    }

    /// A worker's request has all its tokens.
    pub fn end(&mut self, _worker: u32, _now: u64) {}
}
