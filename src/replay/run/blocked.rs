//! Clocks of the time in which an operation could not start however quick we were: the limit of
//! bytes in flight was reached, or an earlier operation had the memory tier. Time that we took
//! meanwhile for making data up and checking it is our own, and not counted. One more clock runs
//! while nothing but that holds operations back.

/// Clocks that run while something is blocked.
#[derive(Debug, Default)]
pub struct Blocked {
    totals: [u64; 4],
    since: [Option<u64>; 4],
    own: [u64; 4],
}

impl Blocked {
    /// Bytes in flight are at their limit.
    pub const STORAGE: usize = 0;
    /// An earlier operation is being copied.
    pub const MEMORY: usize = 1;
    /// Not blocked: what could be written has not been made up yet, which is nobody's fault but
    /// ours.
    pub const OURS: usize = 2;
    /// A GPU's stream is full of earlier copies.
    pub const GPU: usize = 3;
    /// Nothing blocks a modelled tier.
    pub const NOTHING: usize = 4;

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
        let mut blocked = Blocked::default();
        blocked.set(Blocked::STORAGE, true, 10);
        blocked.set(Blocked::STORAGE, true, 15);
        assert_eq!(blocked.total(Blocked::STORAGE, 30), 20);
        blocked.set(Blocked::STORAGE, false, 40);
        assert_eq!((blocked.total(Blocked::STORAGE, 99), blocked.total(Blocked::MEMORY, 99)), (30, 0));
        assert_eq!(blocked.total(Blocked::NOTHING, 99), 0);
        blocked.own_work(Blocked::STORAGE, 5);
        blocked.set(Blocked::STORAGE, true, 100);
        blocked.own_work(Blocked::STORAGE, 7);
        assert_eq!(blocked.total(Blocked::STORAGE, 110), 33);
    }
}
