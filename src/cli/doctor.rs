//! `kvtrace doctor`: what this machine can do, what follows from what is missing, and the way out.

use std::path::PathBuf;

use serde::Serialize;

use crate::TOOL;
use crate::error::Result;
use crate::output;

use super::Global;

mod ebpf;
mod host;
mod storage;

/// What was typed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Say what a capture would use on the kernel whose types (BTF) these are, and nothing else
    #[arg(long, value_name = "FILE")]
    btf: Option<PathBuf>,
}

/// Whether an ability is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    /// There.
    Ok,
    /// Not there, and something of kvtrace does not work or works worse.
    Missing,
    /// A fact, or something that nothing depends on.
    Note,
}

/// One line of the report.
#[derive(Clone, Debug, Serialize)]
struct Ability {
    name: &'static str,
    status: Status,
    /// What was found.
    found: String,
    /// What follows, where it is missing.
    follows: Option<&'static str>,
    /// What to do, where it is missing.
    way_out: Option<&'static str>,
}

impl Ability {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, status: Status::Ok, found: found.into(), follows: None, way_out: None }
    }

    fn note(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, status: Status::Note, found: found.into(), follows: None, way_out: None }
    }

    fn missing(name: &'static str, found: impl Into<String>, follows: &'static str, way_out: &'static str) -> Self {
        let (follows, way_out) = (Some(follows), Some(way_out));
        Self { name, status: Status::Missing, found: found.into(), follows, way_out }
    }
}

#[derive(Serialize)]
struct Report {
    schema: &'static str,
    tool: &'static str,
    abilities: Vec<Ability>,
}

pub fn run(args: Args, global: Global) -> Result<()> {
    let abilities = match args.btf {
        Some(file) => ebpf::of_kernel(&file)?,
        None => [storage::abilities(), ebpf::abilities(), host::abilities()].concat(),
    };
    if global.json {
        return output::to_stdout(&output::to_json(&Report { schema: "kvtrace.doctor/1", tool: TOOL, abilities }));
    }
    let text: String = abilities.iter().map(line).collect();
    output::to_stdout(text.as_bytes())
}

fn line(ability: &Ability) -> String {
    let status = match ability.status {
        Status::Ok => "ok",
        Status::Missing => "missing",
        Status::Note => "note",
    };
    let follows = ability.follows.map_or_else(String::new, |text| format!("; {text}"));
    let way_out = ability.way_out.map_or_else(String::new, |text| format!(" -> {text}"));
    format!("{status:<8} {:<15} {}{follows}{way_out}\n", ability.name, ability.found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_missing_has_a_consequence_and_a_way_out() {
        let ability = Ability::missing("fio", "not found", "no proof", "apt-get install fio");
        assert_eq!(line(&ability), "missing  fio             not found; no proof -> apt-get install fio\n");
        assert!(line(&Ability::ok("BTF", "there")).ends_with("there\n"));
    }
}
