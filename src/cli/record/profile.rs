//! `--profile`: what flags default to.

/// Flags and what they default to.
pub type Table = &'static [(&'static str, &'static str)];

/// What vLLM does with LMCache or an offload tier: objects are full, prefix-hashed token blocks of
/// the whole conversation, found by content, loaded once, copied to every tier below. What follows
/// from token blocks is left to their flags: the longest resident prefix is read, content is
/// shared, a block that is not full is dropped. Promotion and placement ask for the profile themselves.
const ENGINE: Table = &[("objects", "token-blocks:256"), ("decode-reads", "none"), ("live-conversations", "0")];

/// The table of a profile; the defaults of the flags themselves are those of `mlperf`.
pub fn table(name: &str) -> Table {
    if name == "engine" { ENGINE } else { &[] }
}
