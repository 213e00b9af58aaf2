//! What is not typed, layer upon layer: profile, preset, configuration.

use std::path::Path;

use clap::{Arg, ArgAction, Command};

use crate::error::{Error, Result};

use super::super::config::{At, Config, Faults, Lowered, Node, Only, section_names, unknown};
use super::super::{presets, profile};
use super::{Layers, SOURCE, Setting, Settings, Typed, Value, is_switch, name_of};

/// Arguments that no file can set.
const TYPED_ONLY: [&str; 5] = ["config", "print_config", "list_presets", "help", "version"];

/// The layers so far.
pub struct Stack<'a> {
    root: &'a Command,
    command: &'a Command,
    typed: &'a Typed,
    settings: Settings,
    layers: Layers,
    faults: Faults,
}

impl<'a> Stack<'a> {
    /// Nothing is set; `command` is the subcommand of `root` that was typed.
    pub fn new(root: &'a Command, command: &'a Command, typed: &'a Typed) -> Self {
        let (settings, layers, faults) = (Settings::new(), Layers::default(), Faults::default());
        Self { root, command, typed, settings, layers, faults }
    }

    /// All layers, the later over the earlier.
    pub fn fill(mut self) -> Result<(Settings, Layers)> {
        let path = self.typed.word("config");
        if path.as_deref() == Some("-") {
            return Err(Error::usage("--config -: a configuration is a file; save standard input to one first"));
        }
        let config = path.map(|path| Config::read(Path::new(&path), &mut self.faults)).transpose()?;
        let chosen = |name: &str| {
            let of_file = || config.as_ref()?.flags.iter().find(|(key, _)| key == name)?.1.word();
            self.typed.word(name).or_else(of_file)
        };
        let (profile, preset, rank) = (chosen("profile"), chosen("preset"), chosen("rank"));
        if let Some(profile) = profile {
            for (flag, value) in profile::table(&profile) {
                self.set(flag, value, &format!("--profile {profile}"));
            }
        }
        match preset {
            Some(name) => self.preset(&name, rank.as_deref())?,
            None if rank.is_some() => self.faults.say("--rank is of a --preset mlperf-option-N".to_owned()),
            None => {}
        }
        if let Some(config) = config {
            self.config(config);
        }
        self.rank_or_seed(rank.is_some());
        self.one_time_of_tokens();
        self.faults.settle()?;
        Ok((self.settings, self.layers))
    }

