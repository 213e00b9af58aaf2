//! CSV of requests, with only the columns that are known to say nothing of anybody.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::Path;

use crate::error::{Error, Result};
use crate::workload::Request;

use super::salt::Salt;

/// BurstGPT's columns.
const BURSTGPT: [&str; 8] = [
    "Timestamp",
    "Session ID",
    "Elapsed time",
    "Model",
    "Request tokens",
    "Response tokens",
    "Total tokens",
    "Log Type",
];
/// Words that may stay as they are.
const WORDS: [&str; 4] = ["ChatGPT", "GPT-4", "Conversation log", "API log"];

/// Rewrites BurstGPT's rows, whose stamps begin at 0 afterwards; the first stamp, and the rows.
pub fn burstgpt(
    path: &Path,
    input: &mut dyn FnMut() -> Result<Box<dyn Read + Send>>,
    out: &mut impl Write,
    salt: &Salt,
    removed: &mut BTreeMap<String, u64>,
) -> Result<(f64, u64)> {
    let damaged = |e: csv::Error| Error::usage(format!("cannot read {}: {e}", path.display()));
    let written = |e: csv::Error| Error::io(format!("cannot write the anonymised rows: {e}"));
    let mut reader = csv::Reader::from_reader(input()?);
    let header = reader.headers().map_err(damaged)?.clone();
    let place = |name: &str| header.iter().position(|column| column.trim().eq_ignore_ascii_case(name));
    let columns: Vec<(usize, &str)> = BURSTGPT.iter().filter_map(|name| Some((place(name)?, *name))).collect();
    for (at, name) in header.iter().enumerate() {
        if !columns.iter().any(|(known, _)| *known == at) {
            *removed.entry(name.chars().take(32).collect()).or_default() += 1;
        }
    }
    let stamp = |row: &csv::StringRecord| row.get(place("Timestamp")?)?.trim().parse::<f64>().ok();
    let mut first = f64::INFINITY;
    for row in reader.into_records() {
        first = stamp(&row.map_err(damaged)?).filter(|at| at.is_finite()).map_or(first, |at| first.min(at));
    }
    let first = if first.is_finite() { first } else { 0.0 };
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record(columns.iter().map(|(_, name)| *name)).map_err(written)?;
    let mut rows = 0;
    for row in csv::Reader::from_reader(input()?).into_records() {
        let row = row.map_err(damaged)?;
        let cell =
            |(at, name): &(usize, &'static str)| cell(name, row.get(*at).unwrap_or_default().trim(), first, salt);
        writer.write_record(columns.iter().map(cell)).map_err(written)?;
        rows += 1;
    }
    writer.flush().map_err(|e| Error::io(format!("cannot write the anonymised rows: {e}")))?;
    Ok((first, rows))
}

fn cell(name: &'static str, value: &str, first: f64, salt: &Salt) -> String {
    match name {
        _ if value.is_empty() => String::new(),
        "Session ID" => salt.name("conversation", value),
        "Model" | "Log Type" if WORDS.contains(&value) => value.to_owned(),
        "Model" => salt.name("model", value),
        _ => match value.parse::<f64>() {
            Ok(number) if name == "Timestamp" && number.is_finite() => {
                // Nanoseconds are what readers keep of it.
                (((number - first) * 1e9).round() / 1e9).to_string()
            }
            Ok(number) if number.is_finite() => value.to_owned(),
            _ => String::new(),
        },
    }
}

/// Requests that have lengths and stamps only, in Vidur's columns: a wall clock stays behind.
pub fn vidur(requests: impl Iterator<Item = Result<Request>>, out: &mut impl Write) -> Result<u64> {
    let failed = |e: std::io::Error| Error::io(format!("cannot write the anonymised rows: {e}"));
    writeln!(out, "arrived_at,num_prefill_tokens,num_decode_tokens").map_err(failed)?;
    let mut rows = 0;
    for request in requests {
        let Request { arrival_ns, context_tokens, generate_tokens, .. } = request?;
        let (whole, below) = (arrival_ns / 1_000_000_000, arrival_ns % 1_000_000_000);
        writeln!(out, "{whole}.{below:09},{context_tokens},{generate_tokens}").map_err(failed)?;
        rows += 1;
    }
    Ok(rows)
}
