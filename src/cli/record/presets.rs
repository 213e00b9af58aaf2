//! `--preset`: whole invocations that were published for the reference, as flags of ours.

use serde_json::{Value, json};

use crate::error::{Error, Result, nearest};

/// The seed of a preset's rank 0 (the reference's seed base); rank N has this plus N.
pub const FIRST_SEED: u64 = 42;

const SMALL: &str = "llama3.1-8b";
const LARGE: &str = "llama3.1-70b-instruct";
const NONE: &str = "none";
const REALISTIC: &str = "realistic";
/// What of an original has no meaning in a recording.
const AUTOSCALING: &str = "autoscaling, so that users stay as many as it starts with";
const PASS_RULE: &str = "--performance-profile, the rule by which a run passes";

/// A published invocation.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    pub name: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    source: &'static str,
    model: &'static str,
    users: u32,
    seconds: u32,
    gpu_gib: u32,
    cpu_gib: u32,
    generation: &'static str,
    /// More flags and their values.
    more: &'static [(&'static str, &'static str)],
    /// What of the original has no meaning in a recording; may be empty.
    pub left_out: &'static str,
    /// Whether every rank of a run makes one of its own.
    pub ranked: bool,
}

const fn preset(
    name: &'static str,
    about: &'static str,
    (model, users, seconds): (&'static str, u32, u32),
    (gpu_gib, cpu_gib): (u32, u32),
    generation: &'static str,
) -> Preset {
    Preset {
        name,
        about,
        source: "synthetic",
        model,
        users,
        seconds,
        gpu_gib,
        cpu_gib,
        generation,
        more: &[],
        left_out: "",
        ranked: false,
    }
}

impl Preset {
    const fn ranked(self) -> Self {
        Self { ranked: true, ..self }
    }

    const fn without(self, left_out: &'static str) -> Self {
        Self { left_out, ..self }
    }

    const fn with(self, more: &'static [(&'static str, &'static str)]) -> Self {
        Self { more, ..self }
    }

    const fn of_file(self, source: &'static str) -> Self {
        Self { source, ..self }
    }

    /// Flags and their values, the source among them; `rank` is of a ranked preset.
    pub fn flags(&self, rank: u32) -> Vec<(&'static str, String)> {
        let mut flags = vec![
            ("source", self.source.to_owned()),
            ("model", self.model.to_owned()),
            ("num-users", self.users.to_string()),
            ("duration", self.seconds.to_string()),
            ("gpu-mem-gb", self.gpu_gib.to_string()),
            ("cpu-mem-gb", self.cpu_gib.to_string()),
            ("generation-mode", self.generation.to_owned()),
            ("seed", (FIRST_SEED + u64::from(rank)).to_string()),
        ];
        flags.extend(self.more.iter().map(|(flag, value)| (*flag, (*value).to_owned())));
        flags
    }
}

const ALLOCS_4: &[(&str, &str)] = &[("max-concurrent-allocs", "4")];
const ALLOCS_16: &[(&str, &str)] = &[("max-concurrent-allocs", "16")];
const DOCUMENTS: &[(&str, &str)] = &[("enable-rag", "true")];
const CONVERSATIONS: &[(&str, &str)] = &[("max-conversations", "1000")];

/// The presets. Sources: the options of MLPerf Storage v3.0's rules for the KV cache test
/// (mlperf-option-N); the proposal's recommended invocations of December 2025 (proposal-N) and its
/// quick validation suite of January 2026 (smoke-N, with two tests numbered 5); the wrapper script
/// (suite-NAME), whose numbers follow from the machine: here one of 64 GiB of memory and a GPU of
/// 16 GiB, hence 50 users or 300, and 32 GiB or 8.
pub const PRESETS: [Preset; 25] = [
    preset("mlperf-option-1", "MLPerf, maximum storage stress", (SMALL, 200, 300), (0, 0), NONE)
        .with(ALLOCS_16)
        .ranked(),
    preset("mlperf-option-2", "MLPerf, storage throughput", (SMALL, 100, 300), (0, 4), NONE).with(ALLOCS_16).ranked(),
    preset("mlperf-option-3", "MLPerf, large model", (LARGE, 70, 300), (0, 0), NONE).with(ALLOCS_4).ranked(),
    preset("proposal-8b", "proposed submission", (SMALL, 150, 600), (0, 0), REALISTIC).without(PASS_RULE),
    preset("proposal-70b", "proposed submission", (LARGE, 40, 600), (0, 0), REALISTIC).without(PASS_RULE),
    preset("smoke-1", "maximum storage stress", (SMALL, 200, 180), (0, 0), NONE).with(ALLOCS_16),
    preset("smoke-2", "storage throughput", (SMALL, 100, 180), (0, 4), NONE),
    preset("smoke-3", "three tiers", (SMALL, 100, 300), (16, 32), REALISTIC),
    preset("smoke-4", "most users in time", (SMALL, 20, 300), (16, 32), REALISTIC).without(AUTOSCALING),
    preset("smoke-5", "peak throughput", (LARGE, 10, 180), (0, 4), NONE).without(AUTOSCALING),
    preset("smoke-5b", "submission", (SMALL, 150, 600), (0, 2), REALISTIC).without(PASS_RULE),
    preset("smoke-6", "submission", (LARGE, 40, 600), (0, 4), REALISTIC).without(PASS_RULE),
    preset("smoke-7", "questions about documents", (SMALL, 30, 300), (16, 32), REALISTIC).with(DOCUMENTS),
    preset("smoke-8", "everything at once", (LARGE, 10, 300), (16, 64), REALISTIC).with(DOCUMENTS).without(AUTOSCALING),
    preset("smoke-9", "conversations; a ShareGPT FILE is to be given", (LARGE, 50, 300), (0, 2), NONE)
        .with(CONVERSATIONS)
        .of_file("sharegpt"),
    preset("suite-gpu-only", "the GPU holds most", (SMALL, 50, 120), (16, 4), REALISTIC),
    preset("suite-cpu-only", "memory holds most", (SMALL, 50, 120), (0, 32), REALISTIC),
    preset("suite-storage-only", "storage holds most", (SMALL, 50, 120), (0, 4), REALISTIC),
    preset("suite-gpu-cpu", "GPU and memory", (SMALL, 50, 120), (16, 32), REALISTIC),
    preset("suite-cpu-storage", "memory and storage, many users", (SMALL, 300, 120), (0, 8), REALISTIC),
    preset("suite-gpu-cpu-storage", "three tiers, many users", (SMALL, 300, 120), (16, 8), REALISTIC),
    preset("suite-storage-saturation", "storage, many users, longer", (SMALL, 300, 180), (0, 4), REALISTIC),
    preset("suite-production", "usual load", (SMALL, 50, 180), (16, 32), REALISTIC),
    preset("suite-autoscale", "most users in time", (SMALL, 20, 300), (16, 8), REALISTIC).without(AUTOSCALING),
    preset("suite-capacity-autoscale", "peak throughput", (LARGE, 10, 300), (0, 4), NONE).without(AUTOSCALING),
];

/// The preset of a name.
///
/// # Errors
/// An unknown name, with the nearest.
pub fn find(name: &str) -> Result<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name).ok_or_else(|| {
        let nearest = nearest(name, PRESETS.iter().map(|preset| preset.name));
        Error::usage(format!("unknown preset `{name}`; the nearest is {nearest}, --list-presets lists them"))
    })
}

