//! `kvtrace plot`: one picture of a result, as SVG or PNG.

use std::path::PathBuf;

use clap::ValueEnum;

use crate::error::{Error, Result};
use crate::measure::Input;
use crate::output;
use crate::plot::{self, Kind, PLOT_SCHEMA, image};

use super::Global;

/// What was typed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to show
    #[arg(value_enum)]
    kind: Shown,
    /// A result of `kvtrace replay` or `kvtrace capture` (`-` is stdin)
    input: PathBuf,
    /// The picture: out.svg or out.png (`-` writes SVG to stdout)
    #[arg(long, short, value_name = "PICTURE")]
    output: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shown {
    /// Distribution of response and service times, by tier, direction and phase
    Latency,
    /// Request sizes at the block layer
    Size,
    /// Bytes over time, and lateness of a paced run
    Throughput,
    /// Requests in flight at the block layer, by time
    Inflight,
    /// Where on the device the requests went
    Lba,
}

impl From<Shown> for Kind {
    fn from(shown: Shown) -> Kind {
        match shown {
            Shown::Latency => Kind::Latency,
            Shown::Size => Kind::Size,
            Shown::Throughput => Kind::Throughput,
            Shown::Inflight => Kind::InFlight,
            Shown::Lba => Kind::Lba,
        }
    }
}

pub fn run(args: Args, global: Global) -> Result<()> {
    let extension = args.output.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    let as_png = match extension.as_deref() {
        Some("png") => true,
        Some("svg") => false,
        None if output::is_standard(&args.output) => false,
        _ => {
            return Err(Error::usage(format!(
                "`{}` does not say what to draw; name the picture .svg or .png",
                args.output.display()
            )));
        }
    };
    let input = Input::read(&args.input)?;
    let picture = plot::picture(args.kind.into(), &input.result()?, &input.name)?;
    let data = if as_png { image::png(&picture)? } else { image::svg(&picture)?.into_bytes() };
    output::write_all(&args.output, PLOT_SCHEMA, global.overwrite(), &data)
}
