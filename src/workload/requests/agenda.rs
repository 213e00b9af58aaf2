//! Sessions without a common clock, put on one: so many go on at a time as there are users, and
//! whoever has ended one begins the next.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::vec;

use rustc_hash::FxHashMap;

use crate::error::Result;
use crate::seed::hash_bytes;

use super::entry::{Entry, Reading};
use super::kv_cache_tester::{Session, Sessions};

/// The requests of all sessions in the order of their stamps. Memory is bounded by the sessions
/// that go on, and 16 bytes for every name.
pub struct Agenda {
    files: vec::IntoIter<Reading>,
    sessions: Option<Sessions>,
    /// Users who have not begun.
    idle: usize,
    /// The next request of every session: (stamp, seat).
    next: BinaryHeap<Reverse<(u64, usize)>>,
    seats: Vec<Seat>,
    names: FxHashMap<u64, u32>,
    inversions: Arc<AtomicU64>,
    failed: bool,
}

struct Seat {
    began_ns: u64,
    session: Session,
}

impl Agenda {
    /// The sessions of `files`, held by `users` users.
    pub fn new(files: vec::IntoIter<Reading>, users: usize, inversions: Arc<AtomicU64>) -> Self {
        Self {
            files,
            sessions: None,
            idle: users,
            next: BinaryHeap::new(),
            seats: Vec::new(),
            names: FxHashMap::default(),
            inversions,
            failed: false,
        }
    }

    fn next_session(&mut self) -> Result<Option<Session>> {
        loop {
            if let Some(mut session) = self.sessions.as_mut().and_then(Iterator::next).transpose()? {
                let occurrence = self.names.entry(hash_bytes(session.name().as_bytes())).or_insert(0);
                *occurrence += 1;
                if *occurrence > 1 {
                    session.rename(&format!("#{occurrence}"));
                }
                self.inversions.fetch_add(session.inversions, Ordering::Relaxed);
                return Ok(Some(session));
            }
            let Some(file) = self.files.next() else { return Ok(None) };
            self.sessions = Some(Sessions::open(file)?);
        }
    }

    /// The user of a seat begins the next session that has a request.
    fn begin(&mut self, seat: usize, began_ns: u64) -> Result<()> {
        while let Some(session) = self.next_session()? {
            let Some(next_ns) = session.next_ns() else { continue };
            self.next.push(Reverse((began_ns.saturating_add(next_ns), seat)));
            let held = Seat { began_ns, session };
            match self.seats.get_mut(seat) {
                Some(place) => *place = held,
                None => self.seats.push(held),
            }
            break;
        }
        Ok(())
    }

    fn next_entry(&mut self) -> Result<Option<Entry>> {
        while self.idle > 0 {
            self.idle -= 1;
            let (seat, waiting) = (self.seats.len(), self.next.len());
            self.begin(seat, 0)?;
            if self.next.len() == waiting {
                self.idle = 0;
            }
        }
        let Some(Reverse((at_ns, seat))) = self.next.pop() else { return Ok(None) };
        let Seat { began_ns, session } = &mut self.seats[seat];
        let began_ns = *began_ns;
        let entry = session.next();
        match session.next_ns() {
            Some(next_ns) => self.next.push(Reverse((began_ns.saturating_add(next_ns), seat))),
            None => {
                let end_ns = began_ns.saturating_add(session.end_ns);
                self.begin(seat, end_ns)?;
            }
        }
        Ok(entry.map(|entry| Entry { at_ns, ..entry }))
    }
}

impl Iterator for Agenda {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.next_entry().transpose();
        self.failed = matches!(next, Some(Err(_)));
        next
    }
}
