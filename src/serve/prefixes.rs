//! Shared system prompts: which of them have an object, of one per prompt.

use crate::cache::{Cache, Id};
use crate::workload::prompts;

/// The objects of the shared prompts.
#[derive(Debug)]
pub struct Prefixes {
    objects: [Option<Id>; prompts::ALL.len()],
    /// The prompts that have an object, the one used longest ago first.
    used: Vec<u8>,
    most: usize,
}

impl Prefixes {
    /// No object yet, and at most so many at a time, above 0.
    pub fn new(most: u32) -> Self {
        Self { objects: [None; prompts::ALL.len()], used: Vec::new(), most: most as usize }
    }

    /// The object that was last stored for a prompt; it may be gone by now.
    pub fn object(&self, prompt: u8) -> Option<Id> {
        self.objects[usize::from(prompt)]
    }

    /// A prompt's object was read.
    pub fn used(&mut self, prompt: u8) {
        self.used.retain(|other| *other != prompt);
        self.used.push(prompt);
    }

    /// A prompt's object was stored, or could not be. Beyond the limit, the object that was used
    /// longest ago is nobody's any more.
    pub fn stored(&mut self, prompt: u8, id: Option<Id>, cache: &mut Cache) {
        self.objects[usize::from(prompt)] = id;
        self.used(prompt);
        if self.used.len() > self.most {
            let forgotten = self.used.remove(0);
            if let Some(id) = self.objects[usize::from(forgotten)].take() {
                cache.abandon(id);
            }
        }
    }
}
