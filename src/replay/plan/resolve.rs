//! What a row means: which version of which object it reads or writes, whether it is the second
//! leg of a move, and whether the object has to be there from the start.
//!
//! An object lives on a tier from the write that put it there until a Delete row or a move takes
//! it away, or, in a trace that does not say when objects go, to the last row that uses it there.
//! Either way whatever a later row still asks for is still there, which survives rows that
//! contradict each other.

use std::collections::hash_map::Entry;
use std::hash::{DefaultHasher, Hash, Hasher};

use rustc_hash::FxHashMap;

use crate::error::Result;
use crate::seed::hash_bytes;
use crate::trace::{Meta, Op, Phase, Tier};

use super::copies::{Copies, Copy};
use super::names::NameWriter;
use super::rows::{JOINED, LAST_USE, Leg, Row, RowWriter};
use super::{Cold, PlanFacts};

/// In how many tiers an object is in a trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Placement {
    /// The trace does not say: a move down takes an object away, a move up may leave it.
    #[default]
    Unknown,
    /// In one: every move takes it away.
    Exclusive,
    /// In several: nothing but a Delete row takes a copy away.
    Inclusive,
}

impl Placement {
    /// What the metadata says.
    pub fn of(meta: &Meta) -> Self {
        match meta.flags.get("placement").and_then(serde_json::Value::as_str) {
            Some("exclusive") => Placement::Exclusive,
            Some("inclusive") => Placement::Inclusive,
            _ => Placement::Unknown,
        }
    }
}

/// Two hashes of a key's name that have nothing to do with each other. They stand for the name: of
/// a billion keys, two agree in both with a probability below 1e-20. The first keys the content.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Fingerprint(u64, u64);

impl Fingerprint {
    fn of(name: &str) -> Self {
        let mut second = DefaultHasher::new();
        name.hash(&mut second);
        Self(hash_bytes(name.as_bytes()), second.finish())
    }
}

/// A table that grows is there twice for a moment, so that there are many small ones.
const SHARDS: usize = 64;

type Keys = FxHashMap<Fingerprint, Key>;

/// What is known of every key that may still be asked for.
pub struct Resolver {
    keys: Vec<Keys>,
    cold: Vec<Cold>,
    placement: Placement,
}

/// Kept for every key that no Delete row has ended: 40 bytes, and 16 of its fingerprint.
struct Key {
    number: u32,
    /// Versions written so far.
    version: u32,
    /// Where it was put last.
    home: Option<Tier>,
    copies: Copies,
    /// Which copy the last row of the key read, if that was in a phase that moves objects.
    reading: Option<(Tier, Phase)>,
}

impl Resolver {
    /// For a trace in which nothing has happened.
    pub fn new(placement: Placement) -> Self {
        Self { keys: (0..SHARDS).map(|_| Keys::default()).collect(), cold: Vec::new(), placement }
    }

    /// Completes a row and appends it to `rows`.
    pub fn resolve(
        &mut self,
        mut row: Row,
        name: &str,
        rows: &mut RowWriter,
        names: &mut NameWriter,
        facts: &mut PlanFacts,
    ) -> Result<Row> {
        let fingerprint = Fingerprint::of(name);
        // Tables use the highest and the lowest bits themselves.
        let keys = &mut self.keys[(fingerprint.0 >> 40) as usize % SHARDS];
        let key = match keys.entry(fingerprint) {
            Entry::Occupied(there) => there.into_mut(),
            Entry::Vacant(free) => {
                let number = names.push(name)?;
                free.insert(Key { number, version: 0, home: None, copies: Copies::None, reading: None })
            }
        };
        (row.key, row.content) = (key.number, fingerprint.0);
        match row.op {
            Op::Read => {
                facts.misplaced_reads += u64::from(key.is_elsewhere(row.tier, self.placement));
                key.read(&mut row, rows, &mut self.cold, facts)?;
            }
            Op::Write => key.write(&mut row, self.placement, rows, facts)?,
            Op::Delete => {
                let gone = key.delete(&mut row, rows, facts)?;
                if gone {
                    keys.remove(&fingerprint);
                }
            }
        }
        Ok(row)
    }

