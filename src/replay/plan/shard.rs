//! Which rows of a trace belong to a shard: all of a key's, so that what happens to an object
//! happens in one place. With an order across objects, all rows of a conversation as well.

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::measure::runs::Shard;
use crate::seed::{hash_bytes, mix};
use crate::trace::Record;

use crate::replay::config::Order;

/// Decides row by row. Every rank decides alike.
pub struct Split {
    shard: Option<(u32, u32)>,
    order: Order,
    /// Where an object is, with an order across objects.
    homes: HashMap<Arc<str>, u32>,
    /// Where a request or conversation is, with an order across objects.
    chains: HashMap<u64, u32>,
}

impl Split {
    /// For a shard, or the whole trace.
    pub fn new(shard: Option<&Shard>, order: Order) -> Self {
        let shard = shard.map(|shard| (shard.index, shard.count));
        Self { shard, order, homes: HashMap::new(), chains: HashMap::new() }
    }

    /// Whether this is a part of the trace, not all of it.
    pub fn is_partial(&self) -> bool {
        self.shard.is_some()
    }

    /// Whether a row is the shard's.
    ///
    /// # Errors
    /// When the row's request or conversation would have to be in two shards.
    pub fn owns(&mut self, record: &Record) -> Result<bool> {
        let Some((index, count)) = self.shard else { return Ok(true) };
        if self.order == Order::Key {
            return Ok(owner(&record.key, count) == index);
        }
        // An object is where the first conversation is that uses it.
        let home = *self.homes.entry(Arc::clone(&record.key)).or_insert_with(|| {
            let named = record.conversation.as_ref().unwrap_or(&record.key);
            owner(named, count)
        });
        let chain = match self.order {
            Order::Request => record.request,
            _ => record.conversation.as_ref().map(|name| hash_bytes(name.as_bytes())),
        };
        let there = chain.map_or(home, |chain| *self.chains.entry(chain).or_insert(home));
        if there == home {
            return Ok(home == index);
        }
        Err(Error::usage(format!(
            "--order {0}: `{1}` is used by more than one conversation, and they are in different shards, so that their \
             order cannot be kept; use --order key, or --shard 0/1",
            self.order.word(),
            record.key
        )))
    }
}

/// The shard of a name: its hash, mixed once more (the hash itself keys the data), scaled to the
/// number of shards.
fn owner(name: &str, count: u32) -> u32 {
    ((u128::from(mix(hash_bytes(name.as_bytes()))) * u128::from(count)) >> 64) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::trace::{Op, Phase, Tier};

    use super::*;

    fn record(key: &str, conversation: Option<&str>, request: Option<u64>) -> Record {
        Record {
            at_ns: 0,
            op: Op::Write,
            size_bytes: 1,
            tier: Tier::Storage,
            key: key.into(),
            phase: Phase::Prefill,
            request,
            conversation: conversation.map(Into::into),
            turn: None,
            tokens: None,
        }
    }

    fn split(index: u32, count: u32, order: Order) -> Split {
        Split::new(Some(&Shard { index, count, source: String::new() }), order)
    }

    proptest! {
        #[test]
        fn every_key_is_in_one_shard_and_shards_are_alike(count in 2u32..9, salt in any::<u32>()) {
            let mut rows = vec![0u32; count as usize];
            for i in 0..2000 {
                let record = record(&format!("conv_{salt}_{i}_turn_1"), None, None);
                let owners: Vec<_> =
                    (0..count).filter(|&index| split(index, count, Order::Key).owns(&record).unwrap()).collect();
                prop_assert_eq!(owners.len(), 1);
                rows[owners[0] as usize] += 1;
            }
            let (least, most) = (rows.iter().min().unwrap(), rows.iter().max().unwrap());
            prop_assert!(most - least < 2000 / count, "{:?}", rows);
        }
    }

    #[test]
    fn an_order_keeps_conversations_together_or_is_refused() {
        let whose = |order| {
            let mut splits = [split(0, 2, order), split(1, 2, order)];
            move |record: &Record| -> Result<Vec<bool>> { splits.iter_mut().map(|s| s.owns(record)).collect() }
        };
        let mut decide = whose(Order::Conversation);
        let mut names = (0..).map(|i| format!("c{i}"));
        let first = names.by_ref().find(|name| owner(name, 2) == 0).unwrap();
        let second = names.find(|name| owner(name, 2) == 1).unwrap();
        for turn in 0..20 {
            assert_eq!(decide(&record(&format!("a{turn}"), Some(&first), Some(turn))).unwrap(), [true, false]);
            assert_eq!(decide(&record(&format!("b{turn}"), Some(&second), Some(turn))).unwrap(), [false, true]);
        }
        assert_eq!(decide(&record("a3", None, None)).unwrap(), [true, false]);
        let said = decide(&record("a3", Some(&second), Some(99))).unwrap_err().to_string();
        assert!(said.contains("`a3`") && said.contains("--order key"), "{said}");
        let mut decide = whose(Order::Request);
        assert_eq!(decide(&record("x", Some(&first), Some(1))).unwrap(), [true, false]);
        assert!(decide(&record("y", Some(&second), Some(1))).is_err());
    }
}
