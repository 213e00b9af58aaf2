//! Clocks of the time in which an operation could not start however quick we were: the limit of
//! bytes in flight was reached, or the memory tier was busy.

/// Clocks that run while something is blocked.
#[derive(Debug, Default)]
pub struct Blocked {
    totals: [u64; 2],
    since: [Option<u64>; 2],
}

impl Blocked {
    /// Bytes in flight are at their limit.
    pub const STORAGE: usize = 0;
    /// A copy is being made.
    pub const MEMORY: usize = 1;
    /// Nothing blocks a modelled tier.
    pub const NOTHING: usize = 2;

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

    /// Adds a time of being blocked that has passed.
    pub fn add(&mut self, what: usize, ns: u64) {
        self.totals[what] += ns;
    }

    /// How long `what` has been blocked, all in all.
    pub fn total(&self, what: usize, now: u64) -> u64 {
        match self.totals.get(what) {
            Some(total) => total + self.since[what].map_or(0, |since| now.saturating_sub(since)),
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
    }
}
