//! Models: how many bytes of KV cache a number of tokens takes.

use std::cmp::Reverse;
use std::fs;
use std::path::Path;
use std::str::FromStr;

use crate::error::{Error, Result};

mod config_json;
mod estimate;
mod parameters;
mod table;

pub use parameters::Parameters;
pub use table::names;

/// The largest KV cache of one token that is believed, 1 GiB: beyond it a typing error is more
/// likely than a model, and sizes of whole prompts still fit 64 bits below it.
const MAX_BYTES_PER_TOKEN: u64 = 1 << 30;

/// The element type of a KV cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KvDtype {
    /// 4 bytes.
    Float32,
    /// 2 bytes.
    Float16,
    /// 2 bytes.
    Bfloat16,
    /// 1 byte.
    Fp8,
    /// 1 byte.
    Int8,
    /// Half a byte.
    Fp4,
    /// Half a byte.
    Int4,
}

impl KvDtype {
    const ALL: [KvDtype; 7] = [
        KvDtype::Float32,
        KvDtype::Float16,
        KvDtype::Bfloat16,
        KvDtype::Fp8,
        KvDtype::Int8,
        KvDtype::Fp4,
        KvDtype::Int4,
    ];

    /// The name, as `--kv-dtype` takes it.
    pub fn word(self) -> &'static str {
        match self {
            KvDtype::Float32 => "float32",
            KvDtype::Float16 => "float16",
            KvDtype::Bfloat16 => "bfloat16",
            KvDtype::Fp8 => "fp8",
            KvDtype::Int8 => "int8",
            KvDtype::Fp4 => "fp4",
            KvDtype::Int4 => "int4",
        }
    }

    /// Bits of one element.
    pub fn bits(self) -> u64 {
        match self {
            KvDtype::Float32 => 32,
            KvDtype::Float16 | KvDtype::Bfloat16 => 16,
            KvDtype::Fp8 | KvDtype::Int8 => 8,
            KvDtype::Fp4 | KvDtype::Int4 => 4,
        }
    }
}

impl FromStr for KvDtype {
    type Err = String;

    /// Accepts our names and the common ones of PyTorch and vLLM (`half`, `bf16`, `fp8_e4m3`, …).
    fn from_str(text: &str) -> Result<Self, String> {
        let name = text.trim_start_matches("torch.");
        let alias = match name {
            "float" | "fp32" => "float32",
            "half" | "fp16" => "float16",
            "bf16" => "bfloat16",
            "fp8_e4m3" | "fp8_e5m2" | "float8_e4m3fn" | "float8_e5m2" => "fp8",
            "uint8" => "int8",
            other => other,
        };
        KvDtype::ALL.into_iter().find(|dtype| dtype.word() == alias).ok_or_else(|| {
            let known: Vec<_> = KvDtype::ALL.iter().map(|dtype| dtype.word()).collect();
            format!("`{text}` is not a KV-cache element type; it is one of {}", known.join(", "))
        })
    }
}

/// How a model's attention stores keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attention {
    /// Every head has its own keys and values.
    Mha,
    /// Heads share keys and values in groups (with one group, multi-query).
    Gqa,
    /// Keys and values are compressed into one latent vector.
    Mla,
    /// Only the bytes per token are known.
    Unknown,
}

impl Attention {
    /// The word in tables.
    pub fn word(self) -> &'static str {
        match self {
            Attention::Mha => "mha",
            Attention::Gqa => "gqa",
            Attention::Mla => "mla",
            Attention::Unknown => "-",
        }
    }
}

/// Layers that store the same amount for a token and keep it equally long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LayerGroup {
    layers: u64,
    /// Elements that one layer stores for one token.
    elements: u64,
    /// The most recent tokens that the layer keeps; none keeps all.
    window: Option<u64>,
}

/// A model, as far as the size of its KV cache and the time that it takes go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// How attention stores keys and values.
    pub attention: Attention,
    /// The element type of the cache; none when only bytes are known.
    pub kv_dtype: Option<KvDtype>,
    /// Its weights; none when only bytes per token are known.
    pub parameters: Option<Parameters>,
    groups: Vec<LayerGroup>,
    bits: u64,
    /// The width of a hidden state; none when it is not known.
    hidden_size: Option<u64>,
}

impl Model {
    /// Resolves what `--model` takes: a name of the table, the path of a Hugging Face
    /// `config.json` (or of the folder that holds one), or `bytes:N`.
    ///
    /// # Errors
    /// An unknown name (naming the nearest), a file that cannot be read, a model whose cache
    /// does not grow with tokens.
    pub fn resolve(text: &str, kv_dtype: Option<KvDtype>) -> Result<Self> {
        let model = match text.strip_prefix("bytes:") {
            Some(number) => Self::of_bytes(number, kv_dtype)?,
            None => match table::find(text) {
                Some(model) => model,
                None if looks_like_path(text) => Self::of_config(Path::new(text))?,
                None => return Err(unknown(text)),
            },
        };
        model.with_dtype(kv_dtype).checked()
    }

    /// KV-cache bytes that one token adds to a short prompt, all layers together:
    /// layers × KV heads × head dimension × 2 × element size, or
    /// layers × (latent + rotary dimension) × element size for MLA.
    pub fn bytes_per_token(&self) -> u64 {
        self.bytes(1)
    }