    fn arg(&self, name: &str) -> Option<&'a Arg> {
        self.command.get_arguments().find(|arg| name_of(arg) == name)
    }

    /// A value of ours, which is known to be right; a test holds every table against the flags.
    fn set(&mut self, flag: &str, value: &str, origin: &str) {
        let arg = self.arg(flag).expect("tables name flags that there are");
        let value = match (is_switch(arg), value) {
            (true, "true") => Value::On,
            (true, _) => Value::Unset,
            (false, value) => Value::Words(vec![value.to_owned()]),
        };
        self.settings.insert(flag.to_owned(), Setting { value, origin: origin.to_owned() });
    }

    fn preset(&mut self, name: &str, rank: Option<&str>) -> Result<()> {
        let preset = presets::find(name)?;
        if rank.is_some() && !preset.ranked {
            self.faults.say(format!("--rank is of a --preset mlperf-option-N, and the preset is {name}"));
        }
        // A rank that is no number is left to the flag itself.
        let rank = rank.and_then(|rank| rank.parse().ok()).unwrap_or(0);
        for (flag, value) in preset.flags(rank) {
            self.set(flag, &value, &format!("--preset {name}"));
        }
        if !preset.left_out.is_empty() {
            self.layers.notes.push(format!("preset {name}: a recording leaves out {}", preset.left_out));
        }
        Ok(())
    }

    /// The seed follows from the rank, or is given, but not both.
    fn rank_or_seed(&mut self, ranked: bool) {
        let of_preset = |setting: &Setting| setting.origin.starts_with("--preset");
        let elsewhere = self.typed.sets("seed") || self.settings.get("seed").is_some_and(|seed| !of_preset(seed));
        if ranked && elsewhere {
            let first = presets::FIRST_SEED;
            self.faults.say(format!("--rank N is the seed {first} + N; give --rank or --seed, not both"));
        }
    }

    /// A GPU that is modelled has its own time of a token, in place of a preset's.
    fn one_time_of_tokens(&mut self) {
        let fixed = Value::Words(vec!["fixed".to_owned()]);
        let typed = self.typed.word("gpu_model").is_some_and(|gpu| gpu != "fixed");
        let said = self.settings.get("gpu-model").is_some_and(|said| said.value != fixed && said.value != Value::Unset);
        if typed || said {
            self.settings.retain(|flag, setting| flag != "generation-mode" || !setting.origin.starts_with("--"));
        }
    }

    fn config(&mut self, mut config: Config) {
        let mut said = Vec::new();
        for (key, node) in std::mem::take(&mut config.flags) {
            let at = At { path: format!("{}: {key}", config.name), node: &node };
            let name = key.replace('_', "-");
            match self.arg(&name).filter(|arg| !TYPED_ONLY.contains(&arg.get_id().as_str())) {
                Some(arg) => {
                    let value = value(arg, &at);
                    if let Some(value) = self.faults.keep(value) {
                        said.push(name.clone());
                        self.settings.insert(name, Setting { value, origin: at.path });
                    }
                }
                None => self.unknown(&config.name, &key, &name),
            }
        }
        self.fixed_users(&config);
        for lowered in std::mem::take(&mut config.lowered) {
            if said.iter().any(|name| name == lowered.flag) {
                self.faults.say(format!("{} and {} set the same; take one of them away", lowered.path, lowered.flag));
            } else if self.applies(lowered.only) {
                let Lowered { flag, value, path, .. } = lowered;
                self.set(flag, &value, &path);
            }
        }
        for (why, keys) in &config.sections.without_effect {
            let keys = keys.join(", ");
            self.layers.notes.push(format!("{}: no effect on a recording, because {why}: {keys}", config.name));
        }
        self.layers.sections = config.sections;
    }

    /// Whether a value has a meaning for what is recorded.
    fn applies(&self, only: Only) -> bool {
        match only {
            Only::Always => true,
            Only::Documents if self.typed.sets("enable-rag") => self.typed.has("enable_rag"),
            Only::Documents => self.settings.get("enable-rag").is_some_and(|said| said.value == Value::On),
            Only::Text => self.word(SOURCE, SOURCE).is_some_and(|source| source != "synthetic"),
            Only::Estimate => {
                self.applies(Only::Text) && self.word("tokenizer", "tokenizer").is_some_and(|by| by == "chars4")
            }
        }
    }

    /// The value of a flag, typed or not, by its name and clap's id; none where it has its default.
    fn word(&self, flag: &str, id: &str) -> Option<String> {
        if self.typed.sets(flag) {
            return self.typed.word(id);
        }
        match &self.settings.get(flag)?.value {
            Value::Words(words) => words.first().cloned(),
            _ => None,
        }
    }

    /// A list of users says how many there are.
    fn fixed_users(&mut self, config: &Config) {
        let Some(users) = &config.sections.users else { return };
        let count = users.len().to_string();
        let words = Value::Words(vec![count.clone()]);
        let typed = self.typed.word("num_users").filter(|typed| *typed != count);
        let said = self.settings.get("num-users").filter(|said| said.value != words && !said.origin.starts_with("--"));
        let origin = format!("{}: users", config.name);
        if typed.is_some() || said.is_some() {
            self.faults.say(format!("{origin} lists {count} users, and --num-users says another number"));
        }
        self.settings.insert("num-users".to_owned(), Setting { value: words, origin });
    }

    fn unknown(&mut self, file: &str, key: &str, name: &str) {
        let has = |command: &Command| command.get_arguments().any(|arg| name_of(arg) == name);
        let elsewhere = self.root.get_subcommands().find(|command| has(command));
        if self.arg(name).is_some() {
            self.faults.say(format!("{file}: {key} can only be typed"));
        } else if let Some(elsewhere) = elsewhere {
            let (theirs, ours) = (elsewhere.get_name(), self.command.get_name());
            self.faults.say(format!("{file}: {key} is of `kvtrace {theirs}`, not of `kvtrace {ours}`"));
        } else {
            let flags = self.command.get_arguments().filter(|arg| !arg.is_hide_set()).map(name_of);
            let known: Vec<String> = flags.chain(section_names().map(str::to_owned)).collect();
            let at = At { path: file.to_owned(), node: &Node::Null };
            self.faults.say(unknown(&at, key, known.iter().map(String::as_str)));
        }
    }
}

