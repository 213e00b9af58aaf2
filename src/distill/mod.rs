//! From what the block layer did to a fio job that does the same: [`source`] is what a capture says of
//! its load ([`cached`] calls or [`engine`], [`sizes`] as fio's whole percents, [`depth`], [`pace`]
//! with its [`pauses`] or [`bursts`] of a [`mixture`], [`pieces`] made whole, and the [`zones`] of what it [`reach`]es, by
//! [`density`]), [`portions`] divides it where it changes over time ([`slices`]) or by phase,
//! [`streams`] ([`saturated`], [`by_size`] where a [`budget`] of bytes is kept, [`parts`]) cuts each part into fio
//! jobs, [`job`] writes them down ([`header`] with [`facts`] and [`hot`] zones, [`body`] in [`section`]s from a [`context`], its
//! [`queue`] and [`syncs`], [`buffers`], [`file_size`], [`machine`]) with the reason for every value. [`exact`]
//! writes every request instead, [`mlperf`] does what the reference does. [`fidelity`] says how like
//! its source a job behaves; [`fio`] is the program that runs it.

pub mod batch;
pub mod body;
pub mod budget;
pub mod buffers;
pub mod bursts;
pub mod by_size;
pub mod cached;
pub mod context;
pub mod density;
pub mod depth;
pub mod engine;
pub mod exact;
pub mod facts;
pub mod fidelity;
pub mod file_size;
pub mod fio;
pub mod header;
pub mod hot;
pub mod job;
pub mod journal;
pub mod logical;
pub mod machine;
pub mod mixture;
pub mod mlperf;
pub mod pace;
pub mod parts;
pub mod pauses;
pub mod pieces;
pub mod portions;
pub mod queue;
pub mod reach;
pub mod saturated;
pub mod section;
pub mod sizes;
pub mod slices;
pub mod source;
pub mod streams;
pub mod syncs;
pub mod threads;
pub mod tuning;
pub mod zones;

pub use depth::InFlight;
pub use fio::Fio;
pub use job::{Job, Method, Options, Origin};
pub use portions::Division;
pub use sizes::{SizeMix, Split};
pub use streams::{Direction, Load, Stream};
pub use tuning::Tuning;
