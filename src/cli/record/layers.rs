//! Where a flag's value comes from: the command line, else `--config`, else `--preset`, else
//! `--profile`, else the flag's default. What is not typed becomes arguments as if it were, and
//! remembers where it is from, so that a complaint can name the place.

use std::collections::BTreeMap;
use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgAction, Command};

use crate::error::{Error, Result};

use super::config::Sections;

mod stack;
mod typed;

use stack::Stack;
use typed::Typed;

/// Places of what is not a flag.
const SOURCE: &str = "source";
const FILES: &str = "files";

/// What was set elsewhere than on the command line.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// Where the value of a flag is from.
    origins: BTreeMap<String, String>,
    /// What a configuration says that no flag says.
    pub sections: Sections,
    /// What somebody should know about what was set.
    pub notes: Vec<String>,
}

/// What a flag is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    /// As if nobody had set it.
    Unset,
    /// The switch is on.
    On,
    /// Its values.
    Words(Vec<String>),
}

/// A value that was not typed.
#[derive(Clone, Debug)]
struct Setting {
    value: Value,
    origin: String,
}

/// What was not typed, by the names of the flags.
type Settings = BTreeMap<String, Setting>;

/// Arguments with the layers put in front of what was typed.
pub struct Arranged {
    /// All of them, the program's name first.
    pub args: Vec<OsString>,
    /// What was set elsewhere.
    pub layers: Layers,
    /// Whether nothing but the list of presets is wanted, and whether as JSON.
    pub list_presets: Option<bool>,
}

/// Puts what configuration, preset and profile say in front of what was typed after `record` or
/// `run`; `fresh` is the whole command line, `root` the same, built.
///
/// # Errors
/// A configuration that cannot be read or used, an unknown preset.
pub fn arrange(fresh: Command, root: &Command, args: Vec<OsString>) -> Result<Arranged> {
    let as_typed = |args| Arranged { args, layers: Layers::default(), list_presets: None };
    let place = args.iter().skip(1).position(|arg| !arg.to_string_lossy().starts_with('-')).map(|n| n + 1);
    let command = place.and_then(|place| args[place].to_str()).filter(|name| ["record", "run"].contains(name));
    let (Some(place), Some(command)) = (place, command.and_then(|name| root.find_subcommand(name))) else {
        return Ok(as_typed(args));
    };
    let (args, off) = typed::without_off_switches(args, place, command);
    let Some(typed) = Typed::of(fresh, command, &args, off) else { return Ok(as_typed(args)) };
    if typed.has("list_presets") {
        return Ok(Arranged { list_presets: Some(typed.has("json")), ..as_typed(args) });
    }
    let (mut settings, mut layers) = Stack::new(root, command, &typed).fill()?;
    settings.retain(|flag, _| !typed.sets(flag));
    let set = settings.iter().filter(|(_, setting)| setting.value != Value::Unset);
    layers.origins = set.map(|(flag, setting)| (flag.clone(), setting.origin.clone())).collect();
    Ok(Arranged { args: typed.with(&settings, args, place), layers, list_presets: None })
}

impl Layers {
    /// Whether a flag was set elsewhere than on the command line: then it may be meant for other
    /// recordings, and have no effect on this one.
    pub fn sets(&self, flag: &str) -> bool {
        self.origins.contains_key(flag)
    }

    /// A complaint about a flag, with the place that set it.
    pub fn blame(&self, complaint: String) -> String {
        let Some(rest) = complaint.strip_prefix("--") else { return complaint };
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(rest.len());
        let (flag, what) = rest.split_at(end);
        match self.origins.get(flag) {
            Some(origin) if origin.replace('_', "-").ends_with(&format!(": {flag}")) => format!("{origin}{what}"),
            Some(origin) if origin.starts_with("--") => format!("{complaint} (of {origin})"),
            Some(origin) => format!("{origin} sets {complaint}"),
            None => complaint,
        }
    }
}

/// What an error of clap's is about, if it is about something that was not typed.
pub fn explain(error: &clap::Error, command: &Command, layers: &Layers) -> Option<Error> {
    let Some(ContextValue::String(about)) = error.get(ContextKind::InvalidArg) else { return None };
    let arg = command.get_arguments().find(|arg| arg.to_string() == *about)?;
    let origin = layers.origins.get(&name_of(arg))?;
    let value = match error.get(ContextKind::InvalidValue) {
        Some(ContextValue::String(value)) => format!("`{value}`"),
        _ => "its value".to_owned(),
    };
    let why = match (error.get(ContextKind::ValidValue), std::error::Error::source(error)) {
        (Some(ContextValue::Strings(words)), _) => format!("allowed are {}", words.join(", ")),
        (_, Some(source)) => source.to_string(),
        _ => "it is not allowed".to_owned(),
    };
    Some(Error::usage(format!("{origin} is {value}: {why}")))
}

/// The name of an argument in a file: of a flag the long one.
fn name_of(arg: &Arg) -> String {
    arg.get_long().map_or_else(|| arg.get_id().to_string(), str::to_owned)
}

fn is_switch(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue)
}
