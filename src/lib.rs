//! kvtrace: record, replay, capture, distil and analyse the storage I/O of LLM KV caches.
//!
//! Data flows one way: a [`workload`] is served in virtual time ([`serve`], over the tiers of
//! [`cache`]) into a [`trace`]; [`replay`] executes a trace against real tiers; [`capture`] sees
//! what the block layer did; [`distill`] turns that into a fio job; [`analyze`] and [`plot`] read
//! any of it offline. What passes between stages is a file, and its types live in [`trace`] and
//! [`measure`].
//!
//! The library never prints: it returns values and errors, reports progress through
//! [`progress::Progress`] and stops when [`stop::Stop`] asks.

pub mod analyze;
pub mod cache;
pub mod capture;
pub mod checksum;
pub mod cli;
pub mod distill;
pub mod error;
pub mod live;
pub mod measure;
pub mod model;
pub mod output;
pub mod plot;
pub mod progress;
pub mod replay;
pub mod seed;
pub mod serve;
pub mod stop;
pub mod trace;
pub mod units;
pub mod workload;

/// The name and version that every file written by this build carries.
pub const TOOL: &str = concat!("kvtrace ", env!("CARGO_PKG_VERSION"));
