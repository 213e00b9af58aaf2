//! A GPU described in a file, TOML or JSON.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

use crate::checksum;
use crate::error::{Error, Result, nearest};

use super::spec::GpuSpec;

/// The keys, and what they may be; all numbers but the name.
const KEYS: [(&str, f64, f64); 12] = [
    ("name", 0.0, 0.0),
    ("prefill_tokens_per_s", 1e-3, 1e12),
    ("decode_step_us", 1e-3, 1e12),
    ("decode_us_per_request", 0.0, 1e12),
    ("decode_ns_per_context_token", 0.0, 1e12),
    ("flops", 1e6, 1e21),
    ("utilisation", 1e-6, 1.0),
    ("hbm_gb_per_s", 1e-3, 1e9),
    ("hbm_gb", 1e-3, 1e9),
    ("step_overhead_us", 0.0, 1e12),
    ("pcie_gb_per_s", 1e-3, 1e9),
    ("max_num_seqs", 1.0, 100_000.0),
];

/// Reads a description; without a name it is called as its file.
///
/// # Errors
/// A file that cannot be read, a key that is not known (naming the nearest), a number that is
/// out of range, numbers that do not say how long anything takes.
pub fn read(path: &Path) -> Result<GpuSpec> {
    let bytes = fs::read(path).map_err(|e| Error::reading(path, &e))?;
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let spec = parse(&String::from_utf8_lossy(&bytes), stem).map_err(|e| e.context(path.display()))?;
    Ok(GpuSpec { sha256: Some(checksum::of(&bytes)), ..spec })
}

fn parse(text: &str, stem: String) -> Result<GpuSpec> {
    let wrong = |why: String| Error::usage(format!("not the description of a GPU (TOML or JSON): {why}"));
    let fields: Map<String, Value> = match text.trim_start().starts_with('{') {
        true => serde_json::from_str(text).map_err(|e| wrong(e.to_string()))?,
        false => toml::from_str(text).map_err(|e| wrong(e.to_string().trim().replace('\n', "; ")))?,
    };
    if let Some(unknown) = fields.keys().find(|key| KEYS.iter().all(|known| known.0 != **key)) {
        let known = KEYS.iter().map(|known| known.0);
        let meant = nearest(unknown, known.clone());
        let all: Vec<&str> = known.collect();
        return Err(Error::usage(format!(
            "unknown key `{unknown}`; did you mean `{meant}`? Known are {}",
            all.join(", ")
        )));
    }
    let number = |key| number(&fields, key);
    let spec = GpuSpec {
        name: name(&fields)?.unwrap_or(stem),
        prefill_tokens_per_s: number("prefill_tokens_per_s")?,
        decode_step_us: number("decode_step_us")?,
        decode_us_per_request: number("decode_us_per_request")?,
        decode_ns_per_context_token: number("decode_ns_per_context_token")?,
        flops: number("flops")?,
        utilisation: number("utilisation")?,
        hbm_gb_per_s: number("hbm_gb_per_s")?,
        hbm_gb: number("hbm_gb")?,
        step_overhead_us: number("step_overhead_us")?,
        pcie_gb_per_s: number("pcie_gb_per_s")?,
        max_num_seqs: number("max_num_seqs")?.map(|count| count as u32),
        sha256: None,
    };
    complete(&spec)?;
    Ok(spec)
}

fn name(fields: &Map<String, Value>) -> Result<Option<String>> {
    match fields.get("name") {
        None => Ok(None),
        Some(Value::String(name)) if !name.is_empty() => Ok(Some(name.clone())),
        Some(other) => Err(Error::usage(format!("`name` is {other}; expected text"))),
    }
}

fn number(fields: &Map<String, Value>, key: &str) -> Result<Option<f64>> {
    let Some(value) = fields.get(key) else { return Ok(None) };
    let &(_, low, high) = KEYS.iter().find(|known| known.0 == key).expect("only known keys are asked for");
    match value.as_f64() {
        Some(number) if (low..=high).contains(&number) => Ok(Some(number)),
        _ => Err(Error::usage(format!("`{key}` is {value}; expected a number from {low} to {high:e}"))),
    }
}

/// Prefill and decode each follow from something, and nothing is given that has no effect.
fn complete(spec: &GpuSpec) -> Result<()> {
    let missing = |what: &str, measured: &str, hardware: &str| {
        Err(Error::usage(format!("nothing says how long {what} takes; give {measured} or {hardware}")))
    };
    if spec.prefill_tokens_per_s.is_none() && spec.flops.is_none() {
        return missing("prefill", "prefill_tokens_per_s", "flops");
    }
    if spec.decode_step_us.is_none() && spec.hbm_gb_per_s.is_none() {
        return missing("decode", "decode_step_us", "hbm_gb_per_s");
    }
    let idle = [
        (
            "decode_us_per_request",
            spec.decode_us_per_request.is_some() && spec.decode_step_us.is_none(),
            "decode_step_us",
        ),
        ("utilisation", spec.utilisation.is_some() && spec.flops.is_none(), "flops"),
    ];
    match idle.iter().find(|(_, is_idle, _)| *is_idle) {
        Some((key, _, needed)) => Err(Error::usage(format!("`{key}` has no effect without `{needed}`"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_in_either_language() {
        let toml = parse("# ours\nflops = 989e12\nhbm_gb_per_s = 3350\nmax_num_seqs = 64", "mine".to_owned()).unwrap();
        assert_eq!((toml.name.as_str(), toml.flops, toml.max_num_seqs), ("mine", Some(989e12), Some(64)));
        let json = parse(r#"{"name":"x","prefill_tokens_per_s":20000,"decode_step_us":9.5}"#, String::new()).unwrap();
        assert_eq!((json.name.as_str(), json.decode_step_us), ("x", Some(9.5)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, named) in [
            ("hbm_gbps = 3\nflops = 1e15", "hbm_gb_per_s"),
            ("flops = -1\nhbm_gb_per_s = 3", "`flops` is -1"),
            ("flops = nan\nhbm_gb_per_s = 3", "`flops`"),
            ("flops = 1e15\nhbm_gb_per_s = 3\nutilisation = 1.5", "utilisation"),
            ("flops = 1e15", "decode_step_us"),
            ("hbm_gb_per_s = 3", "prefill_tokens_per_s"),
            ("prefill_tokens_per_s = 1000\nhbm_gb_per_s = 3\nutilisation = 0.5", "no effect"),
            ("flops = ", "TOML"),
            ("{", "JSON"),
            ("name = 3\nflops = 1e15", "name"),
        ] {
            let message = parse(text, "x".to_owned()).unwrap_err().to_string();
            assert!(message.contains(named), "{text}: {message}");
        }
    }
}