    /// The trace has ended. What is still there stays to the end if the trace `says_deletes`;
    /// otherwise it was there up to its last use.
    pub fn finish(&mut self, rows: &mut RowWriter, says_deletes: bool) -> Result<Vec<Cold>> {
        let mut last_uses = Vec::new();
        for keys in std::mem::take(&mut self.keys) {
            let copies = keys.values().flat_map(|key| key.copies.iter());
            last_uses.extend(copies.filter(|copy| copy.gone || !says_deletes).map(|copy| copy.last_row));
        }
        rows.flag_all(last_uses, LAST_USE)?;
        Ok(std::mem::take(&mut self.cold))
    }
}

impl Key {
    /// Whether the object was put on another tier last, and has no copy on this one.
    fn is_elsewhere(&self, tier: Tier, placement: Placement) -> bool {
        let is_copy = self.copies.get(tier).is_some_and(|copy| !copy.gone);
        self.home.is_some_and(|home| home != tier) && !(is_copy && placement == Placement::Inclusive)
    }

    fn read(&mut self, row: &mut Row, rows: &mut RowWriter, cold: &mut Vec<Cold>, facts: &mut PlanFacts) -> Result<()> {
        let (tier, size, version) = (row.tier, row.size, self.version);
        if self.copies.get(tier).is_none() {
            cold.push(Cold { key: self.number, tier, size, content: row.content, version });
            self.copies.put(Copy { size, last_row: 0, version, tier, gone: false });
        }
        let copy = self.copies.get_mut(tier).expect("it is there or was just put there");
        if copy.gone {
            copy.gone = false;
            facts.misplaced_reads += u64::from(self.home == Some(row.tier));
            rows.change(copy.last_row, |row| row.flags &= !LAST_USE)?;
        }
        self.home.get_or_insert(row.tier);
        if row.size > copy.size {
            facts.clamped_rows += 1;
            row.size = copy.size;
        }
        row.version = copy.version;
        copy.last_row = rows.push(*row)?;
        self.reading = (row.phase != Phase::Prefill).then_some((tier, row.phase));
        Ok(())
    }

    fn write(
        &mut self,
        row: &mut Row,
        placement: Placement,
        rows: &mut RowWriter,
        facts: &mut PlanFacts,
    ) -> Result<()> {
        let from = self.reading.take().filter(|(tier, phase)| *phase == row.phase && *tier != row.tier);
        let from = from.and_then(|(tier, _)| self.copies.get(tier)).map(|copy| (copy.tier, copy.last_row));
        if let Some(old) = self.copies.take(row.tier) {
            rows.change(old.last_row, |row| row.flags |= LAST_USE)?;
        }
        self.home = Some(row.tier);
        if let Some((from, read_row)) = from
            && rows.len() - read_row <= u64::from(u32::MAX)
        {
            let source = self.copies.get_mut(from).expect("what was just read is there");
            // An object that is in one tier leaves the one from which it is promoted: the row before.
            let promoted = row.tier < from && rows.len() == read_row + 1;
            source.gone |= row.phase == Phase::Evict || (promoted && placement == Placement::Exclusive);
            facts.clamped_rows += u64::from(row.size != source.size);
            row.size = source.size;
            row.version = source.version;
            row.flags |= JOINED;
            let leg = Leg { tier: row.tier, distance: (rows.len() - read_row) as u32, at_ns: row.at_ns };
            rows.change(read_row, |read| {
                read.leg = Some(leg);
                read.size = row.size;
            })?;
            facts.moves += 1;
        } else {
            let new = row.phase == Phase::Prefill || self.version == 0;
            self.version += u32::from(new);
            row.version = self.version;
        }
        let last_row = rows.push(*row)?;
        let (tier, version, size) = (row.tier, row.version, row.size);
        self.copies.put(Copy { size, last_row, version, tier, gone: false });
        Ok(())
    }

