//! What was typed after `record` or `run`, as far as it can be told before the layers are there.

use std::ffi::OsString;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use super::{FILES, SOURCE, Settings, Value, is_switch, name_of};

/// What was typed.
pub struct Typed {
    /// The flags, by their names in a file, switches that are off included.
    flags: Vec<String>,
    /// The arguments that are there, by clap's ids.
    ids: Vec<String>,
    matches: ArgMatches,
    /// Whether the first thing typed is a source, and not a file of a source named elsewhere.
    source: bool,
}

/// Takes `--switch=false` and `--switch=true` apart, which clap does not know: the arguments
/// without them, and the switches that are off.
pub fn without_off_switches(args: Vec<OsString>, place: usize, command: &Command) -> (Vec<OsString>, Vec<String>) {
    let known = |name: &str| command.get_arguments().any(|arg| is_switch(arg) && arg.get_long() == Some(name));
    let mut off = Vec::new();
    let mut over = false;
    let mut kept = Vec::new();
    for (n, arg) in args.into_iter().enumerate() {
        over |= n > place && arg == "--";
        let flag = arg.to_str().filter(|_| n > place && !over).and_then(|text| text.strip_prefix("--"));
        match flag.and_then(|flag| flag.split_once('=')).filter(|(name, _)| known(name)) {
            Some((name, "true")) => kept.push(format!("--{name}").into()),
            Some((name, "false")) => off.push(name.to_owned()),
            _ => kept.push(arg),
        }
    }
    (kept, off)
}

impl Typed {
    /// Reads as much as there is with `fresh`, the whole command line before it is built; `command`
    /// is the subcommand after that. None when it ends in help, a version, or something else than this subcommand.
    pub fn of(fresh: Command, command: &Command, args: &[OsString], off: Vec<String>) -> Option<Self> {
        let name = command.get_name();
        // What is no source may be a file, when the source is named elsewhere.
        let any = |arg: Arg| if arg.get_id() == SOURCE { arg.value_parser(clap::value_parser!(OsString)) } else { arg };
        let any_source = |command: Command| command.mut_args(any);
        let lenient = fresh.ignore_errors(true).mut_subcommand(name, any_source);
        let (found, matches) = lenient.try_get_matches_from(args).ok()?.remove_subcommand()?;
        if found != name {
            return None;
        }
        let is_typed = |arg: &&Arg| matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine);
        let given: Vec<&Arg> = command.get_arguments().filter(is_typed).collect();
        let flags = given.iter().map(|arg| name_of(arg)).chain(off).collect();
        let ids = given.iter().map(|arg| arg.get_id().to_string()).collect();
        let first = matches.get_raw(SOURCE).and_then(|mut words| words.next());
        let sources = command.get_arguments().filter(|arg| arg.get_id() == SOURCE).flat_map(Arg::get_possible_values);
        let source = first.is_some_and(|word| {
            sources.into_iter().any(|known| word.to_str().is_some_and(|word| known.matches(word, false)))
        });
        Some(Self { flags, ids, matches, source })
    }

    /// Whether an argument is there, by its id.
    pub fn has(&self, id: &str) -> bool {
        self.ids.iter().any(|known| known == id)
    }

    /// Whether it says what a flag is, by its name in a file.
    pub fn sets(&self, flag: &str) -> bool {
        match flag {
            SOURCE => self.source,
            FILES => self.has(FILES) || (self.has(SOURCE) && !self.source),
            _ => self.flags.iter().any(|known| known == flag),
        }
    }

    /// The value of an argument, by its id.
    pub fn word(&self, id: &str) -> Option<String> {
        let value = self.matches.get_raw(id).filter(|_| self.has(id))?.next()?;
        Some(value.to_string_lossy().into_owned())
    }

    /// What was typed, with the settings around it: a source, then flags, then files.
    pub fn with(&self, settings: &Settings, mut args: Vec<OsString>, place: usize) -> Vec<OsString> {
        let rest = args.split_off(place + 1);
        let words = |name: &str| match settings.get(name).map(|setting| &setting.value) {
            Some(Value::Words(words)) => words.clone(),
            _ => Vec::new(),
        };
        args.extend(words(SOURCE).into_iter().map(OsString::from));
        for (flag, setting) in settings.iter().filter(|(flag, _)| ![SOURCE, FILES].contains(&flag.as_str())) {
            // The output has only a short name.
            let name = if ["trace", "dir"].contains(&flag.as_str()) { "-o" } else { &format!("--{flag}") };
            match &setting.value {
                Value::Unset => {}
                Value::On => args.push(name.into()),
                Value::Words(words) => args.extend(words.iter().map(|word| format!("{name}={word}").into())),
            }
        }
        args.extend(rest);
        let file = |file: String| if file.starts_with('-') { format!("./{file}") } else { file };
        args.extend(words(FILES).into_iter().map(file).map(OsString::from));
        args
    }
}
