//! The flags of a replay as they were typed, for the command that a card prints.

use clap::{Arg, Args, Command};

use crate::cli::replay::ReplayFlags;
use crate::distill::header::quoted;

/// Those among the words of a command line, with their values, as a shell takes them; each with a space
/// before it.
pub fn of_replay(words: impl IntoIterator<Item = String>) -> String {
    let replay = ReplayFlags::augment_args(Command::new("replay"));
    let mut words = words.into_iter().take_while(|word| word != "--");
    let mut typed = String::new();
    while let Some(word) = words.next() {
        let Some(long) = word.strip_prefix("--") else { continue };
        let name = long.split_once('=').map_or(long, |(name, _)| name);
        let named =
            |arg: &&Arg| arg.get_long() == Some(name) || arg.get_all_aliases().is_some_and(|all| all.contains(&name));
        let Some(arg) = replay.get_arguments().find(named) else { continue };
        let value = (arg.get_action().takes_values() && name == long).then(|| words.next()).flatten();
        for part in [Some(&word), value.as_ref()].into_iter().flatten() {
            let plain = part.strip_prefix("--").unwrap_or(part);
            let shown = if quoted(plain) == plain { part.clone() } else { quoted(part) };
            typed = format!("{typed} {shown}");
        }
    }
    typed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_the_replay_are_told_from_those_of_the_job() {
        let of = |line: &str| of_replay(line.split(' ').map(str::to_owned));
        assert_eq!(of("kvtrace distill-fio a.csv -o job.fio --prove --target /mnt --runs 2"), "");
        assert_eq!(
            of("kvtrace distill-fio a.csv --size-scale 0.05 --prove --pace=trace --runs 2 --verify off -- --io direct"),
            " --size-scale 0.05 '--pace=trace' --verify off"
        );
    }
}
