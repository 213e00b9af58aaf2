//! Continuous batching: all requests that generate get one token a step, prompts are computed
//! one at a time between two steps. Only the next thing that happens is ever computed, from the
//! present batch in closed form: a request costs its joining and leaving, not its tokens.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::model::Model;
use crate::trace::meta::GpuUse;
use crate::units::SECOND_NS;

use super::spec::Speed;

/// (step, order of joining, worker).
type Event = Reverse<(u64, u64, u32)>;

/// The GPU, and who generates.
#[derive(Debug)]
pub struct Batch {
    speed: Speed,
    model: Model,
    ranks: u64,
    /// By worker.
    slots: Vec<Option<Slot>>,
    size: u32,
    /// Bytes of context that the next step reads, of one rank.
    context_bytes: u64,
    /// By how much every step lets them grow.
    growth_bytes: u64,
    /// Steps that are over.
    step: u64,
    /// When the last of them was over.
    boundary_ns: u64,
    /// When the next one begins, if anybody generates.
    resume_ns: u64,
    /// Steps after which requests have all their tokens.
    leaves: BinaryHeap<Event>,
    /// Steps after which requests go on with something else.
    wakes: BinaryHeap<Event>,
    due_ns: Option<u64>,
    joined: u64,
    used: Used,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    number: u64,
    /// Steps that were over when it joined.
    since_step: u64,
    since_ns: u64,
    context_bytes: u64,
    growth_bytes: u64,
}

/// What it was used for.
#[derive(Debug, Default)]
struct Used {
    prefill_tokens: u64,
    prefill_ns: u128,
    decode_tokens: u64,
    decode_ns: u128,
    generation_ns: u128,
    steps: u64,
    most: u32,
}

impl Batch {
    /// An idle GPU.
    pub fn new(speed: Speed, model: Model, ranks: u32, workers: u32) -> Self {
        Self {
            speed,
            model,
            ranks: u64::from(ranks),
            slots: vec![None; workers as usize],
            size: 0,
            context_bytes: 0,
            growth_bytes: 0,
            step: 0,
            boundary_ns: 0,
            resume_ns: 0,
            leaves: BinaryHeap::new(),
            wakes: BinaryHeap::new(),
            due_ns: None,
            joined: 0,
            used: Used::default(),
        }
    }

    /// Computes a prompt's tokens: after the step under way and the prompts before it, before
    /// the next step. When that is done.
    pub fn prefill(&mut self, tokens: u64, now: u64) -> u64 {
        if tokens == 0 {
            return now;
        }
        self.finish_step(now);
        let computed_ns = u128::from(tokens) * u128::from(self.speed.prefill_ps_per_token) / 1000;
        let took_ns = narrow(computed_ns).max(self.speed.prefill_floor_ns);
        self.resume_ns = self.resume_ns.max(now).saturating_add(took_ns);
        self.used.prefill_tokens += tokens;
        self.used.prefill_ns += u128::from(took_ns);
        self.look_ahead();
        self.resume_ns
    }

    /// A worker's request with `context_tokens` before its answer joins at the next step.
    pub fn join(&mut self, worker: u32, context_tokens: u64, generate_tokens: u32, now: u64) {
        self.leave(worker, now);
        if generate_tokens == 0 {
            return;
        }
        self.finish_step(now);
        self.resume_ns = self.resume_ns.max(now);
        let bytes = |tokens| self.model.bytes(tokens) / self.ranks;
        let context_bytes = bytes(context_tokens);
        let growth_bytes = bytes(context_tokens.saturating_add(1)) - context_bytes;
        let number = self.joined;
        self.slots[worker as usize] =
            Some(Slot { number, since_step: self.step, since_ns: now, context_bytes, growth_bytes });
        self.joined += 1;
        self.size += 1;
        self.used.most = self.used.most.max(self.size);
        self.context_bytes = self.context_bytes.saturating_add(context_bytes);
        self.growth_bytes = self.growth_bytes.saturating_add(growth_bytes);
        self.leaves.push(Reverse((self.step + u64::from(generate_tokens), number, worker)));
        self.look_ahead();
    }

    /// When a worker's request has `tokens` of its answer, if it has them; otherwise it is woken
    /// then.
    pub fn after(&mut self, worker: u32, tokens: u32, now: u64) -> Option<u64> {
        self.settle(now);
        // Who left has all tokens.
        let Some(slot) = self.slots[worker as usize] else { return Some(now) };
        let step = slot.since_step + u64::from(tokens);
        if self.time_of(step) <= now {
            return Some(now);
        }
        self.wakes.push(Reverse((step, slot.number, worker)));
        self.look_ahead();
        None
    }

    /// When something happens next.
    pub fn next(&self) -> Option<u64> {
        self.due_ns
    }

    /// Lets what happens at `now` happen: the worker that goes on, if one does.
    pub fn take(&mut self, now: u64) -> Option<u32> {
        self.settle(now);
        let woken = self.wakes.peek().filter(|Reverse((step, ..))| self.time_of(*step) <= now);
        let worker = woken.map(|Reverse((_, _, worker))| *worker);
        if worker.is_some() {
            self.wakes.pop();
        }
        self.look_ahead();
        worker
    }

    /// A worker's request is over. It has left before, unless it ends before its answer does.
    pub fn leave(&mut self, worker: u32, now: u64) {
        self.settle(now);
        if self.slots[worker as usize].is_some() {
            self.finish_step(now);
            self.remove(worker);
            self.look_ahead();
        }
    }

