//! Traces of requests: files in which other systems wrote down when somebody asked, how long the
//! prompt and the answer were, and sometimes which parts of prompts were equal. Every format has a
//! reader that gives entries in the order of its file; the source puts them in the order of their
//! stamps, and makes requests of them.

mod conversations;
mod detect;
mod entry;
mod files;
mod format;
mod json_lines;
mod mooncake;
mod order;
mod pass;
mod scalar;
mod segments;
mod source;

pub use files::expand;
pub use format::{Format, TimeUnit};
pub use source::{RequestTrace, TraceFacts, TraceOptions};
