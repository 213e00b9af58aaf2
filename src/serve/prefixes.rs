//! Shared system prompts: which of them have an object, of one per prompt.

use crate::cache::Id;
use crate::workload::prompts;

/// The objects of the shared prompts.
#[derive(Debug, Default)]
pub struct Prefixes {
    objects: [Option<Id>; prompts::ALL.len()],
}

impl Prefixes {
    /// The object that was last stored for a prompt; it may be gone by now.
    pub fn object(&self, prompt: u8) -> Option<Id> {
        self.objects[usize::from(prompt)]
    }

    /// A prompt's object was stored, or could not be.
    pub fn stored(&mut self, prompt: u8, id: Option<Id>) {
        self.objects[usize::from(prompt)] = id;
    }
}
