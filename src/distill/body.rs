//! The jobs of a job file, as fio reads them, with the reason for every value.

use crate::units;

use super::engine::Engine;
use super::file_size::FileSize;
use super::job::Options;
use super::portions::Portion;
use super::section::{Section, Setting};
use super::sizes::{Split, fio_size};
use super::source::{DSYNC, Source};
use super::streams::{Brake, Direction, Part, Stream};

/// Requests beyond which fio's buffers begin at a huge page: on pages of 4 KiB they have more
/// segments than many devices take at once (64 here; 127 are usual), and are split. Up to that a job
/// has the pages of its source, since what copies the data is faster with large ones.
const LARGE: u64 = 256 << 10;
/// The percentage of requests in order from which on a job is sequential rather than a mixture.
const ALL_IN_ORDER: u64 = 100;

/// What a section is written from.
pub struct Context<'a> {
    /// The load that its jobs stand for.
    pub source: &'a Source,
    /// All jobs that run beside each other.
    pub beside: &'a [Stream],
    /// What the user decides.
    pub options: &'a Options,
    /// The size of the file.
    pub size: u64,
    /// fio's `flow_id` of the jobs; none where all of a file's jobs are one flow.
    pub flow_id: Option<usize>,
}

/// What holds for all jobs.
pub fn global(options: &Options, size: &FileSize, largest: u64, huge_pages: bool) -> Section {
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
    settings.extend(aligned(largest).filter(|_| huge_pages || largest > LARGE));
    Section { name: "global".to_owned(), about: Vec::new(), settings }
}

/// fio's buffers on the borders of huge pages, where requests are large. Measured with fio 3.33 on
/// a disk that takes 4 MiB in 254 segments: 64 requests of 4 MiB reach it as 64, and without this as
/// 79 to 384, or without huge pages as 134 to 1414.
pub fn aligned(largest: u64) -> Option<Setting> {
    let why = "buffers begin at huge pages, so that large requests reach the device in one piece";
    (largest >= LARGE).then(|| Setting::because("iomem_align", "2m", why))
}

