//! Clocks of the time in which an operation could not start however quick we were: the limit of
//! bytes in flight was reached, or an earlier operation had the memory tier. Time that we took
//! meanwhile for making data up and checking it is our own, and not counted. One more clock runs
//! while nothing but that holds operations back.

/// Clocks that run while something is blocked.
#[derive(Debug)]
pub struct Blocked {
    totals: Vec<u64>,
    since: Vec<Option<u64>>,
    own: Vec<u64>,
}

/// Clocks before those of the storage targets.
const OTHERS: usize = 3;

impl Blocked {
    /// An earlier operation is being copied.
    pub const MEMORY: usize = 0;
    /// Not blocked: what could be written has not been made up yet, which is nobody's fault but
    /// ours.
    pub const OURS: usize = 1;
    /// A GPU's stream is full of earlier copies.
    pub const GPU: usize = 2;
    /// Nothing blocks a modelled tier.
    pub const NOTHING: usize = usize::MAX;

    /// For so many storage targets.
    pub fn new(targets: usize) -> Self {
        let clocks = OTHERS + targets;
        Self { totals: vec![0; clocks], since: vec![None; clocks], own: vec![0; clocks] }
    }

    /// Bytes in flight on a storage target are at their limit.
    pub fn storage(target: u32) -> usize {
        OTHERS + target as usize
    }

    /// Says whether `what` is blocked from now on.
    pub fn set(&mut self, what: usize, blocked: bool, now: u64) {
        match (self.since[what], blocked) {
            (None, true) => self.since[what] = Some(now),
            (Some(since), false) => {
                self.totals[what] += now.saturating_sub(since);
                self.since[what] = None;
            }
            _ => {}
        }
    }

    /// Whether `what` is blocked.
    pub fn is_running(&self, what: usize) -> bool {
        self.since[what].is_some()
    }

    /// Whether a storage target is at its limit.
    pub fn is_storage_running(&self) -> bool {
        self.since[OTHERS..].iter().any(Option::is_some)
    }

    /// So much of the latest time was our own work.
    pub fn own_work(&mut self, what: usize, ns: u64) {
        if self.since[what].is_some() {
            self.own[what] += ns;
        }
    }

    /// How long `what` has been blocked, all in all.
    pub fn total(&self, what: usize, now: u64) -> u64 {
        match self.totals.get(what) {
            Some(total) => {
                let running = self.since[what].map_or(0, |since| now.saturating_sub(since));
                (total + running).saturating_sub(self.own[what])
            }
            None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_run_only_while_blocked() {
        let mut blocked = Blocked::new(2);
        let storage = Blocked::storage(1);
        blocked.set(storage, true, 10);
        blocked.set(storage, true, 15);
        assert_eq!(blocked.total(storage, 30), 20);
        blocked.set(storage, false, 40);
        assert_eq!((blocked.total(storage, 99), blocked.total(Blocked::MEMORY, 99)), (30, 0));
        assert_eq!(blocked.total(Blocked::NOTHING, 99), 0);
        blocked.own_work(storage, 5);
        blocked.set(storage, true, 100);
        blocked.own_work(storage, 7);
        assert_eq!(blocked.total(storage, 110), 33);
    }
}
