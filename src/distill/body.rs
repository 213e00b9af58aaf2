//! The jobs of a job file, as fio reads them, with the reason for every value.

use crate::units;

use super::context::Context;
use super::file_size::FileSize;
use super::job::Options;
use super::portions::Portion;
use super::queue::queue;
use super::section::{Section, Setting};
use super::sizes::{Split, fio_size};
use super::streams::{Brake, Direction, Part, Stream};
use super::syncs::sync;

/// The percentage of requests in order from which on a job is sequential rather than a mixture.
const ALL_IN_ORDER: u64 = 100;

/// What holds for all jobs.
pub fn global(options: &Options, size: &FileSize, buffers: Vec<Setting>) -> Section {
    let mut settings = vec![
        Setting::new("ioengine", &options.ioengine),
        Setting::new("direct", 1),
        Setting::because("randrepeat", 0, "other places and sizes on every run"),
        Setting::new("norandommap", 1),
        Setting::new("time_based", 1),
        Setting::new("runtime", fio_time(options.runtime_ns)),
        Setting::because("size", fio_size(size.bytes), &size.why),
        Setting::new("group_reporting", 1),
    ];
    settings.extend(buffers);
    Section { name: "global".to_owned(), about: Vec::new(), settings }
}

/// Why there are jobs by size.
const BY_SIZE: &str = "The source kept about as many bytes in flight at all times, and fio keeps requests. So the smaller \
                       and the larger ones are a job each, with as many in flight as they are of all: that varies less in \
                       bytes than as many of any size.";

/// The section of one job.
pub fn section(stream: &Stream, context: &Context<'_>) -> Section {
    let mut settings = directions(stream, context);
    settings.extend(sizes(stream));
    settings.extend(places(stream, context));
    settings.extend(queue(stream, context));
    settings.extend(brake(stream));
    settings.extend(flow(stream, context));
    settings.extend(sync(stream, context));
    let first = context.beside.iter().find(|stream| stream.by_size);
    let about = if first == Some(stream) { vec![BY_SIZE.to_owned()] } else { Vec::new() };
    Section { name: stream.name.clone(), about, settings }
}

/// Lets the jobs of a slice run after those of the one before it, for their share of the runtime.
pub fn in_turn(jobs: &mut [Section], streams: &[Stream], slices: &[Portion], at: usize, runtime_ns: u64) {
    let (begin, end) = (slices[0].span_ns.0, slices[slices.len() - 1].span_ns.1);
    let scale = runtime_ns as f64 / (end - begin).max(1) as f64;
    let (from, to) = slices[at].span_ns;
    let scaled = |ns: u64| whole_ms(ns as f64 * scale);
    one_after_another(jobs, streams, scaled(to - from));
    let paused = at > 0 && slices[at - 1].span_ns.1 < from;
    for (number, job) in jobs.iter_mut().enumerate() {
        let mut own = Vec::new();
        if number == 0 && at > 0 {
            own.push(Setting::new("stonewall", 1));
        }
        if paused && (number == 0 || streams[number].turn.is_none()) {
            let why = "the source paused before it; fio counts from its own start";
            own.push(Setting::because("startdelay", fio_time(scaled(from - begin)), why));
        }
        job.settings.splice(0..0, own);
    }
}

/// Gives jobs their time: all of it, or their parts one after another. Those of reads and of writes that are
/// apart wait for their own kind alone.
pub fn one_after_another(jobs: &mut [Section], streams: &[Stream], runtime_ns: u64) {
    let apart = streams.iter().any(|stream| matches!(stream.brake, Some(Brake::ThinkAt { .. })));
    let mut taken = [0.0; 2];
    for (number, (job, stream)) in jobs.iter_mut().zip(streams).enumerate() {
        let share = stream.turn.unwrap_or(1.0);
        let way = stream.parts.first().map_or(0, |part| part.direction as usize);
        let mut own = match stream.turn {
            Some(_) if apart && taken[way] > 0.0 => {
                let why = "when the one before it ends";
                vec![Setting::because("startdelay", fio_time(whole_ms(runtime_ns as f64 * taken[way])), why)]
            }
            Some(_) if !apart && number > 0 => vec![Setting::new("stonewall", 1)],
            _ => Vec::new(),
        };
        taken[way] += share;
        let time = fio_time(whole_ms(runtime_ns as f64 * share));
        own.push(match (stream.turn, number) {
            (Some(_), _) if streams.iter().any(|other| other.brake != stream.brake) => {
                Setting::because("runtime", time, "bursts of each length in turns, for their parts of the time")
            }
            (Some(_), _) => Setting::because("runtime", time, "two whole percents in turns give the share between"),
            (None, 0) => Setting::because("runtime", time, "its share of the source's time"),
            _ => Setting::new("runtime", time),
        });
        job.settings.splice(0..0, own);
    }
}

