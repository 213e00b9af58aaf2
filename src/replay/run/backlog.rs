//! How long rows waited for room among the operations or on a tier. Rows become operations in
//! order, so that all rows that were due while the first of them waited have waited with it.

/// Follows the times in which the next row is due and has no room.
#[derive(Debug, Default)]
pub struct Backlog {
    /// Since when rows have been waiting, one after the other.
    since: u64,
    /// When the latest of them got its room.
    until: u64,
    blocked: bool,
    /// What the clock of our own delay said then and then.
    ours: (u64, u64),
}

impl Backlog {
    /// The next row was due at `sched` and has no room at `now`; `ours` is the time that has been
    /// our own delay so far.
    pub fn block(&mut self, sched: u64, now: u64, ours: u64) {
        if self.blocked {
            return;
        }
        self.blocked = true;
        if sched > self.until || self.until == 0 {
            (self.since, self.ours.0) = (now, ours);
        }
    }

    /// Whether the next row waits for room.
    pub fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// A row that was due at `sched` gets its room at `now`. How long it waited for it, without
    /// the share of that time in which only our own delay kept the room from becoming free.
    pub fn admit(&mut self, sched: u64, now: u64, ours: u64) -> u64 {
        if std::mem::take(&mut self.blocked) {
            (self.until, self.ours.1) = (now, ours);
        }
        let waited = self.until.saturating_sub(sched.max(self.since));
        let (all, own) = (self.until.saturating_sub(self.since), self.ours.1.saturating_sub(self.ours.0));
        if own == 0 { waited } else { waited - (waited as f64 * (own as f64 / all as f64).min(1.0)) as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_behind_a_waiting_row_have_waited_too() {
        let mut backlog = Backlog::default();
        assert_eq!(backlog.admit(5, 7, 0), 0);
        backlog.block(10, 20, 0);
        backlog.block(10, 30, 0);
        assert!(backlog.is_blocked());
        assert_eq!((backlog.admit(10, 50, 0), backlog.admit(12, 51, 0), backlog.admit(45, 52, 0)), (30, 30, 5));
        assert_eq!(backlog.admit(51, 60, 0), 0, "it became due when nothing was blocked");
        backlog.block(49, 61, 0);
        assert_eq!(backlog.admit(49, 70, 0), 21, "the queue had not been empty since");
        backlog.block(90, 91, 0);
        assert_eq!(backlog.admit(90, 95, 0), 4);
    }

    #[test]
    fn room_that_we_did_not_free_in_time_is_not_waited_for() {
        let mut backlog = Backlog::default();
        backlog.block(10, 100, 1_000);
        assert_eq!(backlog.admit(10, 300, 1_050), 150, "a quarter of 200 was our own delay");
        assert_eq!(backlog.admit(200, 301, 1_050), 75);
        backlog.block(400, 400, 2_000);
        assert_eq!(backlog.admit(400, 500, 2_100), 0, "all of it was");
    }
}
