//! The sections `models` and `model_configs`: somebody's own models, and known ones with some
//! numbers changed.

use std::collections::BTreeMap;

use crate::model::{Attention, KvDtype, Model, Shape, known_shape};

use super::node::{At, Node};
use super::{Faults, unknown};

/// A number of a shape, to be set.
type Field = fn(&mut Shape) -> &mut u64;

/// The numbers of a model as the reference names them, with the field that each sets.
const NUMBERS: [(&str, Field); 7] = [
    ("num_layers", |shape| &mut shape.num_layers),
    ("hidden_dim", |shape| &mut shape.hidden_dim),
    ("num_heads", |shape| &mut shape.num_heads),
    ("kv_heads", |shape| &mut shape.kv_heads),
    ("kv_dim_per_head", |shape| &mut shape.kv_dim_per_head),
    ("kv_lora_rank", |shape| &mut shape.kv_lora_rank),
    ("qk_rope_head_dim", |shape| &mut shape.qk_rope_head_dim),
];
/// The keys of a model that are no numbers of its shape.
const OTHERS: [&str; 4] = ["name", "dtype", "attention_type", "bytes_per_token"];

/// Reads a section of models.
pub fn read(at: &At<'_>, models: &mut BTreeMap<String, Model>, faults: &mut Faults) {
    let entries = match at.entries() {
        Ok(entries) => entries,
        Err(why) => return faults.say(why),
    };
    for (name, fields) in entries {
        if let Some(model) = faults.keep(model(name, &fields)) {
            models.insert(name.to_owned(), model);
        }
    }
}

fn model(name: &str, at: &At<'_>) -> Result<Model, String> {
    let mut shape = known_shape(name).unwrap_or_default();
    let mut bytes_per_token = None;
    for (key, value) in at.entries()? {
        let key = key.replace('-', "_");
        if let Some((_, field)) = NUMBERS.iter().find(|(known, _)| *known == key) {
            *field(&mut shape) = value.whole(0, u64::MAX)?;
            continue;
        }
        match key.as_str() {
            // A name for people; the key is what --model takes.
            "name" => drop(value.text()?),
            "dtype" => shape.dtype = dtype(&value)?,
            "attention_type" => shape.attention = attention(&value)?,
            "bytes_per_token" => bytes_per_token = Some(value.whole(1, u64::MAX)?),
            _ => return Err(unknown(at, &key, NUMBERS.iter().map(|(known, _)| *known).chain(OTHERS))),
        }
    }
    let model = match bytes_per_token {
        Some(bytes) => Model::of_bytes_per_token(name, bytes),
        None => shape.model(name),
    };
    model.map_err(|why| format!("{}: {why}", at.path))
}

fn dtype(at: &At<'_>) -> Result<KvDtype, String> {
    at.text()?.parse().map_err(|why: String| format!("{}: {why}", at.path))
}

fn attention(at: &At<'_>) -> Result<Attention, String> {
    let kinds = [Attention::Mha, Attention::Gqa, Attention::Mla];
    let Node::Text(word) = at.node else { return Err(at.not("mha, gqa or mla")) };
    kinds.into_iter().find(|kind| kind.word() == word).ok_or_else(|| at.not("mha, gqa or mla"))
}
