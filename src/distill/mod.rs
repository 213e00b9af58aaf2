//! From what the block layer did to a fio job that does the same: [`sizes`] turns exact request
//! sizes into fio's whole percents, [`streams`] cuts the load into fio jobs with a share and a
//! depth each, [`job`] writes them down with the reason for every value.

pub mod job;
pub mod sizes;
pub mod streams;

pub use job::{Job, Options, Origin};
pub use sizes::{SizeMix, Split};
pub use streams::{Direction, Stream};
