//! How an answer is generated from objects that are read again and again meanwhile: every so many
//! tokens all of them, spread evenly over the answer.

use super::objects::DecodeReads;
use super::service::{Visit, Wait};
use super::system::System;

/// An answer on its way.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    reads: DecodeReads,
    /// The rescan that comes next, from 1.
    next: u32,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// After the wait, the objects are read once more.
    Rescan(Wait),
    /// After the wait, the answer is complete.
    End(Wait),
}

impl Answer {
    /// The answer begins. `rereads`: whether there is something to be read again.
    pub fn begin(rereads: bool, visit: &mut Visit, now: u64, system: &mut System<'_>) -> Self {
        visit.begin_generating(now, system);
        let reads = if rereads { system.config.objects.decode_reads } else { DecodeReads::None };
        Self { reads, next: 1 }
    }

    /// Waits for the tokens before the next rescan, or after the last one for the answer's end.
    pub fn next(&mut self, generate_tokens: u32) -> Next {
        match self.reads.tokens_before(self.next, generate_tokens) {
            None => Next::End(Wait::Tokens(generate_tokens)),
            Some(tokens) => {
                self.next += 1;
                Next::Rescan(Wait::Tokens(tokens))
            }
        }
    }
}
