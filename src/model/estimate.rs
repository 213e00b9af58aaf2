//! How many weights a `config.json` describes: the matrices of embeddings, attention and
//! feed-forward layers added up. Biases are left out (below 0.1 % of any model).

use crate::error::Result;

use super::config_json::Config;
use super::{KvDtype, Parameters};

/// Architectures whose feed-forward layers have two matrices; all others gate them with a third.
const UNGATED: [&str; 12] = [
    "bloom",
    "falcon",
    "gpt2",
    "gpt_bigcode",
    "gpt_neo",
    "gpt_neox",
    "gptj",
    "mpt",
    "opt",
    "phi",
    "starcoder2",
    "codegen",
];

/// Bits that a weight takes with MXFP4: 4, and one 8-bit scale for every 32 of them (OCP
/// Microscaling Formats specification 1.0).
const MXFP4_BITS: f64 = 4.25;

/// More weights than that are a typing error rather than a model.
const MOST_WEIGHTS: u64 = 1_000_000_000_000_000;

/// The weights; none when the configuration lacks a number that they follow from.
///
/// # Errors
/// When a number is not one.
pub fn parameters(config: &Config<'_>, dtype: KvDtype) -> Result<Option<Parameters>> {
    let (Some(vocabulary), Some(hidden), Some(layers)) = (
        config.number(&["vocab_size", "padded_vocab_size"])?,
        config.number(&["hidden_size", "n_embd", "d_model"])?,
        config.number(&["num_hidden_layers", "n_layer", "n_layers", "num_layers"])?,
    ) else {
        return Ok(None);
    };
    let Some(attention) = attention(config, hidden)? else { return Ok(None) };
    let tables = if config.flag("tie_word_embeddings") { 1 } else { 2 };
    let embeddings = u128::from(vocabulary) * u128::from(hidden) * tables;
    let (dense, all, used) = feed_forward(config, hidden)?;
    let dense_layers = config.number_or_zero("first_k_dense_replace").min(layers);
    // Two normalisations a layer and one at the end.
    let always = u128::from(layers) * (attention + 2 * u128::from(hidden)) + embeddings + u128::from(hidden);
    let sum = |rest: u128| always + u128::from(dense_layers) * dense + u128::from(layers - dense_layers) * rest;
    let within_belief = |weights: u128| u64::try_from(weights).ok().filter(|weights| *weights <= MOST_WEIGHTS);
    let (Some(total), Some(active)) = (within_belief(sum(all)), within_belief(sum(used))) else { return Ok(None) };
    let weight_bytes = (total as f64 * weight_bits(config, dtype) / 8.0) as u64;
    Ok(Some(Parameters { total, active, weight_bytes, estimated: true }))
}

/// Weights of one layer's attention.
fn attention(config: &Config<'_>, hidden: u64) -> Result<Option<u128>> {
    let Some(heads) = config.number(&["num_attention_heads", "n_head", "n_heads", "num_heads"])? else {
        return Ok(None);
    };
    let [wide, heads] = [hidden, heads].map(u128::from);
    if let Some(latent) = config.number(&["kv_lora_rank"])?.map(u128::from) {
        let [rotary, plain, value] =
            ["qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim"].map(|key| u128::from(config.number_or_zero(key)));
        let queries = heads * (plain + rotary);
        let query = match config.number(&["q_lora_rank"])?.map(u128::from) {
            Some(rank) => rank * (wide + queries),
            None => wide * queries,
        };
        return Ok(Some(query + wide * (latent + rotary) + latent * heads * (plain + value) + heads * value * wide));
    }
    let head = u128::from(config.head_dim(hidden, heads as u64)?);
    Ok(Some(2 * wide * head * (heads + u128::from(config.kv_heads(heads as u64)?))))
}

