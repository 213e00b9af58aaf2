//! What a configuration file sets: flags by their long names, and what no flag says: who the users
//! are, own models, the sections of the reference's config.yaml.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use crate::error::{Error, Result, nearest};
use crate::model::Model;
use crate::workload::Population;

mod file;
mod models;
mod node;
mod population;
mod qos;
mod sections;

pub use node::{At, Node};
pub use population::ListedUser;
pub use qos::QosProfiles;

use sections::{Goes, Key};

/// The words of `generation_timing` and `prefill_timing`.
const SPEEDS: [&str; 3] = ["none", "fast", "realistic"];
/// The longest time of a token, in seconds.
const MAX_TOKEN_SECONDS: f64 = 3600.0;
/// Sections that are read by hand; the others are in [`sections::SECTIONS`].
const OWN_SECTIONS: [&str; 9] = [
    "user_templates",
    "qos_distribution",
    "pause_range",
    "users",
    "qos_profiles",
    "generation_timing",
    "prefill_timing",
    "models",
    "model_configs",
];

/// A value of a section that is what a flag sets.
#[derive(Clone, Debug)]
pub struct Lowered {
    pub flag: &'static str,
    pub value: String,
    pub path: String,
    pub only: Only,
}

/// Where a lowered value has a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Only {
    Always,
    /// For sources that hold text.
    Text,
    /// Where tokens are estimated by characters.
    Estimate,
    /// If there are documents.
    Documents,
}

/// The largest value that a flag takes.
#[derive(Clone, Debug)]
pub struct Limit {
    pub flag: &'static str,
    pub most: f64,
    pub path: String,
}

/// What a file says that no flag says.
#[derive(Clone, Debug)]
pub struct Sections {
    pub population: Population,
    pub users: Option<Arc<[ListedUser]>>,
    pub qos: QosProfiles,
    /// Nanoseconds of a token, by the words of `--generation-mode`.
    pub generation_ns: BTreeMap<&'static str, u64>,
    /// Tokens of a document, inclusive, with a small and with a large model.
    pub document_tokens: [(u32, u32); 2],
    pub models: BTreeMap<String, Model>,
    /// The sections of models and limits as they were written.
    pub verbatim: BTreeMap<&'static str, Value>,
    pub limits: Vec<Limit>,
    /// What has no effect on a recording, and why.
    pub without_effect: BTreeMap<&'static str, Vec<String>>,
}

impl Default for Sections {
    fn default() -> Self {
        Self {
            population: Population::default(),
            users: None,
            qos: QosProfiles::default(),
            generation_ns: BTreeMap::new(),
            // The reference's ranges.
            document_tokens: [(4000, 12_000), (1024, 4096)],
            models: BTreeMap::new(),
            verbatim: BTreeMap::new(),
            limits: Vec::new(),
            without_effect: BTreeMap::new(),
        }
    }
}

/// A configuration file.
#[derive(Debug)]
pub struct Config {
    /// The file, as it was named.
    pub name: String,
    /// The keys that are no sections, in the order of the file.
    pub flags: Vec<(String, Node)>,
    /// Keys of sections that are what a flag sets.
    pub lowered: Vec<Lowered>,
    pub sections: Sections,
}

/// Collects what is wrong with a file, so that all of it is said at once.
#[derive(Debug, Default)]
pub struct Faults(Vec<String>);

impl Faults {
    /// Something is wrong.
    pub fn say(&mut self, what: String) {
        self.0.push(what);
    }

    /// The value, or what is wrong with it.
    pub fn keep<T>(&mut self, result: Result<T, String>) -> Option<T> {
        result.map_err(|why| self.say(why)).ok()
    }

    fn set<T>(&mut self, target: &mut T, result: Result<T, String>) {
        if let Some(value) = self.keep(result) {
            *target = value;
        }
    }

    /// The keys of a section, written with underscores.
    fn entries<'a>(&mut self, at: &At<'a>) -> Vec<(String, At<'a>)> {
        let entries = at.entries().map(|entries| entries.map(|(key, value)| (key.replace('-', "_"), value)).collect());
        self.keep(entries).unwrap_or_default()
    }

    /// An error when something was wrong.
    pub fn settle(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::usage(self.0.join("; "))) }
    }
}

/// The complaint about a key that nobody knows.
pub fn unknown<'a>(at: &At<'_>, key: &str, known: impl Iterator<Item = &'a str>) -> String {
    let nearest = nearest(key, known);
    format!("{} has the unknown key {key}; the nearest known is {nearest}", at.path.trim_end_matches(':'))
}

/// The names of all sections.
pub fn section_names() -> impl Iterator<Item = &'static str> {
    OWN_SECTIONS.into_iter().chain(sections::SECTIONS.iter().map(|(name, _)| *name))
}

/// The keys of sections and the flags that they set or limit.
#[cfg(test)]
pub fn flags_of_sections() -> impl Iterator<Item = (String, &'static str)> {
    sections::SECTIONS.iter().flat_map(|(section, keys)| {
        keys.iter()
            .filter_map(move |key| match key.goes {
                Goes::Flag(flag) | Goes::Prefixed(flag, _) | Goes::Text(flag) | Goes::Estimate(flag) => {
                    Some((key, flag))
                }
                Goes::Documents(flag) | Goes::Limit(flag) => Some((key, flag)),
                Goes::DocumentTokens(..) | Goes::Nowhere(_) => None,
            })
            .map(move |(key, flag)| (format!("{section}.{}", key.name), flag))
    })
}

