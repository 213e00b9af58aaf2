//! Flags of the object model: what a key names, and which objects a request reads.

use super::{Complaints, InForce, RecordFlags};

/// What the objects are.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Objects")]
pub struct ObjectFlags {}

impl ObjectFlags {
    /// Says what is wrong.
    pub fn check(&self, _all: &RecordFlags, _complaints: &mut Complaints) {}

    /// What is in force.
    pub fn in_force(&self) -> InForce {
        Vec::new()
    }
}