/// Weights of one layer's feed-forward part: of a dense layer, and of one with experts, all of
/// it and what a token uses. Without experts the three are the same.
fn feed_forward(config: &Config<'_>, hidden: u64) -> Result<(u128, u128, u128)> {
    let ungated = config.text("model_type").is_some_and(|kind| UNGATED.contains(&kind));
    let matrix = u128::from(hidden) * if ungated { 2 } else { 3 };
    let wide = config.number(&["intermediate_size", "ffn_hidden_size", "n_inner", "ffn_dim"])?.unwrap_or(4 * hidden);
    let dense = matrix * u128::from(wide);
    let experts = config.number(&["num_local_experts", "n_routed_experts", "num_experts"])?.map(u128::from);
    let chosen = config.number(&["num_experts_per_tok", "experts_per_token", "moe_topk"])?.map(u128::from);
    let (Some(experts), Some(chosen)) = (experts, chosen) else { return Ok((dense, dense, dense)) };
    let expert = matrix * u128::from(config.number(&["moe_intermediate_size"])?.unwrap_or(wide));
    let shared = match config.number(&["shared_expert_intermediate_size"])? {
        Some(wide) => matrix * u128::from(wide),
        None => u128::from(config.number_or_zero("n_shared_experts")) * expert,
    };
    let always = shared + u128::from(hidden) * experts;
    Ok((dense, always + experts * expert, always + chosen.min(experts) * expert))
}

/// Bits that a weight takes: as the model is quantised, or else its own element type.
fn weight_bits(config: &Config<'_>, dtype: KvDtype) -> f64 {
    let quantised = config.present("quantization_config").and_then(|value| value.as_object());
    let Some(quantised) = quantised else { return dtype.bits() as f64 };
    match quantised.get("quant_method").and_then(|method| method.as_str()) {
        Some("fp8") => 8.0,
        Some("mxfp4") => MXFP4_BITS,
        _ => match quantised.get("bits").and_then(|bits| bits.as_u64()) {
            Some(bits @ 1..=16) => bits as f64,
            _ => dtype.bits() as f64,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::config_json;

    use super::*;

    fn of(text: &str) -> Option<Parameters> {
        config_json::read(text.as_bytes(), "here".to_owned()).unwrap().parameters
    }

    #[test]
    fn a_dense_model_is_counted_to_the_weight() {
        let llama = r#"{"model_type":"llama","num_hidden_layers":32,"hidden_size":4096,"num_attention_heads":32,
            "num_key_value_heads":8,"intermediate_size":14336,"vocab_size":128256,"torch_dtype":"bfloat16"}"#;
        let counted = of(llama).unwrap();
        assert_eq!((counted.total, counted.active), (8_030_261_248, 8_030_261_248));
        assert_eq!((counted.weight_bytes, counted.estimated), (2 * 8_030_261_248, true));
    }

    #[test]
    fn a_mixture_of_experts_is_counted_within_a_percent() {
        let deepseek = r#"{"num_hidden_layers":61,"hidden_size":7168,"num_attention_heads":128,"kv_lora_rank":512,
            "qk_rope_head_dim":64,"qk_nope_head_dim":128,"v_head_dim":128,"q_lora_rank":1536,"vocab_size":129280,
            "intermediate_size":18432,"moe_intermediate_size":2048,"n_routed_experts":256,"n_shared_experts":1,
            "num_experts_per_tok":8,"first_k_dense_replace":3,"torch_dtype":"bfloat16",
            "quantization_config":{"quant_method":"fp8"}}"#;
        let counted = of(deepseek).unwrap();
        let near = |ours: u64, published: f64| (ours as f64 / published - 1.0).abs() < 0.02;
        assert!(near(counted.total, 671e9) && near(counted.active, 37e9), "{counted:?}");
        assert_eq!(counted.weight_bytes, counted.total);
    }

    #[test]
    fn what_lacks_a_number_is_not_estimated() {
        assert_eq!(of(r#"{"num_hidden_layers":2,"num_attention_heads":1,"head_dim":1}"#), None);
    }
}
