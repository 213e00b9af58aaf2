//! Traces of requests: files in which other systems wrote down when somebody asked, how long the
//! prompt and the answer were, and sometimes which parts of prompts were equal. Every format has a
//! reader that gives entries in the order of its file; the source puts them in the order of their
//! stamps, and makes requests of them.

mod agenda;
mod asked;
mod azure;
mod bailian;
mod burstgpt;
mod conversations;
mod csv_rows;
mod detect;
mod entry;
mod files;
mod format;
mod json_lines;
mod kv_cache_tester;
mod mooncake;
mod order;
mod pass;
mod ragpulse;
mod scalar;
mod segments;
mod source;

pub use detect::format_of;
pub use files::expand;
pub use format::{Format, TimeUnit};
pub use source::{RequestTrace, TraceFacts, TraceOptions};

#[cfg(test)]
mod tests;
