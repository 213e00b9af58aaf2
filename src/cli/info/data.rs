//! `kvtrace info --data`: what the data of existing files is like.

use std::path::PathBuf;

use crate::analyze::contents::{self, Contents};
use crate::cli::Global;
use crate::cli::terminal::Terminal;
use crate::error::{Error, Result};
use crate::output;
use crate::stop::Stop;
use crate::units::{self, MIB, Size};

/// The least memory that hashes are counted with.
const LEAST_MEMORY: u64 = MIB;

/// What was typed.
#[derive(Debug, clap::Args)]
pub struct DataArgs {
    /// How much of the data of these files and folders repeats (in 512-byte and 4 KiB blocks), and
    /// how much smaller zstd makes it
    #[arg(long, value_name = "PATH", num_args = 1.., conflicts_with = "file")]
    data: Vec<PathBuf>,
    /// With --data: memory for the hashes of blocks; what does not fit is estimated, and said to be
    #[arg(long, value_name = "SIZE", default_value = "1GiB", requires = "data")]
    memory: Size,
}

pub fn run(args: &DataArgs, global: Global, stop: &Stop) -> Result<()> {
    if args.memory.0 < LEAST_MEMORY {
        return Err(Error::usage(format!("--memory {}: at least {}", args.memory, Size(LEAST_MEMORY))));
    }
    let contents = contents::look(&args.data, args.memory.0, stop, &Terminal::new(global))?;
    let text = if global.json { output::to_json(&contents) } else { lines(&contents).into_bytes() };
    output::to_stdout(&text)
}

fn lines(contents: &Contents) -> String {
    let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 * 100.0 };
    let ratio = |ratio: Option<f64>| ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.4}"));
    let mut lines = vec![format!(
        "{} files, {} ({} bytes)",
        units::count(contents.files),
        units::bytes(contents.bytes),
        units::count(contents.bytes)
    )];
    if contents.other_names > 0 {
        lines.push(format!("{} further names of the same files were not read again", contents.other_names));
    }
    if contents.left_alone > 0 {
        lines.push(format!("{} links and special files were left alone", contents.left_alone));
    }
    for of in &contents.duplication {
        let how = if of.exact {
            "exact".to_owned()
        } else {
            format!(
                "estimated from {:.4} % of the hash space, +-{:.2} %",
                of.sampled_share * 100.0,
                of.standard_error * 100.0
            )
        };
        lines.push(format!(
            "blocks of {:>4} bytes: {} ({:.2} % zeros); of the others {} different, a share of {}; deduplication {} to 1; \
             {how}",
            of.block_bytes,
            units::count(of.blocks),
            share(of.zero_blocks, of.blocks),
            units::count(of.unique_blocks),
            ratio(of.unique_share),
            ratio(of.dedup_ratio),
        ));
    }
    lines.push(format!(
        "zstd -{} --long={}: {} left, {} to 1",
        contents.zstd.level,
        contents.zstd.window_log,
        units::bytes(contents.zstd.bytes),
        ratio(contents.zstd.ratio)
    ));
    lines.join("\n") + "\n"
}