    /// What it was used for by the end.
    pub fn used(&self, end_ns: u64) -> GpuUse {
        let seconds = |ns: u128| ns as f64 / SECOND_NS as f64;
        let Used { prefill_tokens, prefill_ns, decode_tokens, decode_ns, generation_ns, steps, most } = self.used;
        GpuUse {
            name: self.speed.name.clone(),
            sha256: self.speed.sha256.clone(),
            prefill_tokens,
            prefill_s: seconds(prefill_ns),
            decode_tokens,
            decode_s: seconds(decode_ns),
            generation_s: seconds(generation_ns),
            busy_share: (prefill_ns + decode_ns) as f64 / end_ns.max(1) as f64,
            mean_batch: decode_tokens as f64 / steps.max(1) as f64,
            max_batch: most,
        }
    }

    /// Lets everybody leave who has all tokens by `now`.
    fn settle(&mut self, now: u64) {
        while let Some(&Reverse((step, number, worker))) = self.leaves.peek() {
            if self.slots[worker as usize].is_none_or(|slot| slot.number != number) {
                self.leaves.pop();
                continue;
            }
            if self.time_of(step) > now {
                return;
            }
            self.leaves.pop();
            self.advance(step);
            self.remove(worker);
        }
    }

    /// The step that is under way at `now` comes to its end with the batch that it began with.
    fn finish_step(&mut self, now: u64) {
        self.settle(now);
        if self.size > 0 && self.resume_ns < now {
            self.advance(self.step + self.steps_until(now));
        }
    }

    /// Steps up to `step` are over.
    fn advance(&mut self, step: u64) {
        if step <= self.step {
            return;
        }
        let steps = step - self.step;
        let took_ns = self.elapsed(steps);
        self.used.steps += steps;
        self.used.decode_tokens += steps * u64::from(self.size);
        self.used.decode_ns += u128::from(took_ns);
        self.boundary_ns = self.resume_ns.saturating_add(took_ns);
        self.resume_ns = self.boundary_ns;
        self.context_bytes = self.context_bytes.saturating_add(steps.saturating_mul(self.growth_bytes));
        self.step = step;
    }

    fn remove(&mut self, worker: u32) {
        let Some(slot) = self.slots[worker as usize].take() else { return };
        self.size -= 1;
        let grown = (self.step - slot.since_step).saturating_mul(slot.growth_bytes);
        self.context_bytes = self.context_bytes.saturating_sub(slot.context_bytes.saturating_add(grown));
        self.growth_bytes = self.growth_bytes.saturating_sub(slot.growth_bytes);
        self.used.generation_ns += u128::from(self.boundary_ns.saturating_sub(slot.since_ns));
    }

    fn look_ahead(&mut self) {
        // Without anybody to wake, who left is found out when the next one comes.
        self.due_ns = self.wakes.peek().map(|Reverse((wake, ..))| {
            let first = self.leaves.peek().map_or(*wake, |Reverse((leave, ..))| (*leave).min(*wake));
            self.time_of(first)
        });
    }

    /// When a step is over, as things stand. What waits for an earlier step than the last waits
    /// for the last: the engine has let everything before happen.
    fn time_of(&self, step: u64) -> u64 {
        match step.checked_sub(self.step) {
            None | Some(0) => self.boundary_ns,
            Some(steps) => self.resume_ns.saturating_add(self.elapsed(steps)),
        }
    }

    /// What the next `steps` steps of the present batch take: each its own time, and the reading
    /// of a context that grows from step to step.
    fn elapsed(&self, steps: u64) -> u64 {
        let n = u128::from(steps);
        let own_ns = n * u128::from(self.speed.step_ns[self.size as usize]);
        let Some(rate) = self.speed.context_bytes_per_s else { return narrow(own_ns) };
        let grown = (n * (n.max(1) - 1) / 2).saturating_mul(u128::from(self.growth_bytes));
        let read_bytes = n.saturating_mul(u128::from(self.context_bytes)).saturating_add(grown);
        let read_ns = read_bytes.saturating_mul(u128::from(SECOND_NS)) / u128::from(rate);
        narrow(own_ns.saturating_add(read_ns))
    }

    /// The fewest steps after which it is `at_ns` or later: a guess by the square root, and
    /// whole-number steps from there.
    fn steps_until(&self, at_ns: u64) -> u64 {
        let Some(left_ns) = at_ns.checked_sub(self.resume_ns).filter(|left| *left > 0) else { return 0 };
        let rate = self.speed.context_bytes_per_s.map_or(0.0, |rate| SECOND_NS as f64 / rate as f64);
        let half_growth_ns = self.growth_bytes as f64 * rate / 2.0;
        let own_ns = self.speed.step_ns[self.size as usize] as f64 + self.context_bytes as f64 * rate;
        let first_ns = (own_ns - half_growth_ns).max(0.5);
        let root = (first_ns * first_ns + 4.0 * half_growth_ns * left_ns as f64).sqrt();
        let mut steps = ((2.0 * left_ns as f64 / (first_ns + root)) as u64).max(1);
        while steps > 1 && self.elapsed(steps - 1) >= left_ns {
            steps -= 1;
        }
        while self.elapsed(steps) < left_ns {
            steps += 1;
        }
        steps
    }
}

fn narrow(ns: u128) -> u64 {
    u64::try_from(ns).unwrap_or(u64::MAX)
}
