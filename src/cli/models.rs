//! `kvtrace models`

use serde::Serialize;

use crate::error::{Error, Result};
use crate::model::{self, KvDtype, Model};
use crate::output;
use crate::units::{GIB, three_digits};

use super::Global;

/// What was typed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Models by name, config.json or bytes:N [default: all known by name]
    #[arg(value_name = "MODEL")]
    models: Vec<String>,
    /// Tokens of a prompt
    #[arg(long, default_value_t = 8192, value_name = "TOKENS")]
    context: u32,
    /// Users who hold such a prompt at a time
    #[arg(long, default_value_t = 1, value_name = "N")]
    users: u32,
    /// Element type of the KV cache, instead of the model's
    #[arg(long, value_name = "TYPE")]
    kv_dtype: Option<KvDtype>,
}

#[derive(Serialize)]
struct Listing {
    schema: &'static str,
    tool: &'static str,
    context_tokens: u32,
    users: u32,
    models: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    attention: &'static str,
    layers: u64,
    windowed_layers: u64,
    kv_dtype: &'static str,
    bytes_per_token: u64,
    parameters: Option<u64>,
    active_parameters: Option<u64>,
    parameters_estimated: bool,
    context_bytes: u64,
    users_bytes: u64,
}

impl Row {
    fn of(model: &Model, args: &Args) -> Self {
        let context_bytes = model.bytes(u64::from(args.context));
        Self {
            name: model.name.clone(),
            attention: model.attention.word(),
            layers: model.layers(),
            windowed_layers: model.windowed_layers(),
            kv_dtype: model.dtype_word(),
            bytes_per_token: model.bytes_per_token(),
            parameters: model.parameters.map(|weights| weights.total),
            active_parameters: model.parameters.map(|weights| weights.active),
            parameters_estimated: model.parameters.is_some_and(|weights| weights.estimated),
            context_bytes,
            users_bytes: context_bytes.saturating_mul(u64::from(args.users)),
        }
    }
}

pub fn run(args: Args, global: Global) -> Result<()> {
    if args.context == 0 || args.users == 0 {
        return Err(Error::usage("--context and --users are above 0"));
    }
    let named: Vec<String> =
        if args.models.is_empty() { model::names().map(str::to_owned).collect() } else { args.models.clone() };
    let models = named.iter().map(|name| Ok(Row::of(&Model::resolve(name, args.kv_dtype)?, &args)));
    let models = models.collect::<Result<Vec<_>>>()?;
    let Args { context: context_tokens, users, .. } = args;
    let listing = Listing { schema: "kvtrace.models/1", tool: crate::TOOL, context_tokens, users, models };
    let text = if global.json { output::to_json(&listing) } else { table(&listing).into_bytes() };
    output::to_stdout(&text)
}

fn table(listing: &Listing) -> String {
    let mut head = vec![
        "model".to_owned(),
        "attention".into(),
        "layers".into(),
        "dtype".into(),
        "weights".into(),
        "bytes/token".into(),
    ];
    head.push(format!("GiB at {} tokens", listing.context_tokens));
    if listing.users > 1 {
        head.push(format!("GiB of {} users", listing.users));
    }
    let gib = |bytes: u64| format!("{:.3}", bytes as f64 / GIB as f64);
    let mut rows = vec![head];
    for model in &listing.models {
        let layers = match model.windowed_layers {
            0 => model.layers.to_string(),
            windowed => format!("{} ({windowed} windowed)", model.layers),
        };
        let bytes_per_token = model.bytes_per_token.to_string();
        let mut row = vec![
            model.name.clone(),
            model.attention.into(),
            layers,
            model.kv_dtype.into(),
            weights(model),
            bytes_per_token,
        ];
        row.push(gib(model.context_bytes));
        if listing.users > 1 {
            row.push(gib(model.users_bytes));
        }
        rows.push(row);
    }
    align(&rows)
}

/// In thousands of millions: all, and in brackets those that a token uses; `~` marks an estimate.
fn weights(row: &Row) -> String {
    let (Some(total), Some(active)) = (row.parameters, row.active_parameters) else { return "-".to_owned() };
    let billions = |number: u64| three_digits(number as f64 / 1e9);
    let about = if row.parameters_estimated { "~" } else { "" };
    match active == total {
        true => format!("{about}{} B", billions(total)),
        false => format!("{about}{} B ({} active)", billions(total), billions(active)),
    }
}

/// Columns as wide as their widest cell; the first to the left, numbers to the right.
fn align(rows: &[Vec<String>]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
            0 | 1 | 3 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}
