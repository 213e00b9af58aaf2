//! From what the block layer did to a fio job that does the same: [`sizes`] turns exact request
//! sizes into fio's whole percents, [`depth`] says how many requests were in flight, [`streams`]
//! cuts the load into fio jobs, [`job`] writes them down with the reason for every value.

pub mod depth;
pub mod fidelity;
pub mod job;
pub mod sizes;
pub mod streams;

pub use depth::InFlight;
pub use job::{Job, Options, Origin};
pub use sizes::{SizeMix, Split};
pub use streams::{Direction, Load, Stream};
