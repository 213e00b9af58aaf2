//! The binary: parse, run, say how it ended.

use std::process::ExitCode;

use kvtrace::cli;
use kvtrace::stop::Stop;

fn main() -> ExitCode {
    let cli = match cli::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => {
            cli::fail(&error);
            return ExitCode::from(error.kind().exit_code());
        }
    };
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
