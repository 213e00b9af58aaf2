//! `kvtrace plot`: one picture of a result, as SVG or PNG.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::error::{Error, Result};
use crate::output;
use crate::plot::{self, Kind, PLOT_SCHEMA, Scale, image};
use crate::stop::Stop;

use super::terminal::Terminal;
use super::{Global, inputs};

/// What was typed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to show
    #[arg(value_parser = kinds())]
    kind: Kind,
    /// What to draw it of (`-` is stdin); several where curves of several files go into one picture
    #[arg(required = true)]
    inputs: Vec<PathBuf>,
    /// The picture: out.svg or out.png (`-` writes SVG to stdout)
    #[arg(long, short, value_name = "PICTURE")]
    output: PathBuf,
    /// What capacities of a curve are said in: blocks, tokens, or gib (bytes of the model)
    #[arg(long, value_name = "SCALE", default_value = "blocks")]
    x: Scale,
}

fn kinds() -> impl TypedValueParser<Value = Kind> {
    let words = Kind::ALL.map(|kind| clap::builder::PossibleValue::new(kind.word()).help(kind.meaning()));
    PossibleValuesParser::new(words).map(|word| {
        let found = Kind::ALL.into_iter().find(|kind| kind.word() == word);
        found.unwrap_or(Kind::Latency)
    })
}

pub fn run(args: Args, global: Global, stop: &Stop) -> Result<()> {
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
    let terminal = Terminal::new(global);
    let sources: Result<Vec<_>> = args.inputs.iter().map(|path| inputs::read(path, stop, &terminal)).collect();
    let picture = plot::picture(args.kind, &sources?, args.x)?;
    let data = if as_png { image::png(&picture)? } else { image::svg(&picture)?.into_bytes() };
    output::write_all(&args.output, PLOT_SCHEMA, global.overwrite(), &data)
}
