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
}

impl Backlog {
    /// The next row was due at `sched` and has no room at `now`.
    pub fn block(&mut self, sched: u64, now: u64) {
        if self.blocked {
            return;
        }
        self.blocked = true;
        if sched > self.until || self.until == 0 {
            self.since = now;
        }
    }

    /// Whether the next row waits for room.
    pub fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// A row that was due at `sched` gets its room at `now`. How long it waited for it.
    pub fn admit(&mut self, sched: u64, now: u64) -> u64 {
        if std::mem::take(&mut self.blocked) {
            self.until = now;
        }
        self.until.saturating_sub(sched.max(self.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_behind_a_waiting_row_have_waited_too() {
        let mut backlog = Backlog::default();
        assert_eq!(backlog.admit(5, 7), 0);
        backlog.block(10, 20);
        backlog.block(10, 30);
        assert!(backlog.is_blocked());
        assert_eq!((backlog.admit(10, 50), backlog.admit(12, 51), backlog.admit(45, 52)), (30, 30, 5));
        assert_eq!(backlog.admit(51, 60), 0, "it became due when nothing was blocked");
        backlog.block(49, 61);
        assert_eq!(backlog.admit(49, 70), 21, "the queue had not been empty since");
        backlog.block(90, 91);
        assert_eq!(backlog.admit(90, 95), 4);
    }
}
