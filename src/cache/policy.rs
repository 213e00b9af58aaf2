//! What a replacement policy is: it is told what happens in one tier and names the next victim.

/// A replacement policy of one tier. Objects are named by their slot; a slot that was removed may
/// come back as another object.
pub trait Policy: std::fmt::Debug {
    /// A new object was stored.
    fn insert(&mut self, slot: u32, size_bytes: u64, now: u64);
    /// An object came down from a faster tier, last used at `last_use`.
    fn insert_demoted(&mut self, slot: u32, size_bytes: u64, last_use: u64);
    /// An object was used.
    fn touch(&mut self, slot: u32, now: u64);
    /// An object left the tier.
    fn remove(&mut self, slot: u32);
    /// The object that goes next; none when the tier is empty.
    fn victim(&self) -> Option<u32>;
}