    /// True when nothing of the key is left, so that it can be forgotten.
    fn delete(&mut self, row: &mut Row, rows: &mut RowWriter, facts: &mut PlanFacts) -> Result<bool> {
        self.reading = None;
        let number = rows.len();
        match self.copies.get_mut(row.tier) {
            Some(copy) if !copy.gone => {
                row.flags |= LAST_USE;
                (row.size, row.version) = (copy.size, copy.version);
                (copy.last_row, copy.gone) = (number, true);
            }
            _ => facts.idle_deletes += 1,
        }
        rows.push(*row)?;
        if self.home == Some(row.tier) {
            self.home = None;
        }
        if self.copies.iter().any(|copy| !copy.gone) {
            return Ok(false);
        }
        for copy in self.copies.iter() {
            rows.change(copy.last_row, |row| row.flags |= LAST_USE)?;
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::plan::rows::RowWriter;

    /// Resolves `(op, size, tier, key, phase)` rows.
    fn resolve(text: &str) -> (Vec<Row>, Vec<Cold>, PlanFacts) {
        resolve_as(text, false)
    }

    /// The same; `says_deletes` for a trace of which every Delete row is there.
    fn resolve_as(text: &str, says_deletes: bool) -> (Vec<Row>, Vec<Cold>, PlanFacts) {
        resolve_in(text, says_deletes, Placement::Unknown)
    }

    fn resolve_in(text: &str, says_deletes: bool, placement: Placement) -> (Vec<Row>, Vec<Cold>, PlanFacts) {
        let (mut rows, mut names) = (RowWriter::new().unwrap(), NameWriter::new().unwrap());
        let (mut resolver, mut facts) = (Resolver::new(placement), PlanFacts::default());
        for (at, line) in text.lines().map(str::trim).filter(|l| !l.is_empty()).enumerate() {
            let fields: Vec<_> = line.split(' ').collect();
            let row = Row {
                at_ns: at as i64,
                size: fields[1].parse().unwrap(),
                content: 0,
                request: None,
                chain: u32::MAX,
                key: 0,
                version: 0,
                op: fields[0].parse().unwrap(),
                tier: format!("Tier-{}", fields[2]).parse().unwrap(),
                phase: fields[4].parse().unwrap(),
                flags: 0,
                leg: None,
            };
            resolver.resolve(row, fields[3], &mut rows, &mut names, &mut facts).unwrap();
        }
        let cold = resolver.finish(&mut rows, says_deletes).unwrap();
        let rows = rows.finish().unwrap();
        let mut iter = rows.iter();
        let all = std::iter::from_fn(|| iter.next_row().unwrap()).collect();
        (all, cold, facts)
    }

    fn last_uses(rows: &[Row]) -> Vec<usize> {
        (0..rows.len()).filter(|&i| rows[i].has(LAST_USE)).collect()
    }

    #[test]
    fn space_is_freed_at_the_last_use_where_no_row_deletes() {
        let (rows, cold, _) =
            resolve("Write 10 2 a Prefill\nRead 10 2 a Decode\nWrite 10 2 b Prefill\nRead 10 2 a Decode");
        assert_eq!((last_uses(&rows), cold.len()), (vec![2, 3], 0));
    }

    #[test]
    fn space_is_freed_by_deletes_and_moves_alone_where_all_of_them_are_there() {
        let (rows, cold, _) = resolve_as(
            "Write 10 0 a Prefill\nRead 10 0 a Evict\nWrite 10 1 a Evict\nWrite 10 2 b Prefill\nRead 10 2 b Decode\n\
             Read 10 1 a Decode\nDelete 10 2 b Evict",
            true,
        );
        assert_eq!((last_uses(&rows), cold.len()), (vec![1, 6], 0));
    }

    #[test]
    fn an_evict_pair_is_one_move_and_keeps_the_version() {
        let (rows, _, facts) = resolve(
            "Write 10 0 a Prefill\nWrite 10 0 a Prefill\nRead 10 0 a Evict\nRead 5 0 b Decode\nWrite 10 1 a Evict\nRead 10 1 a Decode",
        );
        assert_eq!(rows[2].leg, Some(Leg { tier: Tier::Dram, distance: 2, at_ns: 4 }));
        assert!(rows[4].has(JOINED) && facts.moves == 1);
        assert_eq!([rows[0].version, rows[1].version, rows[4].version, rows[5].version], [1, 2, 2, 2]);
        assert_eq!(last_uses(&rows), [0, 2, 3, 5]);
    }

    #[test]
    fn a_promotion_takes_an_object_away_only_where_it_is_in_one_tier() {
        let text = "Write 10 2 a Prefill\nRead 10 2 a Decode\nWrite 10 0 a Decode\nRead 10 0 a Decode";
        let freed = |placement| {
            let (rows, cold, facts) = resolve_in(text, true, placement);
            assert!(rows[2].has(JOINED) && facts.moves == 1 && cold.is_empty());
            last_uses(&rows)
        };
        assert_eq!(freed(Placement::Exclusive), [1]);
        assert_eq!(freed(Placement::Inclusive), [0usize; 0]);
        assert_eq!(freed(Placement::Unknown), [0usize; 0]);
        // What is read and later stored again is not promoted.
        let text = "Write 9 2 a Prefill\nRead 9 2 a Decode\nRead 9 1 b Decode\nWrite 9 0 a Decode\nRead 9 2 a Decode";
        assert_eq!(last_uses(&resolve_in(text, true, Placement::Exclusive).0), [0usize; 0]);
    }

    #[test]
    fn a_copy_on_each_tier_is_where_it_belongs() {
        let text = "Write 9 0 a Prefill\nWrite 9 1 a Prefill\nWrite 9 2 a Prefill\nRead 9 0 a Decode\n\
                    Delete 9 0 a Evict\nRead 9 1 a Decode\nWrite 9 0 a Decode\nRead 9 0 a Decode\nRead 9 2 a Decode";
        let (rows, cold, facts) = resolve_in(text, true, Placement::Inclusive);
        assert_eq!((facts.misplaced_reads, facts.moves, cold.len(), last_uses(&rows)), (0, 1, 0, vec![4]));
        let lost = "Write 9 0 a Prefill\nWrite 9 1 a Prefill\nDelete 9 0 a Evict\nRead 9 0 a Decode";
        assert_eq!(resolve_in(lost, true, Placement::Inclusive).2.misplaced_reads, 1);
    }

    #[test]
    fn an_evict_write_after_another_row_of_its_key_is_no_move() {
        let (rows, _, facts) =
            resolve("Write 10 0 a Prefill\nRead 10 0 a Evict\nRead 10 0 a Decode\nWrite 10 1 a Evict");
        assert!(rows.iter().all(|row| row.leg.is_none()) && facts.moves == 0);
        assert_eq!(rows[3].version, 1);
    }

    #[test]
    fn what_is_read_before_it_is_written_is_there_from_the_start() {
        let (_, cold, facts) = resolve("Read 10 2 a Decode\nWrite 7 0 b Prefill\nRead 7 1 b Decode");
        let places: Vec<_> = cold.iter().map(|c| (c.key, c.tier, c.size, c.version)).collect();
        assert_eq!(places, [(0, Tier::Storage, 10, 0), (1, Tier::Dram, 7, 1)]);
        assert_eq!(facts.misplaced_reads, 1);
    }

    #[test]
    fn rows_that_contradict_each_other_are_survived_and_counted() {
        let (rows, cold, facts) = resolve(
            "Write 10 2 a Prefill\nRead 20 2 a Decode\nDelete 10 2 a Evict\nDelete 10 2 c Evict\nWrite 10 0 a Prefill",
        );
        assert_eq!((rows[1].size, facts.clamped_rows, facts.idle_deletes, cold.len()), (10, 1, 1, 0));
        let (rows, cold, facts) = resolve(
            "Write 9 1 a Prefill\nRead 9 1 a Decode\nWrite 9 2 a Decode\nDelete 9 2 a Evict\nRead 9 2 a Decode\nRead 9 1 a Decode",
        );
        assert_eq!((cold.len(), last_uses(&rows)), (0, vec![4, 5]));
        assert!(facts.misplaced_reads > 0);
    }

    #[test]
    fn a_deleted_key_is_forgotten_and_may_come_again() {
        let (rows, cold, _) =
            resolve("Write 9 2 a Prefill\nDelete 9 2 a Evict\nWrite 9 2 a Prefill\nRead 9 2 a Decode");
        assert_eq!((last_uses(&rows), cold.len()), (vec![1, 3], 0));
        assert_ne!(rows[0].key, rows[2].key);
    }
}
