//! The report: one HTML page that needs nothing but itself (`kvtrace.report/1`), of any inputs. It
//! opens with what each of them says, and whether to believe it.

use crate::measure::{BlockResult, ReplayResult};
use crate::trace::Meta;

use super::analysis_sections::analysis;
use super::fidelity_sections;
use super::html::{escape, facts, list, paragraph, section, style};
use super::picture::Picture;
use super::sources::{Content, Source};
use super::verdicts::verdict;
use super::{block_sections, blocks, image, latency, replay_sections, sections, side_by_side, trace, what_if};

/// The schema that a report carries.
pub const REPORT_SCHEMA: &str = "kvtrace.report/1";

/// A replay and what belongs to it.
#[derive(Clone, Copy, Debug)]
pub struct Replayed<'a> {
    /// The replay.
    pub replay: &'a ReplayResult,
    /// The name of its file.
    pub file: &'a str,
    /// The sha256 of its file, in hex.
    pub sha256: &'a str,
    /// The capture to show and the name of the file that holds it.
    pub capture: Option<(&'a BlockResult, &'a str)>,
}

/// The inputs, sorted into what is shown together.
struct Parts<'a> {
    replays: Vec<Replayed<'a>>,
    /// Captures that belong to no replay.
    blocks: Vec<(&'a BlockResult, &'a str)>,
    /// The metadata of traces.
    metas: Vec<(&'a Meta, &'a str)>,
    /// Everything else, as it came.
    others: Vec<&'a Source>,
}

impl<'a> Parts<'a> {
    /// One replay and one capture beside it belong together; of more, each replay has its own.
    fn of(sources: &'a [Source]) -> Self {
        let mut parts = Parts { replays: Vec::new(), blocks: Vec::new(), metas: Vec::new(), others: Vec::new() };
        for source in sources {
            let (file, sha256) = (source.name.as_str(), source.sha256.as_str());
            match &source.content {
                Content::Replay(replay) => {
                    let capture = replay.block.as_ref().map(|block| (block, file));
                    parts.replays.push(Replayed { replay, file, sha256, capture });
                }
                Content::Block(block) => parts.blocks.push((block, file)),
                Content::Meta(meta) => parts.metas.push((meta, file)),
                Content::Trace(over) => {
                    parts.metas.push((&over.meta, file));
                    parts.others.push(source);
                }
                _ => parts.others.push(source),
            }
        }
        if let ([replay], [_]) = (&mut parts.replays[..], &parts.blocks[..]) {
            replay.capture = parts.blocks.pop();
        }
        parts
    }
}

/// The page of some inputs.
pub fn report_html(sources: &[Source]) -> String {
    let parts = Parts::of(sources);
    let title = title(sources, &parts);
    let head = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"generator\" content=\"{REPORT_SCHEMA} {}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{}</title>\n<style>\n{}</style>\n</head>\n<body>\n",
        escape(crate::TOOL),
        escape(&title),
        style()
    );
    let mut body = format!("<h1>{}</h1>\n<p class=\"sub\">{}</p>\n", escape(&title), escape(&below(sources, &parts)));
    // What was measured first: a job alone says the least.
    let (jobs, measured): (Vec<_>, Vec<_>) = sources.iter().partition(|s| matches!(s.content, Content::Job(_)));
    let said = measured.into_iter().chain(jobs);
    said.for_each(|source| body.push_str(&verdict(source, sources.len() > 1, &parts.replays)));
    body.push_str(&section("The replays side by side", &side_by_side::table_of(&parts.replays)));
    for replay in &parts.replays {
        body.push_str(&replay_sections::all(replay, parts.replays.len() > 1));
    }
    for &(block, file) in &parts.blocks {
        let content = block_sections::block_layer(Some((block, file))) + &block_pictures(block, file);
        body.push_str(&section(&format!("The block layer in {file}"), &content));
    }
    parts.others.iter().for_each(|source| body.push_str(&other(source)));
    for &(meta, file) in &parts.metas {
        let heading =
            if parts.metas.len() > 1 { format!("The recording of {file}") } else { "The recording".to_owned() };
        body.push_str(&section(&heading, &sections::recording(Some(meta))));
    }
    for replay in &parts.replays {
        let of = if parts.replays.len() > 1 { format!(" of {}", replay.file) } else { String::new() };
        body.push_str(&section(&format!("Provenance{of}"), &sections::provenance(replay)));
    }
    body.push_str(&section("The inputs", &inputs(sources)));
    body.push_str(&section("What this does not measure", &limits(&parts)));
    head + &body + "</body>\n</html>\n"
}

