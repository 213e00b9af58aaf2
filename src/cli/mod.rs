//! The command line: one file per subcommand, from what was typed to what is meant. Only this
//! module prints.

use std::ffi::OsString;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::error::Result;
use crate::output::{self, Overwrite};
use crate::stop::Stop;

mod analyze;
mod block_watch;
mod capture;
mod columns;
mod convert;
mod distill_fio;
mod doctor;
mod info;
mod mark;
mod merge;
mod models;
mod plot;
mod record;
mod replay;
mod report;
mod run;
mod shell;
mod terminal;
mod what_if;

pub use terminal::{fail, install_stop};

/// The command line of kvtrace.
#[derive(Debug, Parser)]
#[command(name = "kvtrace", version, about, max_term_width = 100, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Flags that every subcommand takes.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
#[command(next_help_heading = "In every command")]
pub struct Global {
    /// Say nothing on stderr but errors
    #[arg(long, short, global = true)]
    quiet: bool,
    /// Print the machine-readable form on stdout
    #[arg(long, global = true)]
    json: bool,
    /// Replace output files that kvtrace did not write
    #[arg(long, global = true)]
    overwrite: bool,
}

impl Global {
    fn overwrite(self) -> Overwrite {
        if self.overwrite { Overwrite::Anything } else { Overwrite::Ours }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Record, replay with capture, distil and report, in one go
    Run(run::Args),
    /// Turn a workload into a trace, in virtual time
    Record(record::Args),
    /// Execute a trace against real tiers
    Replay(replay::Args),
    /// Put the results of shards of one replay together
    Merge(merge::Args),
    /// Watch what the block layer does, with eBPF
    Capture(capture::Args),
    /// Tell a running capture in which phase its target is
    Mark(mark::Args),
    /// Turn a result into a fio job that behaves like it
    DistillFio(distill_fio::Args),
    /// Analyse traces offline
    Analyze(analyze::Args),
    /// Draw one picture of a result
    Plot(plot::Args),
    /// Write a self-contained HTML report
    Report(report::Args),
    /// Convert a trace between CSV and Parquet
    Convert(convert::Args),
    /// Say what a file is, or what the data of files is like
    Info(info::Args),
    /// Say what this machine can do, and what is missing
    Doctor(doctor::Args),
    /// List the models and the size of their KV cache
    Models(models::Args),
    /// Print a completion script for a shell
    Completions(shell::CompletionsArgs),
    /// Print the manual page
    Man(shell::ManArgs),
    /// `--list-presets`
    #[command(skip)]
    Presets,
}

/// What was typed, with what a configuration, a preset and a profile add to it. What is wrong with
/// the command line itself ends the process with clap's own words, as does `--help`.
///
/// # Errors
/// What a configuration or a preset gets wrong.
pub fn parse(typed: impl IntoIterator<Item = OsString>) -> Result<Cli> {
    let mut root = command();
    root.build();
    let arranged = record::arrange(command(), &root, typed.into_iter().collect())?;
    if let Some(json) = arranged.list_presets {
        let global = Global { json, ..Global::default() };
        return Ok(Cli { global, command: Command::Presets });
    }
    let record::Arranged { args, layers, .. } = arranged;
    let of_values = typed_command(&root, &args).or_else(|| root.find_subcommand("replay")).cloned();
    let parsed = command().try_get_matches_from(args).and_then(|matches| Cli::from_arg_matches(&matches));
    let mut cli = parsed.or_else(|error| {
        let of_layers = ["record", "run"].into_iter().filter_map(|name| root.find_subcommand(name));
        let of_layers = of_layers.filter_map(|command| record::explain(&error, command, &layers)).next();
        let of_layers = of_layers.or_else(|| record::explain_source(&error));
        match of_layers.or_else(|| replay::explain_value(&error, of_values.as_ref()?)) {
            Some(explained) => Err(explained),
            None => error.format(&mut root).exit(),
        }
    })?;
    match &mut cli.command {
        Command::Record(args) => args.keep(layers),
        Command::Run(args) => args.keep(layers),
        _ => {}
    }
    Ok(cli)
}

/// The command that was typed, below the one that it belongs to, whose values are explained like a
/// replay's. `run` has a replay's flags, and `record` explains its own.
fn typed_command<'a>(root: &'a clap::Command, args: &[OsString]) -> Option<&'a clap::Command> {
    let below = |command: &'a clap::Command, arg: &OsString| command.find_subcommand(arg.to_str()?);
    let found = args.iter().fold(root, |command, arg| below(command, arg).unwrap_or(command));
    (!["kvtrace", "record", "run"].contains(&found.get_name())).then_some(found)
}

/// The command line, with flags that take a number below zero as their value: what is wrong with
/// it is then said of the flag.
fn command() -> clap::Command {
    let signed = |arg: clap::Arg| {
        let valued = arg.get_long().is_some() && arg.get_action().takes_values();
        // `-1s` is a value below zero that does not look like a number.
        let with_unit = arg.get_value_names().is_some_and(|names| ["SIZE", "TIME"].contains(&names[0].as_str()));
        match valued {
            true if with_unit => arg.allow_hyphen_values(true),
            true => arg.allow_negative_numbers(true),
            false => arg,
        }
    };
    fn all(command: clap::Command, signed: fn(clap::Arg) -> clap::Arg) -> clap::Command {
        command.mut_args(signed).mut_subcommands(|command| all(command, signed))
    }
    Cli::command().mut_subcommands(|command| all(command, signed))
}

/// Runs what was typed.
///
/// # Errors
/// Whatever ended the command early, with the exit code it means.
pub fn run(cli: Cli, stop: &Stop) -> Result<()> {
    let global = cli.global;
    match cli.command {
        Command::Run(args) => run::run(args, global, stop),
        Command::Record(args) => record::run(args, global, stop),
        Command::Replay(args) => replay::run(args, global, stop),
        Command::Merge(args) => merge::run(args, global),
        Command::Capture(args) => capture::run(args, global, stop),
        Command::Mark(args) => mark::run(&args, global),
        Command::DistillFio(args) => distill_fio::run(args, global, stop),
        Command::Analyze(args) => analyze::run(args, global, stop),
        Command::Plot(args) => plot::run(args, global),
        Command::Report(args) => report::run(args, global),
        Command::Convert(args) => convert::run(args, global, stop),
        Command::Info(args) => info::run(args, global, stop),
        Command::Doctor(args) => doctor::run(args, global),
        Command::Models(args) => models::run(args, global),
        Command::Completions(args) => shell::completions(args),
        Command::Man(args) => shell::man(args),
        Command::Presets => output::to_stdout(record::list_presets(global.json).as_bytes()),
    }
}
