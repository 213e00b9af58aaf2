//! `--columns`, for every command that writes a trace.

use clap::ValueEnum;

use crate::trace::Columns;

/// Which columns a CSV has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ColumnsFlag {
    /// The reference's six and Request, Conversation, Turn, Tokens; 9 decimals
    Full,
    /// The reference's six, 6 decimals, no Delete rows
    Mlperf,
}

impl From<ColumnsFlag> for Columns {
    fn from(flag: ColumnsFlag) -> Self {
        match flag {
            ColumnsFlag::Full => Columns::Full,
            ColumnsFlag::Mlperf => Columns::Mlperf,
        }
    }
}
