//! Conversations that are going on: which objects hold their earlier turns.

use rustc_hash::FxHashMap;

use crate::cache::{Cache, Id, List};

/// The earlier turns of a conversation, as one of its requests finds them.
#[derive(Debug, Default)]
pub struct History {
    /// Objects that were written, oldest turn first; they may be gone by now.
    pub objects: Vec<Id>,
    /// Turns whose objects are unknown: forgotten with the conversation, or never written.
    pub unknown: u32,
}

/// The conversations, up to a limit, beyond which the one that was used longest ago is forgotten.
#[derive(Debug)]
pub struct Conversations {
    limit: Option<u64>,
    by_ordinal: FxHashMap<u64, u32>,
    live: Vec<Live>,
    free: Vec<u32>,
    /// Slots in the order of their last request, when there is a limit.
    order: List,
}

#[derive(Debug, Default)]
struct Live {
    ordinal: u64,
    /// Turns before the ones below that nothing is known of.
    forgotten: u32,
    turns: Vec<(u32, Option<Id>)>,
}

impl Conversations {
    /// No conversation yet.
    pub fn new(limit: Option<u64>) -> Self {
        Self { limit, by_ordinal: FxHashMap::default(), live: Vec::new(), free: Vec::new(), order: List::default() }
    }

    /// A request of a conversation is served: the objects of its earlier turns are put into
    /// `history`. `writes`: whether the turn will store an object.
    pub fn begin_turn(&mut self, ordinal: u64, turn: u32, writes: bool, history: &mut History, cache: &mut Cache) {
        let slot = match self.by_ordinal.get(&ordinal) {
            Some(slot) => *slot,
            None => self.open(ordinal, turn, cache),
        };
        if self.limit.is_some() {
            self.order.remove(slot);
            self.order.push_back(slot);
        }
        let live = &mut self.live[slot as usize];
        history.objects.clear();
        history.objects.extend(live.turns.iter().filter(|(earlier, _)| *earlier < turn).filter_map(|(_, id)| *id));
        let unwritten = live.turns.iter().filter(|(earlier, id)| *earlier < turn && id.is_none()).count();
        history.unknown = live.forgotten + unwritten as u32;
        if writes {
            live.turns.push((turn, None));
        }
    }

    /// The object of a turn was stored. A conversation that is over or forgotten has no use for it.
    pub fn stored(&mut self, ordinal: u64, turn: u32, id: Id, cache: &mut Cache) {
        let live = self.by_ordinal.get(&ordinal).map(|slot| &mut self.live[*slot as usize]);
        match live.and_then(|live| live.turns.iter_mut().rfind(|(number, _)| *number == turn)) {
            Some((_, place)) => *place = Some(id),
            None => cache.abandon(id),
        }
    }

    /// The last turn of a conversation has ended.
    pub fn end(&mut self, ordinal: u64, cache: &mut Cache) {
        if let Some(slot) = self.by_ordinal.get(&ordinal) {
            self.forget(*slot, cache);
        }
    }

    fn open(&mut self, ordinal: u64, turn: u32, cache: &mut Cache) -> u32 {
        while self.limit.is_some_and(|limit| self.by_ordinal.len() as u64 >= limit.max(1)) {
            let oldest = self.order.front().expect("as many conversations are in the order as are live");
            self.forget(oldest, cache);
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.live.push(Live::default());
            self.live.len() as u32 - 1
        });
        let live = &mut self.live[slot as usize];
        (live.ordinal, live.forgotten) = (ordinal, turn - 1);
        self.by_ordinal.insert(ordinal, slot);
        slot
    }

    fn forget(&mut self, slot: u32, cache: &mut Cache) {
        let live = &mut self.live[slot as usize];
        for id in live.turns.drain(..).filter_map(|(_, id)| id) {
            cache.abandon(id);
        }
        self.by_ordinal.remove(&live.ordinal);
        self.order.remove(slot);
        self.free.push(slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::{Limits, NewObject};
    use crate::trace::Key;

    struct World {
        conversations: Conversations,
        cache: Cache,
    }

    impl World {
        fn new(limit: u64) -> Self {
            let limits = Limits { capacity_bytes: [None; 3], target_usage: 0.8 };
            Self { conversations: Conversations::new(Some(limit)), cache: Cache::new(limits) }
        }

        /// Serves a turn; what it found of the earlier ones.
        fn turn(&mut self, ordinal: u64, turn: u32) -> (usize, u32) {
            let mut history = History::default();
            self.conversations.begin_turn(ordinal, turn, true, &mut history, &mut self.cache);
            let object = NewObject { key: Key::Block(ordinal), size_bytes: 1, tokens: 1 };
            let id = self.cache.insert(object, &mut Vec::new()).unwrap();
            self.conversations.stored(ordinal, turn, id, &mut self.cache);
            (history.objects.len(), history.unknown)
        }
    }

    #[test]
    fn a_turn_finds_all_earlier_ones() {
        let mut world = World::new(10);
        assert_eq!((1..=4).map(|turn| world.turn(0, turn).0).collect::<Vec<_>>(), [0, 1, 2, 3]);
    }

    #[test]
    fn beyond_the_limit_the_one_used_longest_ago_is_forgotten() {
        let mut world = World::new(2);
        world.turn(0, 1);
        world.turn(1, 1);
        world.turn(0, 2);
        world.turn(2, 1);
        assert_eq!(world.cache.orphans(), 1);
        assert_eq!(world.turn(1, 2), (0, 1), "its first turn is unknown now");
    }

    #[test]
    fn what_belongs_to_an_ended_conversation_is_an_orphan() {
        let mut world = World::new(10);
        world.turn(0, 1);
        world.turn(0, 2);
        world.conversations.end(0, &mut world.cache);
        assert_eq!(world.cache.orphans(), 2);
        assert!(world.conversations.by_ordinal.is_empty() && world.conversations.order.front().is_none());
    }
}