    /// KV-cache bytes of `tokens` consecutive tokens; a sliding-window layer keeps at most its
    /// window of them.
    pub fn bytes(&self, tokens: u64) -> u64 {
        let kept = |group: &LayerGroup| group.window.map_or(tokens, |window| tokens.min(window));
        let bits: u128 = self
            .groups
            .iter()
            .map(|group| {
                u128::from(group.layers) * u128::from(group.elements) * u128::from(kept(group)) * u128::from(self.bits)
            })
            .sum();
        u64::try_from(bits / 8).unwrap_or(u64::MAX)
    }

    /// Layers that hold a KV cache.
    pub fn layers(&self) -> u64 {
        self.groups.iter().map(|group| group.layers).sum()
    }

    /// Whether the model counts as a large one, by the reference's measure: 64 layers or more, or
    /// hidden states of 8192 or more.
    pub fn is_large(&self) -> bool {
        self.layers() >= 64 || self.hidden_size.is_some_and(|width| width >= 8192)
    }

    /// Layers that keep only a window of tokens.
    pub fn windowed_layers(&self) -> u64 {
        self.groups.iter().filter(|group| group.window.is_some()).map(|group| group.layers).sum()
    }

    /// The name of the element type, for files.
    pub fn dtype_word(&self) -> &'static str {
        self.kv_dtype.map_or("bytes", KvDtype::word)
    }

    fn of_bytes(number: &str, kv_dtype: Option<KvDtype>) -> Result<Self> {
        let bytes = number.parse::<u64>().ok().filter(|n| *n > 0).ok_or_else(|| {
            Error::usage(format!(
                "--model bytes:{number}: N is the KV-cache bytes of one token, a whole number above 0"
            ))
        })?;
        if kv_dtype.is_some() {
            return Err(Error::usage(
                "--model bytes:N has no elements for --kv-dtype to resize; leave one of them out",
            ));
        }
        let groups = vec![LayerGroup { layers: 1, elements: bytes, window: None }];
        Ok(Self {
            name: format!("bytes:{bytes}"),
            attention: Attention::Unknown,
            kv_dtype: None,
            parameters: None,
            groups,
            bits: 8,
            hidden_size: None,
        })
    }

    fn of_config(path: &Path) -> Result<Self> {
        let file = if path.is_dir() { path.join("config.json") } else { path.to_owned() };
        let text = fs::read(&file).map_err(|e| Error::reading(&file, &e))?;
        let folder = file.canonicalize().ok().and_then(|p| p.parent()?.file_name().map(|n| n.to_string_lossy().into()));
        config_json::read(&text, folder.unwrap_or_else(|| "config.json".to_owned()))
            .map_err(|e| e.context(file.display()))
    }

    fn with_dtype(mut self, kv_dtype: Option<KvDtype>) -> Self {
        if let Some(dtype) = kv_dtype {
            self.kv_dtype = Some(dtype);
            self.bits = dtype.bits();
        }
        self
    }

    fn checked(self) -> Result<Self> {
        match self.bytes_per_token() {
            0 => Err(Error::usage(format!("model {}: its KV cache has 0 bytes per token", self.name))),
            1..=MAX_BYTES_PER_TOKEN => Ok(self),
            bytes => Err(Error::usage(format!(
                "model {}: {bytes} bytes of KV cache per token are beyond the {MAX_BYTES_PER_TOKEN} that are believed",
                self.name
            ))),
        }
    }
}

fn looks_like_path(text: &str) -> bool {
    text.contains('/') || text.ends_with(".json") || Path::new(text).exists()
}

fn unknown(text: &str) -> Error {
    let typed = text.to_lowercase();
    let common = |name: &str| typed.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
    let nearest = names().min_by_key(|name| (distance(&typed, name), Reverse(common(name)))).unwrap_or_default();
    Error::usage(format!(
        "unknown model `{text}`; the nearest known is {nearest}, `kvtrace models` lists them, and the path of a \
         config.json or bytes:N does as well"
    ))
}

/// Edits between two texts (Levenshtein), row by row.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn element_types_by_any_common_name() {
        assert_eq!("torch.bfloat16".parse(), Ok(KvDtype::Bfloat16));
        assert_eq!("fp8_e4m3".parse(), Ok(KvDtype::Fp8));
        assert!("int7".parse::<KvDtype>().unwrap_err().contains("float32"));
    }

    #[test]
    fn another_element_type_changes_the_size() {
        let size = |dtype| Model::resolve("llama3.1-8b", dtype).unwrap().bytes_per_token();
        assert_eq!(size(None), 131_072);
        assert_eq!(size(Some(KvDtype::Fp8)), 65_536);
        assert_eq!(size(Some(KvDtype::Float32)), 262_144);
    }

    #[test]
    fn unknown_names_point_to_the_nearest() {
        let message = Model::resolve("Llama3-8b", None).unwrap_err().to_string();
        assert!(message.contains("llama3.1-8b") && message.contains("kvtrace models"), "{message}");
    }

    #[test]
    fn bytes_are_taken_as_they_are() {
        let model = Model::resolve("bytes:1000", None).unwrap();
        assert_eq!((model.bytes_per_token(), model.bytes(7)), (1000, 7000));
        for wrong in ["bytes:0", "bytes:-1", "bytes:x", "bytes:", "bytes:99999999999"] {
            assert!(Model::resolve(wrong, None).is_err(), "{wrong}");
        }
        assert!(Model::resolve("bytes:10", Some(KvDtype::Fp8)).is_err());
    }
}
