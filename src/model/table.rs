//! The models that are known by name: those of the reference benchmark, with its sizes.

use super::shape::Shape;
use super::{Attention, KvDtype, Model};

/// A model with a cache of keys and values; a head dimension of 0 is hidden over heads.
const fn heads(num_layers: u64, hidden_dim: u64, num_heads: u64, kv_heads: u64, kv_dim_per_head: u64) -> Shape {
    Shape {
        num_layers,
        hidden_dim,
        num_heads,
        kv_heads,
        kv_dim_per_head,
        attention: if kv_heads == num_heads { Attention::Mha } else { Attention::Gqa },
        kv_lora_rank: 0,
        qk_rope_head_dim: 0,
        dtype: KvDtype::Float16,
    }
}

/// The reference counts every layer of gpt-oss in full, although half of them slide over a
/// window; its table is kept so that sizes agree.
const TABLE: [(&str, Shape); 9] = [
    ("tiny-1b", heads(12, 1024, 8, 4, 0)),
    ("mistral-7b", heads(32, 4096, 32, 8, 0)),
    ("llama2-7b", heads(32, 4096, 32, 32, 0)),
    ("llama3.1-8b", heads(32, 4096, 32, 8, 0)),
    ("llama3.1-70b-instruct", heads(80, 8192, 64, 8, 0)),
    (
        "deepseek-v3",
        Shape { attention: Attention::Mla, kv_lora_rank: 512, qk_rope_head_dim: 64, ..heads(61, 7168, 128, 8, 0) },
    ),
    ("qwen3-32b", heads(64, 5120, 64, 8, 128)),
    ("gpt-oss-120b", heads(36, 2880, 64, 8, 64)),
    ("gpt-oss-20b", heads(24, 2880, 64, 8, 64)),
];

/// The names of the table, in its order.
pub fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|row| row.0)
}

/// The shape of the model of that name.
pub fn shape(name: &str) -> Option<Shape> {
    TABLE.iter().find(|row| row.0 == name).map(|row| row.1)
}

/// The model of that name.
pub fn find(name: &str) -> Option<Model> {
    shape(name)?.model(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_that_the_reference_reports() {
        let expected = [24_576, 131_072, 524_288, 131_072, 327_680, 70_272, 262_144, 73_728, 49_152];
        let sizes: Vec<u64> = names().map(|name| find(name).unwrap().bytes_per_token()).collect();
        assert_eq!(sizes, expected);
    }
}
