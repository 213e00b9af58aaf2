//! A Hugging Face `config.json`: which layers hold a KV cache, and how much of it.

use serde_json::{Map, Value};

use crate::error::{Error, Result};

use super::{Attention, KvDtype, LayerGroup, Model, estimate};

/// Keys that say that some layers hold a state that does not grow with tokens, or share or vary
/// their cache in ways that a number of bytes per token does not describe.
const REFUSED: [(&str, &str); 12] = [
    ("attn_layer_period", "mixes attention with state-space layers"),
    ("attn_layer_indices", "mixes attention with state-space layers"),
    ("attn_layer_idx", "mixes attention with state-space layers"),
    ("hybrid_override_pattern", "mixes attention with state-space layers"),
    ("hybrid_layer_ids", "mixes attention with state-space layers"),
    ("mamba_d_state", "has state-space layers"),
    ("ssm_state_size", "has state-space layers"),
    ("ssm_cfg", "has state-space layers"),
    ("state_size", "has state-space layers"),
    ("linear_num_value_heads", "has linear-attention layers"),
    ("block_configs", "varies its attention from layer to layer"),
    ("cross_attention_layers", "has cross-attention layers"),
];

const HEAD_DIM: [&str; 3] = ["head_dim", "kv_channels", "attention_head_dim"];

/// Reads a configuration; `folder` names the model when it does not name itself.
///
/// # Errors
/// Not JSON, a number that is missing or wrong, a model that bytes per token do not describe.
pub fn read(text: &[u8], folder: String) -> Result<Model> {
    let whole: Map<String, Value> = serde_json::from_slice(text)
        .map_err(|e| Error::usage(format!("not a model configuration (a JSON object): {e}")))?;
    // Multi-modal models keep the language model's numbers one level down.
    let inner = ["text_config", "llm_config", "language_config"].iter().find_map(|key| whole.get(*key)?.as_object());
    let config = Config { fields: inner.unwrap_or(&whole), whole: &whole };
    config.refuse_what_is_not_attention()?;
    let (attention, elements) = config.elements()?;
    let dtype = config.dtype()?;
    Ok(Model {
        name: config.name().unwrap_or(folder),
        attention,
        kv_dtype: Some(dtype),
        // A number that is a list, say, leaves the weights unknown, not the cache.
        parameters: estimate::parameters(&config, dtype).ok().flatten(),
        groups: group(&config.windows()?, elements),
        bits: dtype.bits(),
        hidden_size: ["hidden_size", "n_embd", "d_model"].iter().find_map(|key| config.present(key)?.as_u64()),
    })
}

/// The configuration of the language model, and the file that it stands in.
pub struct Config<'a> {
    fields: &'a Map<String, Value>,
    whole: &'a Map<String, Value>,
}