/// A value of a file as a flag takes it.
fn value(arg: &Arg, at: &At<'_>) -> Result<Value, String> {
    let single = |at: &At<'_>| at.node.word().ok_or_else(|| at.not("a single value"));
    match at.node {
        Node::Null => Ok(Value::Unset),
        Node::Bool(true) if is_switch(arg) => Ok(Value::On),
        Node::Bool(false) if is_switch(arg) => Ok(Value::Unset),
        _ if is_switch(arg) => Err(at.not("true or false")),
        Node::List(_) if matches!(arg.get_action(), ArgAction::Append) => {
            let words = at.items()?.map(|item| single(&item)).collect::<Result<Vec<_>, _>>()?;
            Ok(Value::Words(words))
        }
        _ => Ok(Value::Words(vec![single(at)?])),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, ValueEnum};

    use super::*;
    use crate::cli::Cli;
    use crate::cli::record::config::flags_of_sections;
    use crate::cli::record::flags::Profile;

    /// The flags that profiles, presets and the sections of a configuration set or limit, and
    /// values that they give them.
    fn tables() -> Vec<(String, String, Option<String>)> {
        let profiles = Profile::value_variants().iter().flat_map(|profile| {
            let name = profile.to_possible_value().expect("a word").get_name().to_owned();
            let table = profile::table(&name);
            table
                .iter()
                .map(move |(flag, value)| (format!("profile {name}"), (*flag).to_owned(), Some((*value).to_owned())))
        });
        let presets = presets::PRESETS.iter().flat_map(|preset| {
            let flags = preset.flags(0).into_iter();
            flags.map(|(flag, value)| (format!("preset {}", preset.name), flag.to_owned(), Some(value)))
        });
        let sections = flags_of_sections().map(|(key, flag)| (key, flag.to_owned(), None));
        profiles.chain(presets).chain(sections).collect()
    }

    #[test]
    fn every_entry_of_a_table_names_a_flag_and_a_value_of_it() {
        let mut root = Cli::command();
        root.build();
        assert!(tables().len() > 8 * presets::PRESETS.len() + 20, "the tables are empty");
        for command in ["record", "run"].map(|name| root.find_subcommand(name).expect("a subcommand")) {
            for (table, flag, value) in tables() {
                let arg = command.get_arguments().find(|arg| name_of(arg) == flag);
                let arg = arg.unwrap_or_else(|| panic!("{table}: {} has no --{flag}", command.get_name()));
                let Some(value) = value else { continue };
                if is_switch(arg) {
                    assert!(["true", "false"].contains(&value.as_str()), "{table}: --{flag} {value}");
                } else if arg.get_long().is_some() {
                    let typed = ["kvtrace", "record", "synthetic", "-o", "t.csv", &format!("--{flag}={value}")];
                    let parsed = Cli::command().try_get_matches_from(typed);
                    assert!(parsed.is_ok(), "{table}: {parsed:?}");
                }
            }
        }
    }
}
