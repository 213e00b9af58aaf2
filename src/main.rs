//! The binary: parse, run, say how it ended.

use std::process::ExitCode;

use clap::Parser;
use kvtrace::cli::{self, Cli};
use kvtrace::stop::Stop;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let stop = Stop::new();
    if let Err(error) = cli::install_stop(&stop) {
        cli::fail(&kvtrace::error::Error::unavailable(format!("cannot handle signals: {error}")));
        return ExitCode::from(6);
    }
    match cli::run(cli, &stop) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            cli::fail(&error);
            ExitCode::from(error.kind().exit_code())
        }
    }
}
