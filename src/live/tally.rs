//! What was met on the way and how often: unknown fields, things left out and why.

use std::collections::BTreeMap;

/// Counts by what is counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct Tally(BTreeMap<String, u64>);

impl Tally {
    /// Most different things that are told apart: a damaged file must not fill memory with names.
    const MOST: usize = 256;

    /// Counts one more.
    pub fn count(&mut self, what: &str) {
        self.add(what, 1);
    }

    /// Counts more of it.
    pub fn add(&mut self, what: &str, items: u64) {
        if items == 0 {
            return;
        }
        match self.0.get_mut(what) {
            Some(count) => *count += items,
            None => {
                let name = if self.0.len() < Self::MOST { what } else { "others" };
                *self.0.entry(name.to_owned()).or_default() += items;
            }
        }
    }

    /// The counts.
    pub fn counts(&self) -> &BTreeMap<String, u64> {
        &self.0
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
