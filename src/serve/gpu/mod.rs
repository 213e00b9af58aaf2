//! How long the GPU takes: to compute the prompt, and to generate the answer.

use crate::trace::meta::GpuUse;

use super::Config;

mod batch;
mod file;
mod spec;

#[cfg(test)]
mod tests;

pub use file::read as read_gpu;
pub use spec::{GpuSpec, Speed};

use batch::Batch;

/// What the GPU takes time for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GpuModel {
    /// Nothing.
    None,
    /// A fixed time a token, whoever else generates; prompts take none (the reference's model).
    Fixed {
        /// Time of a generated token.
        ns_per_token: u64,
    },
    /// Prompts, and steps of everybody who generates.
    Batched(Speed),
}

/// The GPU of the simulated system, as far as it takes time.
#[derive(Debug)]
pub enum Gpu {
    /// A fixed time a token.
    Fixed {
        /// Time of a generated token.
        ns_per_token: u64,
    },
    /// Continuous batching.
    Batched(Box<Batch>),
}

impl Gpu {
    /// An idle GPU.
    pub fn new(config: &Config) -> Self {
        match &config.gpu {
            GpuModel::None => Gpu::Fixed { ns_per_token: 0 },
            GpuModel::Fixed { ns_per_token } => Gpu::Fixed { ns_per_token: *ns_per_token },
            GpuModel::Batched(speed) => {
                let Config { model, tensor_parallel, workers, .. } = config;
                Gpu::Batched(Box::new(Batch::new(speed.clone(), model.clone(), *tensor_parallel, *workers)))
            }
        }
    }

    /// When the prompt's `tokens` that were not found are computed, if they are asked for now.
    pub fn prefill(&mut self, tokens: u64, now: u64) -> u64 {
        match self {
            Gpu::Fixed { .. } => now,
            Gpu::Batched(batch) => batch.prefill(tokens, now),
        }
    }

    /// A worker's request begins to generate, with so many tokens before its answer.
    pub fn begin(&mut self, worker: u32, context_tokens: u64, generate_tokens: u32, now: u64) {
        if let Gpu::Batched(batch) = self {
            batch.join(worker, context_tokens, generate_tokens, now);
        }
    }

    /// When a worker's request has generated `tokens`, having begun at `began_ns`. None when that
    /// depends on what others do in the meantime: [`Gpu::next`] says it then.
    pub fn after(&mut self, worker: u32, tokens: u32, began_ns: u64, now: u64) -> Option<u64> {
        match self {
            Gpu::Fixed { ns_per_token } => {
                Some(began_ns.saturating_add(u64::from(tokens).saturating_mul(*ns_per_token)))
            }
            Gpu::Batched(batch) => batch.after(worker, tokens, now),
        }
    }

    /// When something happens next on the GPU, as things stand now.
    pub fn next(&self) -> Option<u64> {
        match self {
            Gpu::Fixed { .. } => None,
            Gpu::Batched(batch) => batch.next(),
        }
    }

    /// Lets what [`Gpu::next`] said happen: the worker whose request has the tokens that it waits
    /// for; none when it only left the batch.
    pub fn take(&mut self, now: u64) -> Option<u32> {
        match self {
            Gpu::Fixed { .. } => None,
            Gpu::Batched(batch) => batch.take(now),
        }
    }

    /// A worker's request has all its tokens.
    pub fn end(&mut self, worker: u32, now: u64) {
        if let Gpu::Batched(batch) = self {
            batch.leave(worker, now);
        }
    }

    /// What it was used for until the end.
    pub fn used(&self, end_ns: u64) -> Option<GpuUse> {
        match self {
            Gpu::Fixed { .. } => None,
            Gpu::Batched(batch) => Some(batch.used(end_ns)),
        }
    }
}
