//! The models that are known by name: those of the reference benchmark, with its sizes.

use super::{Attention, KvDtype, LayerGroup, Model, Parameters};

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

/// Name, weights, weights that a token uses, bytes of all weights as published. Counted from the
/// tensors of the checkpoints (safetensors totals of the model pages on Hugging Face) where they
/// are dense and in 16 bits; mixtures by their model cards: DeepSeek-V3 (arXiv 2412.19437: 671 B,
/// 37 B active, trained and published in FP8), gpt-oss (arXiv 2508.10925, table 1: 116.83 B and
/// 5.13 B active in 60.8 GiB, 20.91 B and 3.61 B active in 12.8 GiB). `tiny-1b` is the
/// reference's invention: as many as its name says.
const WEIGHTS: [(&str, u64, u64, u64); 9] = [
    ("tiny-1b", 1_000_000_000, 1_000_000_000, 2_000_000_000),
    ("mistral-7b", 7_241_732_096, 7_241_732_096, 14_483_464_192),
    ("llama2-7b", 6_738_415_616, 6_738_415_616, 13_476_831_232),
    ("llama3.1-8b", 8_030_261_248, 8_030_261_248, 16_060_522_496),
    ("llama3.1-70b-instruct", 70_553_706_496, 70_553_706_496, 141_107_412_992),
    ("deepseek-v3", 671_000_000_000, 37_000_000_000, 671_000_000_000),
    ("qwen3-32b", 32_762_123_264, 32_762_123_264, 65_524_246_528),
    ("gpt-oss-120b", 116_830_000_000, 5_130_000_000, 65_283_502_899),
    ("gpt-oss-20b", 20_910_000_000, 3_610_000_000, 13_743_895_347),
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
        parameters: parameters(name),
        groups: vec![LayerGroup { layers, elements, window: None }],
        bits: KvDtype::Float16.bits(),
        hidden_size: Some(hidden),
    })
}

fn parameters(name: &str) -> Option<Parameters> {
    let &(_, total, active, weight_bytes) = WEIGHTS.iter().find(|row| row.0 == name)?;
    Some(Parameters { total, active, weight_bytes, estimated: false })
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
    fn every_model_has_its_weights() {
        for name in names() {
            let weights = find(name).unwrap().parameters.unwrap_or_else(|| panic!("{name} has none"));
            assert!(weights.active <= weights.total && weights.weight_bytes <= 2 * weights.total, "{name}");
        }
    }

    #[test]
    fn large_models_are_those_of_the_reference() {
        let large: Vec<&str> = names().filter(|name| find(name).unwrap().is_large()).collect();
        assert_eq!(large, ["llama3.1-70b-instruct", "qwen3-32b"]);
    }
}
