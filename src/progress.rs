//! How long-running library work says how far it is, without knowing about terminals.

/// A receiver of progress. All methods may be called from any thread.
pub trait Progress: Sync {
    /// A stage begins: its name, its expected total if known, and the total's unit
    /// (`"bytes"`, `"rows"`, `"requests"`, `"ms"`).
    fn stage(&self, name: &str, total: Option<u64>, unit: &'static str);
    /// `amount` more units of the current stage are done.
    fn advance(&self, amount: u64);
    /// The current stage has ended.
    fn done(&self);
}

/// Progress that goes nowhere.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn stage(&self, _name: &str, _total: Option<u64>, _unit: &'static str) {}
    fn advance(&self, _amount: u64) {}
    fn done(&self) {}
}
