//! `kvtrace completions` and `kvtrace man`: what a shell and a pager want to know.

use clap::CommandFactory;

use crate::error::Result;
use crate::output;

use super::Cli;

/// What was typed after `completions`.
#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    /// The shell
    shell: clap_complete::Shell,
}

/// What was typed after `man`.
#[derive(Debug, clap::Args)]
pub struct ManArgs {}

pub fn completions(args: CompletionsArgs) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "kvtrace", &mut script);
    output::to_stdout(&script)
}

pub fn man(_args: ManArgs) -> Result<()> {
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut page).expect("writing to memory does not fail");
    output::to_stdout(&page)
}
