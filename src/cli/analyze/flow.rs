//! `kvtrace analyze flow`

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::analyze::flow::{Flow, Whose};
use crate::error::{Error, Result};
use crate::stop::Stop;
use crate::units;

use super::{check_output, written};
use crate::cli::Global;
use crate::cli::terminal::Terminal;

/// What was typed after `flow`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A trace: CSV, CSV in zstd, Parquet, or - for standard input
    input: PathBuf,
    /// The rows that this request caused (the column Request)
    #[arg(long, value_name = "N", conflicts_with = "conversation")]
    request: Option<u64>,
    /// The rows of this conversation, and what others did to its objects
    #[arg(long, value_name = "ID")]
    conversation: Option<String>,
    /// Show no more events than this; the others are counted
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: usize,
    /// Write the result to a file: .json, .csv or .parquet
    #[arg(long, short)]
    output: Option<PathBuf>,
}

pub fn run(args: &Args, global: Global, stop: &Stop) -> Result<()> {
    check_output(&args.output)?;
    let whose = match (args.request, &args.conversation) {
        (Some(request), _) => Whose::Request(request),
        (None, Some(name)) => Whose::Conversation(name.clone()),
        (None, None) => return Err(Error::usage("whose flow? add --request N or --conversation ID")),
    };
    let flow = Flow::of(&args.input, &whose, args.limit, stop, &Terminal::new(global))?;
    written(&args.output, &flow, || csv(&flow), || table(&flow), global)
}

fn csv(flow: &Flow) -> Vec<u8> {
    let mut text = "turn,request,at_s,event,tier,to,size_bytes,phase,key,other\n".to_owned();
    let number = |value: Option<u64>| value.map_or(String::new(), |value| value.to_string());
    for turn in &flow.turns {
        for e in &turn.events {
            let to = e.to.map_or("", |tier| tier.word());
            let key = e.key.replace('"', "\"\"");
            let _ = writeln!(
                text,
                "{},{},{:.9},{},{},{to},{},{},\"{key}\",{}",
                number(turn.turn.map(u64::from)),
                number(turn.request),
                e.at_s,
                e.event,
                e.tier,
                e.size_bytes,
                e.phase,
                e.other.unwrap_or_default()
            );
        }
    }
    text.into_bytes()
}

fn table(flow: &Flow) -> String {
    let conversation = flow.conversation.as_deref().map_or(String::new(), |name| format!(", conversation {name}"));
    let request = flow.request.map_or(String::new(), |request| format!(", request {request}"));
    let mut text = format!("{}{conversation}{request}\n", flow.file);
    for turn in &flow.turns {
        let number = turn.turn.map_or("outside a turn".to_owned(), |turn| format!("turn {turn}"));
        let request = turn.request.map_or(String::new(), |request| format!(", request {request}"));
        let asked = turn.asked.as_ref().map_or(String::new(), |asked| {
            format!(
                ", arrived at {:.3} s, {} tokens in, {} out, {} hits, {} misses",
                asked.arrival_s,
                units::count(asked.context_tokens.into()),
                units::count(asked.generate_tokens.into()),
                asked.hits,
                asked.misses
            )
        });
        let _ = writeln!(text, "\n{number}{request}{asked}");
        for e in &turn.events {
            let tiers = e.to.map_or(e.tier.word().to_owned(), |to| format!("{} > {to}", e.tier));
            let other = e.other.map_or(String::new(), |other| format!("  ({other})"));
            let (size, phase) = (units::bytes(e.size_bytes), e.phase.word());
            let _ = writeln!(
                text,
                "{:>14.6}  {:<7}  {tiers:<15}  {size:>10}  {phase:<7}  {}{other}",
                e.at_s, e.event, e.key
            );
        }
    }
    if flow.left_out > 0 {
        let _ = writeln!(text, "\n{} more; --limit shows them", units::plural(flow.left_out, "event"));
    }
    let _ = writeln!(
        text,
        "\n{}: read {}, written {}, {} down, {}",
        units::plural(flow.rows, "event"),
        units::bytes(flow.read_bytes),
        units::bytes(flow.write_bytes),
        units::plural(flow.demotions, "move"),
        units::plural(flow.deletes, "delete")
    );
    text
}
