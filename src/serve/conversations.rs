//! Which objects hold the earlier turns of the conversations that are going on.

use crate::cache::{Cache, Id};

use super::live::Live;

/// The earlier turns of a conversation, as one of its requests finds them.
#[derive(Debug, Default)]
pub struct History {
    /// Turns before the ones below that were forgotten with the conversation.
    pub forgotten: u32,
    /// The objects of the turns, oldest first; one may be gone by now, or not written yet.
    pub objects: Vec<Option<Id>>,
    /// Tokens of the earlier turns, those apart that were forgotten.
    pub tokens: u64,
}

/// The conversations, up to a limit, beyond which the one that was used longest ago is forgotten.
#[derive(Debug)]
pub struct Conversations(Live<Turns>);

#[derive(Debug, Default)]
struct Turns {
    /// Turns before the ones below that nothing is known of.
    forgotten: u32,
    known: Vec<Turn>,
}

#[derive(Debug)]
struct Turn {
    number: u32,
    tokens: u32,
    object: Option<Id>,
}

impl Conversations {
    /// No conversation yet.
    pub fn new(limit: Option<u64>) -> Self {
        Self(Live::new(limit))
    }

    /// A request of a conversation is served: the objects of its earlier turns are put into
    /// `history`. `tokens`: how many the turn will store in an object, 0 when it stores none.
    pub fn begin_turn(&mut self, ordinal: u64, turn: u32, tokens: u32, history: &mut History, cache: &mut Cache) {
        let (turns, is_new) = self.0.touch(ordinal, |turns| turns.abandon(cache));
        if is_new {
            turns.forgotten = turn.saturating_sub(1);
        }
        let earlier = || turns.known.iter().filter(|earlier| earlier.number < turn);
        history.objects.clear();
        history.objects.extend(earlier().map(|earlier| earlier.object));
        history.forgotten = turns.forgotten;
        history.tokens = earlier().map(|earlier| u64::from(earlier.tokens)).sum();
        if tokens > 0 {
            turns.known.push(Turn { number: turn, tokens, object: None });
        }
    }

    /// The object of a turn was stored. A conversation that is over or forgotten has no use for it.
    pub fn stored(&mut self, ordinal: u64, turn: u32, id: Id, cache: &mut Cache) {
        let known = self.0.get_mut(ordinal).and_then(|turns| turns.known.iter_mut().find(|known| known.number == turn));
        match known {
            Some(known) => known.object = Some(id),
            None => cache.abandon(id),
        }
    }

    /// The last turn of a conversation has ended.
    pub fn end(&mut self, ordinal: u64, cache: &mut Cache) {
        self.0.end(ordinal, |turns| turns.abandon(cache));
    }
}

impl Turns {
    fn abandon(&mut self, cache: &mut Cache) {
        for id in self.known.drain(..).filter_map(|turn| turn.object) {
            cache.abandon(id);
        }
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
            self.conversations.begin_turn(ordinal, turn, 1, &mut history, &mut self.cache);
            let object = NewObject { key: Key::Block(ordinal), size_bytes: 1, tokens: 1 };
            let id = self.cache.insert(object, &mut Vec::new()).unwrap();
            self.conversations.stored(ordinal, turn, id, &mut self.cache);
            (history.objects.iter().flatten().count(), history.forgotten)
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
        assert!(world.conversations.0.is_empty());
    }
}
