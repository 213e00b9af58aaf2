//! Traces: the whole contract between recording and replay. A [`record::Record`] is a row, a
//! [`meta::Meta`] is what a trace says of itself, a [`requests::RequestRow`] is who asked; the
//! other files read and write them.

pub mod meta;
pub mod reader;
pub mod record;
pub mod requests;
pub mod writer;

pub use meta::Meta;
pub use reader::TraceReader;
pub use record::{Op, Phase, Record, Tier};
pub use requests::{RequestKind, RequestRow};
pub use writer::{Columns, TraceWriter, WriteOptions};
