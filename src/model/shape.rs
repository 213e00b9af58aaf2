//! The shape of a model, as a configuration of the reference gives it: what the size of its KV
//! cache follows from.

use crate::error::{Error, Result};

use super::{Attention, KvDtype, LayerGroup, Model, table};

/// The largest number that is believed of a model; products of these fit 128 bits.
const LARGEST_FIELD: u64 = 1 << 24;

/// The numbers of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Layers.
    pub num_layers: u64,
    /// The width of the hidden state.
    pub hidden_dim: u64,
    /// Query heads.
    pub num_heads: u64,
    /// Heads of keys and values; of no meaning with MLA.
    pub kv_heads: u64,
    /// The dimension of a head; 0: the hidden dimension over the query heads.
    pub kv_dim_per_head: u64,
    /// How attention stores keys and values.
    pub attention: Attention,
    /// The latent dimension of MLA.
    pub kv_lora_rank: u64,
    /// The rotary dimension of MLA.
    pub qk_rope_head_dim: u64,
    /// The element type.
    pub dtype: KvDtype,
}

impl Default for Shape {
    /// What the reference takes for a field that is not given.
    fn default() -> Self {
        Self {
            num_layers: 32,
            hidden_dim: 4096,
            num_heads: 32,
            kv_heads: 8,
            kv_dim_per_head: 0,
            attention: Attention::Mha,
            kv_lora_rank: 0,
            qk_rope_head_dim: 0,
            dtype: KvDtype::Float16,
        }
    }
}

impl Shape {
    /// The model of this shape, with the weights of the known model of that name, if there is one.
    ///
    /// # Errors
    /// A shape whose cache has no bytes per token, or more than are believed.
    pub fn model(&self, name: &str) -> Result<Model> {
        let elements = self.elements().map_err(|why| Error::usage(format!("model {name}: {why}")))?;
        let groups = vec![LayerGroup { layers: self.num_layers, elements, window: None }];
        let model = Model {
            name: name.to_owned(),
            attention: self.attention,
            kv_dtype: Some(self.dtype),
            parameters: table::parameters(name),
            groups,
            bits: self.dtype.bits(),
            hidden_size: Some(self.hidden_dim),
        };
        model.checked()
    }

    /// Elements that a layer stores for a token: 2 × KV heads × head dimension, or with MLA the
    /// latent and the rotary dimension.
    fn elements(&self) -> Result<u64, &'static str> {
        let fields = [self.num_layers, self.hidden_dim, self.num_heads, self.kv_heads, self.kv_dim_per_head];
        if fields.into_iter().chain([self.kv_lora_rank, self.qk_rope_head_dim]).any(|field| field > LARGEST_FIELD) {
            return Err("a number above 16777216 is none of a model");
        }
        if self.attention == Attention::Mla {
            return Ok(self.kv_lora_rank + self.qk_rope_head_dim);
        }
        let head_dim = match (self.kv_dim_per_head, self.num_heads) {
            (0, 0) => return Err("num_heads is 0"),
            (0, heads) => self.hidden_dim / heads,
            (given, _) => given,
        };
        Ok(2 * self.kv_heads * head_dim)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_are_not_given_are_the_references() {
        let model = Shape { kv_heads: 4, ..Shape::default() }.model("mine").unwrap();
        assert_eq!(model.bytes_per_token(), 32 * 4 * 128 * 2 * 2);
        let mla = Shape { attention: Attention::Mla, kv_lora_rank: 100, qk_rope_head_dim: 28, ..Shape::default() };
        assert_eq!(mla.model("mine").unwrap().bytes_per_token(), 32 * 128 * 2);
    }

    #[test]
    fn shapes_that_cannot_be_are_refused_by_name() {
        for shape in [
            Shape { num_heads: 0, ..Shape::default() },
            Shape { kv_heads: u64::MAX, ..Shape::default() },
            Shape { num_layers: u64::MAX, kv_heads: 1 << 60, kv_dim_per_head: 1, ..Shape::default() },
            Shape { kv_heads: 0, ..Shape::default() },
            Shape { attention: Attention::Mla, kv_lora_rank: u64::MAX, qk_rope_head_dim: 1, ..Shape::default() },
        ] {
            assert!(shape.model("mine").unwrap_err().to_string().contains("model mine"), "{shape:?}");
        }
    }
}