fn title(sources: &[Source], parts: &Parts) -> String {
    match (&parts.replays[..], sources) {
        ([one], _) if of_one_replay(sources) => format!("Replay of {}", one.replay.trace.file),
        ([], [only]) => match &only.content {
            Content::Block(_) => format!("Capture {}", only.name),
            Content::Fidelity(card) => format!("How like its source {} behaves", card.distilled.file),
            Content::Analysis(analysis) => format!("Analysis: {} in {}", analysis.kind.replace('_', " "), only.name),
            Content::Plan(plan) => plan.title(),
            Content::Trace(_) | Content::Meta(_) => format!("Trace {}", only.name),
            Content::Events(_) => format!("Capture events {}", only.name),
            _ => format!("Report on {}", only.name),
        },
        (replays @ [_, _, ..], _) if replays.len() == sources.len() => format!("{} replays", replays.len()),
        _ => format!("Report on {} files", sources.len()),
    }
}

/// Whether everything belongs to one replay: its trace, its capture, its job.
fn of_one_replay(sources: &[Source]) -> bool {
    let belongs =
        |source: &Source| !matches!(source.content, Content::Fidelity(_) | Content::Analysis(_) | Content::Plan(_));
    let of = |is: fn(&Content) -> bool| sources.iter().filter(|source| is(&source.content)).count();
    sources.iter().all(belongs)
        && of(|content| matches!(content, Content::Replay(_))) == 1
        && of(|content| matches!(content, Content::Trace(_))) < 2
}

fn below(sources: &[Source], parts: &Parts) -> String {
    match &parts.replays[..] {
        [] if sources.len() == 1 => match &sources[0].content {
            Content::Plan(plan) => plan.below(&sources[0].name),
            _ => sources[0].name.clone(),
        },
        [one] if of_one_replay(sources) => {
            let host = &one.replay.host;
            format!("{} · {} · {} · kernel {}", one.file, host.started, host.cpu, host.kernel)
        }
        _ => sources.iter().map(|source| source.name.as_str()).collect::<Vec<_>>().join(" · "),
    }
}

/// What is neither a replay nor a capture.
fn other(source: &Source) -> String {
    let name = &source.name;
    match &source.content {
        Content::Fidelity(card) => {
            section(&format!("How like its source the job behaves: {name}"), &fidelity_sections::card(card, name))
        }
        Content::Analysis(of) => section(&format!("Analysis of the kind {}: {name}", of.kind), &analysis(of, name)),
        Content::Plan(plan) => what_if::part(plan),
        Content::Trace(over) => {
            let drawn = [trace::occupancy(over, name), trace::arrivals(over, name)];
            section(&format!("Over time: {name}"), &drawn.into_iter().flatten().map(|p| figure(&p)).collect::<String>())
        }
        Content::Events(map) => section(&format!("Places over time: {name}"), &figure(&map.picture(name))),
        Content::Job(text) => section("The distilled fio job", &sections::job(Some((text, name)))),
        _ => String::new(),
    }
}

/// Every picture that a capture allows.
pub fn block_pictures(block: &BlockResult, file: &str) -> String {
    let drawn = [
        latency::of_block(block, file),
        blocks::sizes(block, file),
        blocks::in_flight(block, file),
        blocks::lba(block, file),
    ];
    drawn.into_iter().flatten().map(|picture| figure(&picture)).collect()
}

/// A picture in the page.
pub fn figure(picture: &Picture) -> String {
    match image::svg(picture) {
        Ok(svg) => format!("<figure>\n{svg}</figure>\n"),
        Err(error) => format!("<p>{}: {}</p>\n", escape(&picture.title), escape(&error.to_string())),
    }
}

fn inputs(sources: &[Source]) -> String {
    let line = |source: &Source| (source.name.clone(), format!("{}, sha256 {}", source.content.what(), source.sha256));
    let mut pairs: Vec<_> = sources.iter().map(line).collect();
    pairs.sort();
    pairs.push(("reported by".to_owned(), crate::TOOL.to_owned()));
    facts(&pairs)
}

fn limits(parts: &Parts) -> String {
    let mut said: Vec<String> = Vec::new();
    for replay in &parts.replays {
        for limit in sections::limits(replay.replay, replay.capture) {
            if !said.contains(&limit) {
                said.push(limit);
            }
        }
    }
    match said.is_empty() {
        true => paragraph(
            "No replay is among the inputs: nothing here says how long requests of this load take on real tiers.",
        ),
        false => list(&said),
    }
}