/// All presets, for people or as JSON.
pub fn list(as_json: bool) -> String {
    if as_json {
        let entry = |preset: &Preset| {
            let flags: serde_json::Map<String, Value> =
                preset.flags(0).into_iter().map(|(flag, value)| (flag.to_owned(), value.into())).collect();
            json!({
                "name": preset.name,
                "about": preset.about,
                "flags": flags,
                "left_out": preset.left_out,
                "ranked": preset.ranked,
            })
        };
        let presets: Vec<Value> = PRESETS.iter().map(entry).collect();
        return format!("{:#}\n", json!({ "schema": "kvtrace.presets/1", "tool": crate::TOOL, "presets": presets }));
    }
    PRESETS.iter().map(line).collect()
}

fn line(preset: &Preset) -> String {
    let Preset { model, users, seconds, gpu_gib, cpu_gib, generation, .. } = preset;
    let more: String = preset.more.iter().map(|(flag, value)| format!(", {flag} {value}")).collect();
    let without = if preset.left_out.is_empty() { String::new() } else { format!("; without {}", preset.left_out) };
    format!(
        "{:<25} {}: {model}, {users} users, {seconds} s, gpu {gpu_gib} GiB, cpu {cpu_gib} GiB, generation \
         {generation}{more}{without}\n",
        preset.name, preset.about
    )
}