impl Config {
    /// Reads a file; what is wrong with single values goes to `faults`.
    ///
    /// # Errors
    /// A file that cannot be read, or is neither YAML nor TOML.
    pub fn read(path: &Path, faults: &mut Faults) -> Result<Self> {
        let Node::Map(entries) = file::read(path)? else { unreachable!("a file is a map, or refused") };
        let name = path.display().to_string();
        let mut config = Self { name, flags: Vec::new(), lowered: Vec::new(), sections: Sections::default() };
        let file = format!("{}:", config.name);
        let mut said = BTreeMap::new();
        for (key, node) in &entries {
            let section = key.replace('-', "_");
            if let Some(before) = said.insert(section.clone(), key) {
                faults.say(format!("{file} {before} and {key} are the same key"));
            }
            let at = At { path: format!("{file} {key}"), node };
            match section_names().find(|known| *known == section) {
                Some(_) if *node == Node::Null => {}
                Some(section) => config.section(section, &at, faults),
                None => config.flags.push((key.clone(), node.clone())),
            }
        }
        Ok(config)
    }

    fn section(&mut self, name: &'static str, at: &At<'_>, faults: &mut Faults) {
        let sections = &mut self.sections;
        match name {
            "user_templates" => population::templates(at, &mut sections.population, faults),
            "qos_distribution" => population::distribution(at, &mut sections.population, faults),
            "pause_range" => population::pause(at, &mut sections.population, faults),
            "users" => sections.users = Some(population::users(at, faults).into()),
            "qos_profiles" => sections.qos.read(at, faults),
            "generation_timing" => sections.generation_ns = speeds(at, faults),
            "prefill_timing" => {
                drop(speeds(at, faults));
                let why = "prompts take the time that --gpu-model says";
                sections.without_effect.entry(why).or_default().push(name.to_owned());
            }
            "models" | "model_configs" => {
                models::read(at, &mut sections.models, faults);
                sections.verbatim.insert(name, at.node.to_json());
            }
            _ => self.plain_section(name, at, faults),
        }
    }

    /// A section of single values.
    fn plain_section(&mut self, name: &'static str, at: &At<'_>, faults: &mut Faults) {
        let (_, keys) = sections::SECTIONS.iter().find(|(known, _)| *known == name).expect("a name out of the table");
        for (key, value) in faults.entries(at) {
            let Some(known) = keys.iter().find(|known| known.name == key) else {
                faults.say(unknown(at, &key, keys.iter().map(|known| known.name)));
                continue;
            };
            if let Some(word) = faults.keep(known.kind.check(&value)) {
                self.put(name, known, word, value.path);
            }
        }
        if let Some((low, high)) = self.sections.document_tokens.into_iter().find(|(low, high)| low > high) {
            faults.say(format!("{}: documents of {low} tokens at least and {high} at most", at.path));
        }
        if name == "validation_limits" {
            self.sections.verbatim.insert(name, at.node.to_json());
        }
    }

    fn put(&mut self, section: &str, key: &Key, value: String, path: String) {
        let mut lower = |flag, value, only| self.lowered.push(Lowered { flag, value, path: path.clone(), only });
        match key.goes {
            Goes::Flag(flag) => lower(flag, value, Only::Always),
            Goes::Prefixed(flag, prefix) => lower(flag, format!("{prefix}{value}"), Only::Always),
            Goes::Text(flag) => lower(flag, value, Only::Text),
            Goes::Estimate(flag) => lower(flag, value, Only::Estimate),
            Goes::Documents(flag) => lower(flag, value, Only::Documents),
            Goes::DocumentTokens(large, most) => {
                let range = &mut self.sections.document_tokens[usize::from(large)];
                let tokens = value.parse().unwrap_or(u32::MAX);
                if most { range.1 = tokens } else { range.0 = tokens }
            }
            Goes::Limit(flag) => {
                let most = value.parse().unwrap_or(f64::INFINITY);
                self.sections.limits.push(Limit { flag, most, path });
            }
            Goes::Nowhere(why) => {
                let named = self.sections.without_effect.entry(why).or_default();
                named.push(format!("{section}.{}", key.name));
            }
        }
    }
}

impl Sections {
    /// What is in force, as a configuration would say it.
    pub fn print(&self) -> Vec<(&'static str, Value)> {
        let mut printed = population::print(&self.population);
        printed.push(("qos_profiles", self.qos.print()));
        printed
    }

    /// The list of users, if the population is fixed.
    pub fn print_users(&self) -> Option<Value> {
        self.users.as_deref().map(population::print_users)
    }
}

/// Seconds of a token by the words of a mode, in nanoseconds.
fn speeds(at: &At<'_>, faults: &mut Faults) -> BTreeMap<&'static str, u64> {
    let mut speeds = BTreeMap::new();
    for (key, value) in faults.entries(at) {
        let Some(word) = SPEEDS.into_iter().find(|known| *known == key) else {
            faults.say(unknown(at, &key, SPEEDS.into_iter()));
            continue;
        };
        if let Some(seconds) = faults.keep(value.real(0.0, MAX_TOKEN_SECONDS)) {
            speeds.insert(word, (seconds * 1e9).round() as u64);
        }
    }
    speeds
}
