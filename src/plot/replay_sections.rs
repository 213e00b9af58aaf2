//! Everything that the report says of one replay.

use super::html::section;
use super::report::{Replayed, block_pictures, figure};
use super::{block_sections, condition_sections, latency, request_sections, sections, throughput, where_time};

/// The sections, each with the file's name where there are several replays.
pub fn all(replayed: &Replayed, several: bool) -> String {
    let Replayed { replay, file, capture, .. } = *replayed;
    let named = |heading: &str| if several { format!("{heading} · {file}") } else { heading.to_owned() };
    let layer = condition_sections::amplification(replay) + &block_sections::block_layer(capture);
    [
        section(&named("Where a request's time went"), &where_time::section(replayed)),
        section(&named("Key numbers"), &sections::key_numbers(replay)),
        section(&named("Latency"), &(sections::latency(replay) + &condition_sections::sizes(replay))),
        section(&named("Pictures"), &pictures(replayed)),
        section(&named("Requests"), &request_sections::requests(replay)),
        section(&named("Verification and errors"), &sections::verification(replay)),
        section(&named("The block layer"), &layer),
        section(&named("Conditions of the host"), &condition_sections::conditions(replay)),
    ]
    .concat()
}

/// Every picture that the replay allows; one that it does not is left out.
fn pictures(replayed: &Replayed) -> String {
    let (replay, file) = (replayed.replay, replayed.file);
    let drawn = [latency::picture(replay, file), throughput::picture(replay, file)];
    let own: String = drawn.into_iter().flatten().map(|picture| figure(&picture)).collect();
    own + &replayed.capture.map_or_else(String::new, |(block, file)| block_pictures(block, file))
}
