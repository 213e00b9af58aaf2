//! What an operation waits for: the one before it on the same object always, and, if that was
//! asked for, the one before it of the same request or conversation.

use rustc_hash::FxHashMap;

use crate::error::Result;

use super::Run;
use crate::replay::prepare::objects::NONE;

/// The latest operation of each request or conversation that has operations on their way.
#[derive(Debug, Default)]
pub struct Chains {
    last: FxHashMap<u32, u32>,
}

impl Run<'_> {
    /// Puts a new operation behind those that it waits for. True when there are any.
    pub fn line_up(&mut self, index: u32, chain: u32) -> bool {
        let key = self.ops[index as usize].key;
        let mut holds = 0;
        let before = std::mem::replace(&mut self.stage.objects.live(key).last_op, index);
        if before != NONE {
            self.ops[before as usize].next = index;
            holds += 1;
        }
        if chain != NONE
            && let Some(before) = self.chains.last.insert(chain, index)
        {
            self.ops[before as usize].chain_next = index;
            holds += 1;
        }
        let op = &mut self.ops[index as usize];
        (op.chain, op.holds) = (chain, holds);
        holds > 0
    }

    /// An operation has ended: those that waited for nothing else go on.
    pub fn let_next_go_on(&mut self, index: u32, now: u64) -> Result<()> {
        let op = &self.ops[index as usize];
        let (key, chain, followers) = (op.key, op.chain, [op.next, op.chain_next]);
        if followers[0] == NONE {
            self.stage.objects.live(key).last_op = NONE;
            self.stage.objects.forget_if_idle(key);
        }
        if chain != NONE && followers[1] == NONE {
            self.chains.last.remove(&chain);
        }
        for follower in followers.into_iter().filter(|follower| *follower != NONE) {
            let holds = &mut self.ops[follower as usize].holds;
            *holds -= 1;
            if *holds == 0 {
                self.ready(follower, now, now)?;
            }
        }
        Ok(())
    }
}