impl Config<'_> {
    /// A field that is there and not null.
    pub fn present(&self, key: &str) -> Option<&Value> {
        self.fields.get(key).filter(|value| !value.is_null())
    }

    /// The first of `keys` that is there, as a whole number above 0.
    pub fn number(&self, keys: &[&str]) -> Result<Option<u64>> {
        let Some((key, value)) = keys.iter().find_map(|key| Some((key, self.present(key)?))) else { return Ok(None) };
        match value.as_u64() {
            Some(number) if (1..=1 << 24).contains(&number) => Ok(Some(number)),
            _ => Err(Error::usage(format!("`{key}` is {value}; expected a whole number from 1 to 16777216"))),
        }
    }

    fn required(&self, keys: &[&str]) -> Result<u64> {
        self.number(keys)?
            .ok_or_else(|| Error::usage(format!("`{}` is missing; give --model bytes:N instead", keys[0])))
    }

    /// Whether a field is true.
    pub fn flag(&self, key: &str) -> bool {
        self.present(key).and_then(Value::as_bool) == Some(true)
    }

    /// A field of text.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.present(key).and_then(Value::as_str)
    }

    fn name(&self) -> Option<String> {
        let path = self.whole.get("_name_or_path")?.as_str()?;
        path.rsplit('/').next().filter(|name| !name.is_empty()).map(str::to_owned)
    }

    fn refuse_what_is_not_attention(&self) -> Result<()> {
        let refuse = |what: String| {
            Err(Error::usage(format!(
                "{what}, so its cache is not a number of bytes per token; give --model bytes:N for the part that grows"
            )))
        };
        if let Some((key, why)) = REFUSED.iter().find(|(key, _)| self.present(key).is_some()) {
            return refuse(format!("`{key}`: the model {why}"));
        }
        let kind = self.text("model_type").unwrap_or_default();
        if ["mamba", "rwkv", "recurrent", "jamba", "zamba"].iter().any(|word| kind.contains(word)) {
            return refuse(format!("`model_type` {kind}: the model has recurrent layers"));
        }
        if self.flag("is_encoder_decoder") {
            return refuse("`is_encoder_decoder`: the model has cross-attention layers".to_owned());
        }
        Ok(())
    }

    /// The attention, and the elements that one layer stores for one token.
    fn elements(&self) -> Result<(Attention, u64)> {
        if let Some(latent) = self.number(&["kv_lora_rank"])? {
            return Ok((Attention::Mla, latent + self.required(&["qk_rope_head_dim"])?));
        }
        let heads = self.required(&["num_attention_heads", "n_head", "n_heads", "num_heads"])?;
        let kv_heads = self.kv_heads(heads)?;
        let head_dim = match self.number(&HEAD_DIM)? {
            Some(head_dim) => head_dim,
            None => self.required(&["hidden_size", "n_embd", "d_model"])? / heads,
        };
        let attention = if kv_heads == heads { Attention::Mha } else { Attention::Gqa };
        Ok((attention, 2 * kv_heads * head_dim))
    }

    /// Heads that keep keys and values.
    pub fn kv_heads(&self, heads: u64) -> Result<u64> {
        let named = self.number(&["num_key_value_heads", "num_kv_heads", "n_head_kv", "multi_query_group_num"])?;
        Ok(named.unwrap_or(if self.flag("multi_query") { 1 } else { heads }))
    }

    /// Elements of a head.
    pub fn head_dim(&self, hidden: u64, heads: u64) -> Result<u64> {
        Ok(self.number(&HEAD_DIM)?.unwrap_or(hidden / heads))
    }

    /// A whole number, 0 when it is absent.
    pub fn number_or_zero(&self, key: &str) -> u64 {
        self.present(key).and_then(Value::as_u64).filter(|number| *number <= 1 << 24).unwrap_or(0)
    }

    fn dtype(&self) -> Result<KvDtype> {
        let named = ["dtype", "torch_dtype"].iter().find_map(|key| {
            let value = self.present(key).or_else(|| self.whole.get(*key).filter(|value| !value.is_null()))?;
            Some((key, value.as_str().unwrap_or_default()))
        });
        match named {
            Some((key, word)) => {
                word.parse().map_err(|why: String| Error::usage(format!("`{key}`: {why}; --kv-dtype overrides it")))
            }
            None => Ok(KvDtype::Float16),
        }
    }

    /// For every layer with a cache of its own, the window that it keeps.
    fn windows(&self) -> Result<Vec<Option<u64>>> {
        let layers = self.required(&["num_hidden_layers", "n_layer", "n_layers", "num_layers"])? as usize;
        if layers > 10_000 {
            return Err(Error::usage(format!("{layers} layers are more than any model has")));
        }
        let sliding =
            self.number(&["sliding_window"])?.filter(|_| self.present("use_sliding_window").is_none_or(|v| v == true));
        let mut windows = match self.present("layer_types") {
            Some(types) => self.windows_of_types(types, layers)?,
            None => (0..layers).map(|layer| sliding.filter(|_| self.slides(layer))).collect(),
        };
        // The last layers of some models read the cache of earlier ones and keep none.
        if let Some(shared) = self.present("num_kv_shared_layers").and_then(Value::as_u64) {
            windows.truncate(layers.saturating_sub(shared as usize));
        }
        Ok(windows)
    }

    fn windows_of_types(&self, types: &Value, layers: usize) -> Result<Vec<Option<u64>>> {
        let types = types
            .as_array()
            .filter(|types| types.len() == layers)
            .ok_or_else(|| Error::usage(format!("`layer_types` is not a list of {layers} words, one a layer")))?;
        types
            .iter()
            .enumerate()
            .map(|(layer, word)| match word.as_str().unwrap_or_default() {
                "full_attention" | "attention" => Ok(None),
                "sliding_attention" => self.required(&["sliding_window"]).map(Some),
                "chunked_attention" => self.required(&["attention_chunk_size"]).map(Some),
                _ => Err(Error::usage(format!(
                    "`layer_types`: layer {layer} is {word}, whose cache is not a number of bytes per token; give \
                     --model bytes:N for the part that grows"
                ))),
            })
            .collect()
    }

    /// Which layers slide when only a window is given: every one, unless the model says from
    /// which layer on or which of a repeating group does not.
    fn slides(&self, layer: usize) -> bool {
        let number = |key| self.present(key).and_then(Value::as_u64).map(|n| n as usize);
        if let Some(pattern) = number("sliding_window_pattern").filter(|n| *n > 0) {
            return !(layer + 1).is_multiple_of(pattern);
        }
        match self.text("model_type") {
            Some("gemma2") => layer.is_multiple_of(2),
            Some(kind) if kind.starts_with("qwen2") || kind.starts_with("qwen3") => {
                number("max_window_layers").is_none_or(|first| layer >= first)
            }
            _ => true,
        }
    }
}

