//! `--profile`: what flags default to.

/// Flags and what they default to.
pub type Table = &'static [(&'static str, &'static str)];

/// What vLLM does with LMCache or an offload tier: objects are full, prefix-hashed token blocks of
/// the whole conversation, found by content, loaded once, copied to every tier below.
const ENGINE: Table = &[
    ("objects", "token-blocks:256"),
    ("history", "longest-prefix"),
    ("decode-reads", "none"),
    ("promotion", "on-read"),
    ("prefix-sharing", "content"),
    ("placement", "inclusive"),
    ("partial-blocks", "drop"),
    ("policy", "lru"),
    ("live-conversations", "0"),
];

/// The table of a profile; the defaults of the flags themselves are those of `mlperf`.
pub fn table(name: &str) -> Table {
    if name == "engine" { ENGINE } else { &[] }
}