fn whole_ms(ns: f64) -> u64 {
    ((ns / 1e6).round() as u64).max(1) * 1_000_000
}

/// `rw`, with the share of reads.
fn directions(stream: &Stream, context: &Context<'_>) -> Vec<Setting> {
    let Some(percent) = stream.read_percent else {
        let rw = |part: &Part| match in_order(stream, part.direction, context) {
            Some(ALL_IN_ORDER) => {
                Setting::because("rw", part.direction.word(), "every request begins where the last one ended")
            }
            _ => Setting::new("rw", part.direction.random()),
        };
        return stream.parts.iter().map(rw).collect();
    };
    vec![Setting::new("rw", "randrw"), Setting::new("rwmixread", percent)]
}

/// `bs` where a job's directions have one size each, else `bssplit`.
fn sizes(stream: &Stream) -> Vec<Setting> {
    let splits = || stream.parts.iter().map(|part| &part.split);
    let mut why: Vec<String> = stream.parts.iter().filter_map(about_sizes).collect();
    if splits().all(|split| split.entries.len() == 1) {
        let mut sizes: Vec<String> = splits().map(|split| fio_size(split.largest())).collect();
        sizes.dedup();
        return vec![Setting { name: "bs", value: sizes.join(","), why }];
    }
    let mut texts: Vec<String> = splits().map(Split::text).collect();
    texts.dedup();
    if texts.len() < stream.parts.len() {
        why.truncate(1);
        why.push("reads and writes cannot be told apart by their sizes".to_owned());
    }
    let mut settings = vec![Setting { name: "bssplit", value: texts.join(","), why }];
    settings.extend((!splits().all(Split::is_stepped)).then(|| {
        let bits = splits().flat_map(|split| &split.entries).map(|entry| entry.0.trailing_zeros()).min().unwrap_or(0);
        let why = format!(
            "or fio rounds sizes down to multiples of the smallest; it warns of raw I/O, but sizes and places all are \
             multiples of {}",
            units::bytes(1 << bits)
        );
        Setting::because("bs_unaligned", 1, why)
    }));
    settings
}

/// How near whole percents are to a direction's sizes; none where it has one size.
fn about_sizes(part: &Part) -> Option<String> {
    let (split, mean) = (&part.split, part.mix.mean());
    let sizes = part.mix.sizes().len();
    let relative = (split.mean / mean - 1.0) * 100.0;
    let moved = split.distance / mean * 100.0;
    (sizes > 1).then(|| {
        format!(
            "{}s: {sizes} sizes, mean {}; as whole percents {} ({relative:+.2} %), each off by {moved:.2} %",
            part.direction,
            units::bytes(mean.round() as u64),
            units::bytes(split.mean.round() as u64)
        )
    })
}

/// Requests of a direction that begin where its last one ended, whole percents.
fn in_order(stream: &Stream, direction: Direction, context: &Context<'_>) -> Option<u64> {
    let share = context.source.in_order(direction)? / together(stream, direction, context);
    Some((share.min(1.0) * 100.0).round() as u64)
}

/// How much rarer than in the job itself requests of a direction are in order on the device, where another job has
/// some of that direction between them: by the chance that two that follow each other are of the same job.
fn together(stream: &Stream, direction: Direction, context: &Context<'_>) -> f64 {
    if !stream.by_size {
        return 1.0;
    }
    let count = |stream: &Stream| {
        let own = stream.parts.iter().filter(|part| part.direction == direction);
        own.map(|part| part.mix.count()).sum::<u64>() as f64
    };
    let counts: Vec<f64> = context.beside.iter().map(count).collect();
    let all: f64 = counts.iter().sum();
    counts.iter().map(|own| (own / all).powi(2)).sum()
}