/// Layers with equal windows, put together.
fn group(windows: &[Option<u64>], elements: u64) -> Vec<LayerGroup> {
    let mut groups: Vec<LayerGroup> = Vec::new();
    for window in windows {
        match groups.iter_mut().find(|group| group.window == *window) {
            Some(group) => group.layers += 1,
            None => groups.push(LayerGroup { layers: 1, elements, window: *window }),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Model> {
        read(text.as_bytes(), "here".to_owned())
    }

    const LLAMA: &str = r#"{"model_type":"llama","num_hidden_layers":32,"hidden_size":4096,
        "num_attention_heads":32,"num_key_value_heads":8,"torch_dtype":"bfloat16"}"#;

    #[test]
    fn grouped_query_attention() {
        let model = of(LLAMA).unwrap();
        assert_eq!(model.bytes_per_token(), 131_072);
        assert_eq!((model.attention, model.name.as_str()), (Attention::Gqa, "here"));
    }

    #[test]
    fn multi_head_and_latent_attention() {
        let mha = of(r#"{"n_layer":12,"n_embd":768,"n_head":12}"#).unwrap();
        assert_eq!((mha.attention, mha.bytes_per_token()), (Attention::Mha, 12 * 768 * 2 * 2));
        let mla = of(r#"{"num_hidden_layers":61,"kv_lora_rank":512,"qk_rope_head_dim":64,"torch_dtype":"bfloat16"}"#);
        assert_eq!(mla.unwrap().bytes_per_token(), 70_272);
    }

    #[test]
    fn sliding_layers_keep_their_window_only() {
        let text = r#"{"num_hidden_layers":4,"num_attention_heads":1,"head_dim":1,"hidden_size":1,"sliding_window":100,
            "layer_types":["sliding_attention","full_attention","sliding_attention","full_attention"]}"#;
        let model = of(text).unwrap();
        assert_eq!((model.layers(), model.windowed_layers(), model.bytes_per_token()), (4, 2, 16));
        assert_eq!(model.bytes(1000), 2 * 4 * 1000 + 2 * 4 * 100);
    }

    #[test]
    fn a_window_that_is_switched_off_does_not_count() {
        let base = r#""num_hidden_layers":4,"num_attention_heads":1,"head_dim":1,"sliding_window":100"#;
        assert_eq!(of(&format!("{{{base},\"use_sliding_window\":false}}")).unwrap().windowed_layers(), 0);
        assert_eq!(of(&format!("{{{base}}}")).unwrap().windowed_layers(), 4);
        assert_eq!(of(&format!("{{{base},\"sliding_window_pattern\":2}}")).unwrap().windowed_layers(), 2);
    }

    #[test]
    fn hybrids_are_refused_by_name() {
        for (extra, named) in [
            (r#""attn_layer_period":8"#, "attn_layer_period"),
            (r#""layer_types":["linear_attention"]"#, "linear_attention"),
            (r#""model_type":"falcon_mamba""#, "falcon_mamba"),
            (r#""is_encoder_decoder":true"#, "is_encoder_decoder"),
        ] {
            let text = format!(r#"{{"num_hidden_layers":1,"num_attention_heads":1,"head_dim":1,{extra}}}"#);
            let message = of(&text).unwrap_err().to_string();
            assert!(message.contains(named), "{message}");
        }
    }

    #[test]
    fn numbers_that_are_missing_or_wrong_are_named() {
        for (text, named) in [
            (r#"{"num_attention_heads":1,"head_dim":1}"#, "num_hidden_layers"),
            (r#"{"num_hidden_layers":-3,"num_attention_heads":1,"head_dim":1}"#, "-3"),
            (r#"{"num_hidden_layers":2,"num_attention_heads":1}"#, "hidden_size"),
            ("[]", "JSON object"),
        ] {
            let message = of(text).unwrap_err().to_string();
            assert!(message.contains(named), "{message}");
        }
    }
}
