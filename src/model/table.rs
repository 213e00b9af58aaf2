//! The models that are known by name: those of the reference benchmark, with its sizes.

use super::{Attention, KvDtype, LayerGroup, Model};

/// Name, layers, hidden size, KV heads (0: MLA), head dimension (MLA: latent + rotary dimension),
/// attention.
const TABLE: [(&str, u64, u64, u64, u64, Attention); 9] = [
    ("tiny-1b", 12, 1024, 4, 128, Attention::Gqa),
    ("mistral-7b", 32, 4096, 8, 128, Attention::Gqa),
    ("llama2-7b", 32, 4096, 32, 128, Attention::Mha),
    ("llama3.1-8b", 32, 4096, 8, 128, Attention::Gqa),
    ("llama3.1-70b-instruct", 80, 8192, 8, 128, Attention::Gqa),
    ("deepseek-v3", 61, 7168, 0, 512 + 64, Attention::Mla),
    ("qwen3-32b", 64, 5120, 8, 128, Attention::Gqa),
    ("gpt-oss-120b", 36, 2880, 8, 64, Attention::Gqa),
    ("gpt-oss-20b", 24, 2880, 8, 64, Attention::Gqa),
];

/// The names of the table, in its order.
pub fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|row| row.0)
}

/// The model of that name. The reference counts every layer of gpt-oss in full, although half of
/// them slide over a window; its table is kept so that sizes agree.
pub fn find(name: &str) -> Option<Model> {
    let (name, layers, hidden, kv_heads, dimension, attention) = TABLE.iter().copied().find(|row| row.0 == name)?;
    let elements = if attention == Attention::Mla { dimension } else { 2 * kv_heads * dimension };
    Some(Model {
        name: name.to_owned(),
        attention,
        kv_dtype: Some(KvDtype::Float16),
        groups: vec![LayerGroup { layers, elements, window: None }],
        bits: KvDtype::Float16.bits(),
        hidden_size: Some(hidden),
    })
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

    #[test]
    fn large_models_are_those_of_the_reference() {
        let large: Vec<&str> = names().filter(|name| find(name).unwrap().is_large()).collect();
        assert_eq!(large, ["llama3.1-70b-instruct", "qwen3-32b"]);
    }
}
