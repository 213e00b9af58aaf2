//! The report: one HTML page that needs nothing but itself (`kvtrace.report/1`). It opens with
//! what bounded the run and whether its numbers may be believed.

use crate::measure::replay::Verdict;
use crate::measure::{BlockResult, ReplayResult};
use crate::trace::Meta;

use super::html::{escape, list, section, style};
use super::picture::Picture;
use super::{block_sections, blocks, condition_sections, image, latency, request_sections, sections, throughput};

/// The schema that a report carries.
pub const REPORT_SCHEMA: &str = "kvtrace.report/1";

/// What a report is made of.
#[derive(Clone, Copy, Debug)]
pub struct ReportInput<'a> {
    /// The replay.
    pub replay: &'a ReplayResult,
    /// The name of its file.
    pub file: &'a str,
    /// The sha256 of its file, in hex.
    pub sha256: &'a str,
    /// A capture beside it and its file's name; none uses the replay's own.
    pub block: Option<(&'a BlockResult, &'a str)>,
    /// The metadata of the trace, for the statistics of its recording.
    pub meta: Option<&'a Meta>,
    /// A distilled fio job and its file's name.
    pub job: Option<(&'a str, &'a str)>,
}

impl<'a> ReportInput<'a> {
    /// The capture to show and the name of the file that holds it.
    pub fn capture(&self) -> Option<(&'a BlockResult, &'a str)> {
        self.block.or_else(|| self.replay.block.as_ref().map(|block| (block, self.file)))
    }
}

/// The page.
pub fn report_html(input: &ReportInput) -> String {
    let replay = input.replay;
    let title = format!("Replay of {}", replay.trace.file);
    let head = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"generator\" content=\"{REPORT_SCHEMA} {}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{}</title>\n<style>\n{}</style>\n</head>\n<body>\n",
        escape(crate::TOOL),
        escape(&title),
        style()
    );
    let body = [
        format!("<h1>{}</h1>\n", escape(&title)),
        format!(
            "<p class=\"sub\">{} · {} · {} · kernel {}</p>\n",
            escape(input.file),
            escape(&replay.host.started),
            escape(&replay.host.cpu),
            escape(&replay.host.kernel)
        ),
        opening(replay, input.capture().map(|capture| capture.0)),
        section("Key numbers", &sections::key_numbers(replay)),
        section("Latency", &(sections::latency(replay) + &condition_sections::sizes(replay))),
        section("Where the time went", &block_sections::where_time_went(replay, input.capture())),
        section("Pictures", &pictures(input)),
        section("Requests", &request_sections::requests(replay)),
        section("Verification and errors", &sections::verification(replay)),
        section(
            "The block layer",
            &(condition_sections::amplification(replay) + &block_sections::block_layer(input.capture())),
        ),
        section("The recording", &sections::recording(input.meta)),
        section("The distilled fio job", &sections::job(input.job)),
        section("Conditions of the host", &condition_sections::conditions(replay)),
        section("Provenance", &sections::provenance(input)),
        section("What this does not measure", &sections::limits(replay, input.capture())),
        "</body>\n</html>\n".to_owned(),
    ];
    head + &body.concat()
}

/// The verdict, and whether to believe it.
fn opening(replay: &ReplayResult, capture: Option<&BlockResult>) -> String {
    let mut out = String::new();
    if !replay.valid {
        out.push_str(&format!(
            "<div class=\"verdict bad\"><strong>This run is NOT VALID: do not quote its numbers.</strong>\n{}</div>\n",
            list(&replay.invalid_reasons)
        ));
    }
    if !replay.complete {
        out.push_str(
            "<div class=\"verdict bad\"><strong>This run is incomplete:</strong> it was interrupted or ended by an \
             error; everything below is about the part that ran.</div>\n",
        );
    }
    out.push_str(&format!(
        "<div class=\"verdict\"><strong>{}</strong>\n<p>{}</p></div>\n",
        escape(&verdict_words(&replay.verdict)),
        escape(&replay.verdict.because)
    ));
    let mut notes = replay.notes.clone();
    if let Some(block) = capture.filter(|block| block.tainted) {
        let why = block.taint_reasons.join("; ");
        notes.push(format!("the capture of the block layer is tainted, its figures may be off: {why}"));
    }
    if !notes.is_empty() {
        out.push_str(&format!("<div class=\"verdict note\"><strong>Note</strong>\n{}</div>\n", list(&notes)));
    }
    out
}

fn verdict_words(verdict: &Verdict) -> String {
    match verdict.bound.as_str() {
        "device" => "The storage device bounded this run.".to_owned(),
        "dram" => "DRAM bounded this run.".to_owned(),
        "generator" => "kvtrace itself bounded this run: the device could do more.".to_owned(),
        "pace" => "Nothing bounded this run: it took as long as its schedule.".to_owned(),
        "queue" => "The request queue bounded this run.".to_owned(),
        "generation" => "Token generation bounded this run.".to_owned(),
        "" => "What bounded this run is not known.".to_owned(),
        other => format!("Bound: {other}."),
    }
}

/// Every picture that the inputs allow; one that they do not is left out.
fn pictures(input: &ReportInput) -> String {
    let replay = [latency::picture(input.replay, input.file), throughput::picture(input.replay, input.file)];
    let block = input
        .capture()
        .map(|(block, file)| [blocks::sizes(block, file), blocks::in_flight(block, file), blocks::lba(block, file)]);
    let all = replay.into_iter().chain(block.into_iter().flatten());
    all.flatten().map(|picture| figure(&picture)).collect()
}

fn figure(picture: &Picture) -> String {
    match image::svg(picture) {
        Ok(svg) => format!("<figure>\n{svg}</figure>\n"),
        Err(error) => format!("<p>{}: {}</p>\n", escape(&picture.title), escape(&error.to_string())),
    }
}