/// `percentage_random` and `random_distribution`.
fn places(stream: &Stream, context: &Context<'_>) -> Vec<Setting> {
    let source = context.source;
    let directions: Vec<Direction> = stream.parts.iter().map(|part| part.direction).collect();
    let ordered: Vec<Option<u64>> = directions.iter().map(|direction| in_order(stream, *direction, context)).collect();
    let mut settings = Vec::new();
    // Not of both directions: fio's `rw=rw` begins anew when reads and writes together have moved the
    // file's bytes, and reaches only a part of it with each (measured with fio 3.33).
    if ordered == [Some(ALL_IN_ORDER)] {
        settings.extend(source.zones.stretch(directions[0], context.size).into_iter().flat_map(stretch));
        return settings;
    }
    if ordered.iter().any(|percent| percent.is_some_and(|percent| percent > 0)) {
        let mut random: Vec<String> = ordered.iter().map(|percent| (100 - percent.unwrap_or(0)).to_string()).collect();
        random.dedup();
        let why = "percent that go to a random place; the others begin where the last one of their direction ended";
        settings.push(Setting::because("percentage_random", random.join(","), why));
    }
    // fio's places are multiples of a direction's smallest size.
    let unit = stream.parts.iter().map(|part| part.split.smallest()).max().unwrap_or(1);
    if let Some(only) = source.zones.only(&directions, context.size, unit) {
        settings.extend(stretch(only));
    } else if let Some(zones) = source.zones.text(&directions, context.size, unit) {
        let why = "percent of the requests/bytes of the file, from the LBA map; what was not touched is left out";
        settings.push(Setting::because("random_distribution", format!("zoned_abs:{zones}"), why));
    }
    settings
}

/// A part of the file, as its beginning and its length.
fn stretch((begin, length): (u64, u64)) -> [Setting; 2] {
    let why = "the part of the file that it works on, from the LBA map";
    [Setting::because("offset", fio_size(begin), why), Setting::new("size", fio_size(length))]
}

/// What sets the pace, when the device does not.
fn brake(stream: &Stream) -> Vec<Setting> {
    match stream.brake {
        None => Vec::new(),
        Some(Brake::Bytes(rates)) => vec![Setting::because("rate", of_parts(stream, rates), PACE)],
        Some(Brake::Poisson(rates)) => {
            vec![Setting::because("rate_iops", of_parts(stream, rates), PACE), Setting::new("rate_process", "poisson")]
        }
        Some(Brake::Think { requests, us }) => think(requests, us),
        Some(Brake::ThinkAt { requests, us, bytes }) => {
            let why = "keeps its share of the bytes; after each pause fio catches up with it";
            [think(requests, us), vec![Setting::because("rate", bytes, why)]].concat()
        }
    }
}

/// The rates of a job's own directions, as fio reads them.
fn of_parts(stream: &Stream, rates: [u64; 2]) -> String {
    let own: Vec<String> = stream.parts.iter().map(|part| rates[part.direction as usize].to_string()).collect();
    own.join(",")
}

const PACE: &str = "the pace, as above";

/// A pause after so many requests.
fn think(requests: u64, us: u64) -> Vec<Setting> {
    let why = "or fio counts what has ended, and a burst is longer by what is in flight then";
    vec![
        Setting::because("thinktime", us, PACE),
        Setting::new("thinktime_blocks", requests),
        Setting::because("thinktime_blocks_type", "issue", why),
    ]
}

fn flow(stream: &Stream, context: &Context<'_>) -> Vec<Setting> {
    let Some(flow) = stream.flow else { return Vec::new() };
    let total: u64 = context.beside.iter().map(Stream::count).sum();
    let share = stream.count() as f64 * 100.0 / total as f64;
    let why = format!("{share:.3} % of all requests; a job that is ahead of its share pauses");
    let mut settings = vec![Setting::because("flow", flow, why)];
    settings.extend(context.flow_id.map(|id| Setting::new("flow_id", id)));
    settings.push(Setting::new("flow_sleep", 50));
    settings
}

/// A time as fio reads it: whole seconds, else milliseconds, else microseconds.
pub fn fio_time(ns: u64) -> String {
    const MS: u64 = 1_000_000;
    if ns.is_multiple_of(units::SECOND_NS) {
        format!("{}s", ns / units::SECOND_NS)
    } else if ns.is_multiple_of(MS) {
        format!("{}ms", ns / MS)
    } else {
        format!("{}us", ns.div_ceil(1_000))
    }
}