/// The section of one job.
pub fn section(stream: &Stream, context: &Context<'_>) -> Section {
    let mut settings = directions(stream, context);
    settings.extend(sizes(stream));
    settings.extend(places(stream, context));
    settings.extend(depth(stream, context));
    settings.extend(brake(stream));
    settings.extend(flow(stream, context));
    settings.extend(sync(stream, context));
    Section { name: stream.name.clone(), about: Vec::new(), settings }
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

/// Gives jobs their time: all of it, or their parts one after another.
pub fn one_after_another(jobs: &mut [Section], streams: &[Stream], runtime_ns: u64) {
    for (number, (job, stream)) in jobs.iter_mut().zip(streams).enumerate() {
        let mut own = Vec::new();
        if number > 0 && stream.turn.is_some() {
            own.push(Setting::new("stonewall", 1));
        }
        let time = fio_time(whole_ms(runtime_ns as f64 * stream.turn.unwrap_or(1.0)));
        own.push(match (stream.turn, number) {
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
        let rw = |part: &Part| match in_order(context.source, part.direction) {
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
    let why: Vec<String> = stream.parts.iter().filter_map(about_sizes).collect();
    if splits().all(|split| split.entries.len() == 1) {
        let mut sizes: Vec<String> = splits().map(|split| fio_size(split.largest())).collect();
        sizes.dedup();
        return vec![Setting { name: "bs", value: sizes.join(","), why }];
    }
    let value = splits().map(Split::text).collect::<Vec<_>>().join(",");
    let mut settings = vec![Setting { name: "bssplit", value, why }];
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
fn in_order(source: &Source, direction: Direction) -> Option<u64> {
    source.in_order(direction).map(|share| (share * 100.0).round() as u64)
}

/// `percentage_random` and `random_distribution`.
fn places(stream: &Stream, context: &Context<'_>) -> Vec<Setting> {
    let source = context.source;
    let directions: Vec<Direction> = stream.parts.iter().map(|part| part.direction).collect();
    let ordered: Vec<Option<u64>> = directions.iter().map(|direction| in_order(source, *direction)).collect();
    let mut settings = Vec::new();
    // Not of both directions: fio's `rw=rw` begins anew when reads and writes together have moved the
    // file's bytes, and reaches only a part of it with each (measured with fio 3.33).
    if ordered == [Some(ALL_IN_ORDER)] {
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
    if let Some(zones) = source.zones.text(&directions, context.size, unit) {
        let why = "percent of the requests/bytes of the file, from the LBA map; what was not touched is left out";
        settings.push(Setting::because("random_distribution", format!("zoned_abs:{zones}"), why));
    }
    settings
}

/// `ioengine`, where it is not that of all jobs, and how many requests it keeps in flight.
fn depth(stream: &Stream, context: &Context<'_>) -> Vec<Setting> {
    const CALLS: &str = "the source's own: a call for each request, which waits for its end";
    let options = context.options;
    let asked = options.engine_asked;
    if stream.cached {
        let through = Setting::because("direct", 0, "through the page cache, as the source");
        let engine = (!asked).then(|| Setting::because("ioengine", "psync", "one call after another"));
        return engine.into_iter().chain([through]).collect();
    }
    let paced = is_paced(stream);
    let why =
        if paced { "the most in flight; the rate decides how many are" } else { "the number that was kept in flight" };
    let wanted = stream.depth;
    let with = |engine: &str, about: &str| {
        vec![Setting::because("ioengine", engine, about), Setting::because("iodepth", wanted, why)]
    };
    match stream.engine {
        Some(Engine::Calls) if !asked && wanted == 1 => return vec![Setting::because("ioengine", "psync", CALLS)],
        Some(Engine::Calls) if !asked && may_be_threads(stream, context.source) => {
            let threads = "the number of calls that were kept in flight, each of a thread";
            return vec![
                Setting::because("ioengine", "psync", CALLS),
                Setting::new("thread", 1),
                Setting::because("numjobs", wanted, threads),
            ];
        }
        Some(Engine::Aio) if !asked => return with("libaio", "the source's own: io_submit"),
        _ => {}
    }
    if syncs_too_often(stream, context) && stream.engine != Some(Engine::Uring) && !asked {
        return with(
            "libaio",
            "fio's io_uring syncs once for each request that is in flight before 3.38; libaio syncs once",
        );
    }
    match options.depth(wanted) {
        Some(depth) if depth == wanted || paced => vec![Setting::because("iodepth", depth.max(wanted), why)],
        Some(depth) => {
            let near = format!("{why}, {wanted}; fio's io_uring keeps powers of two");
            vec![Setting::because("iodepth", depth, near)]
        }
        None if paced => vec![Setting::because("iodepth", wanted.next_power_of_two(), why)],
        None => with(
            "libaio",
            "fio's io_uring goes up to the next power of two, which is far from this depth; libaio does not",
        ),
    }
}

fn is_paced(stream: &Stream) -> bool {
    matches!(stream.brake, Some(Brake::Bytes(_) | Brake::Poisson(_)))
}

/// Whether threads of one job each do what its requests do together: at random places, as fast as they
/// can. Each would have a rate, a pause and an order of its own.
fn may_be_threads(stream: &Stream, source: &Source) -> bool {
    let in_order = |part: &Part| in_order(source, part.direction).is_some_and(|percent| percent > 0);
    stream.brake.is_none() && stream.flow.is_none() && !stream.parts.iter().any(in_order)
}

/// How many times the fio that is here syncs where a job says once. Before 3.38 it looks for a sync that has
/// ended, not for one that began: io_uring begins one for each request in flight. And it syncs again as
/// long as no other write began: after each read that comes before (both corrected in 2024, fio's pull
/// requests 1754 and 1777).
fn times(stream: &Stream, context: &Context<'_>) -> f64 {
    let options = context.options;
    if options.fio.is_some_and(|number| number >= ONE_SYNC) {
        return 1.0;
    }
    let at_once = options.depth(stream.depth).filter(|_| stream.engine == Some(Engine::Uring));
    if let Some(depth) = at_once.filter(|_| syncs_too_often(stream, context)) {
        return depth.into();
    }
    stream.read_percent.map_or(1.0, |reads| 100.0 / f64::from(100 - reads.min(99)))
}

/// Whether it syncs with several requests in flight through fio's io_uring of before 3.38.
fn syncs_too_often(stream: &Stream, context: &Context<'_>) -> bool {
    let options = context.options;
    let uring = options.ioengine == "io_uring" && options.fio.is_none_or(|number| number < ONE_SYNC);
    uring && stream.depth > 1 && context.source.sync.is_some_and(|sync| sync.option != DSYNC) && writes(stream)
}

/// The first fio that syncs once.
const ONE_SYNC: (u32, u32) = (3, 38);

fn writes(stream: &Stream) -> bool {
    stream.parts.iter().any(|part| part.direction == Direction::Write)
}

/// What sets the pace, when the device does not.
fn brake(stream: &Stream) -> Vec<Setting> {
    const WHY: &str = "the pace, as above";
    match stream.brake {
        None => Vec::new(),
        Some(Brake::Bytes(rate)) => vec![Setting::because("rate", rate, WHY)],
        Some(Brake::Poisson(rate)) => {
            vec![Setting::because("rate_iops", rate, WHY), Setting::new("rate_process", "poisson")]
        }
        Some(Brake::Think { requests, us }) => {
            vec![Setting::because("thinktime", us, WHY), Setting::new("thinktime_blocks", requests)]
        }
    }
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

/// Syncs after so many writes of this job.
fn sync(stream: &Stream, context: &Context<'_>) -> Option<Setting> {
    let sync = context.source.sync.filter(|_| writes(stream))?;
    if sync.option == DSYNC {
        let why =
            "each write is durable when it ends (O_DSYNC): the device flushed after each, and nothing asked for it";
        return Some(Setting::because("sync", DSYNC, why));
    }
    let (every, what) = match &context.source.cached {
        Some(cached) if stream.cached => (cached.every, "call"),
        _ => (sync.every, "request"),
    };
    let to = if every == 1 { format!("each write {what}") } else { units::plural(every, &format!("write {what}")) };
    let mut setting = Setting::because(sync.option, every, format!("{} syncs, one to {to}", units::count(sync.count)));
    if !stream.cached {
        let exact = context.source.loads[Direction::Write as usize].mix.count() as f64 / sync.count as f64;
        let needed = (exact * times(stream, context)).round() as u64;
        setting.why.extend((needed > every).then(|| {
            format!(
                "({needed} for fio before 3.38, which syncs again after a read that follows, and through io_uring for \
                 each request in flight; from 3.38 on say {every})"
            )
        }));
        setting.value = needed.max(every).to_string();
    }
    setting.why.extend((sync.journal > 0).then(|| {
        format!(
            "({} small writes of the filesystem's journal are left out: on such a filesystem the syncs make them again)",
            units::count(sync.journal)
        )
    }));
    Some(setting)
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
