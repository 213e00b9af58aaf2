//! Traces: the whole contract between recording and replay. A [`row::Row`] goes into one, a
//! [`record::Record`] comes out, a [`meta::Meta`] is what a trace says of itself, a
//! [`requests::RequestRow`] is who asked; the other files read and write them.

mod columns;
pub mod convert;
mod csv_file;
mod csv_rows;
mod guard;
pub mod input;
pub mod meta;
pub mod name;
mod order;
pub mod parquet;
mod parquet_file;
mod parquet_rows;
mod piped;
pub mod reader;
pub mod record;
mod relay;
pub mod requests;
mod requests_columns;
pub mod requests_file;
pub mod row;
pub mod stamp;
pub mod writer;
mod zst;

pub use input::{Format, Input};
pub use meta::Meta;
pub use name::{Key, Name};
pub use parquet_rows::{meta_json as parquet_meta, parts as parquet_parts};
pub use reader::TraceReader;
pub use record::{Op, Phase, Record, Tier};
pub use relay::Relay;
pub use requests::{RequestKind, RequestRow, Served};
pub use requests_file::{REQUESTS_SCHEMA, RequestsReader, RequestsWriter, requests_path};
pub use row::Row;
pub use writer::{Columns, TraceWriter, WriteOptions};
