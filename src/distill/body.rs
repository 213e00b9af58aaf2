//! The jobs of a job file, as fio reads them, with the reason for every value.

use crate::units;

use super::job::Options;
use super::portions::Portion;
use super::section::{Section, Setting};
use super::sizes::{Split, fio_size};
use super::source::Source;
use super::streams::{Brake, Direction, Part, Stream};

/// The file of a job is at least this many times its largest request, so that fio seldom has to
/// draw another size because the end of the file is near.
const SIZE_IN_REQUESTS: u64 = 64;
/// Requests from which on fio's buffers begin at a huge page: on pages of 4 KiB they have more
/// segments than many devices take at once (64 here; 127 are usual), and are split.
const LARGE: u64 = 256 << 10;
/// The percentage of requests in order from which on a job is sequential rather than a mixture.
const ALL_IN_ORDER: u64 = 100;

/// The size of the file, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSize {
    /// Bytes.
    pub bytes: u64,
    /// Where it comes from.
    pub why: String,
    /// What the source touched, as far as that is known: the size without being asked.
    pub touched: u64,
}

impl FileSize {
    /// As asked, or the space that was touched: no more than the touched parts of the device and
    /// no more than all bytes moved.
    pub fn of(source: &Source, asked: Option<u64>) -> Self {
        let found = Self::found(source);
        match asked {
            Some(bytes) => Self { bytes, why: "as asked (--size)".to_owned(), touched: found.bytes },
            None => found,
        }
    }

    fn found(source: &Source) -> Self {
        let moved = u64::try_from(source.bytes()).unwrap_or(u64::MAX);
        let touched = match source.zones.bytes() {
            0 => u64::MAX,
            bytes => bytes,
        };
        let least = source.largest() * SIZE_IN_REQUESTS;
        // A load that reaches far and moves little comes back to no place, and must not in a small file.
        let (bytes, why) = if moved < touched && (source.zones.bytes() == 0 || source.zones.are_coarse()) {
            (moved, "all bytes that were moved; the touched part of the device is no larger")
        } else {
            (touched, "the parts of the device that were touched, as wide as the LBA histogram's buckets")
        };
        let (bytes, why) = if bytes < least {
            (least, format!("{SIZE_IN_REQUESTS} times the largest request; the source touched {}", units::bytes(bytes)))
        } else {
            (bytes, why.to_owned())
        };
        let bytes = bytes.div_ceil(units::MIB) * units::MIB;
        Self { bytes, why, touched: bytes }
    }
}

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
pub fn global(options: &Options, size: &FileSize, largest: u64) -> Section {
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
    settings.extend(aligned(largest));
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
    let source = context.source;
    let mut settings = directions(stream, context);
    settings.push(sizes(stream, context));
    settings.extend(places(stream, source, context.size));
    settings.extend(depth(stream, context.options));
    settings.extend(brake(stream));
    settings.extend(flow(stream, context));
    settings.extend(sync(stream, source));
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

fn sizes(stream: &Stream, context: &Context<'_>) -> Setting {
    let of = |part: &Part| {
        let (split, real) = (&part.split, part.mix.mean());
        format!(
            "{}s: {} sizes, mean {real:.0} bytes; the percents give {:.0} ({:+.2} %) and move a size by {:.0}",
            part.direction,
            part.mix.sizes().len(),
            split.mean,
            (split.mean / real - 1.0) * 100.0,
            split.distance
        )
    };
    let directions: Vec<Direction> = stream.parts.iter().map(|part| part.direction).collect();
    let zoned = context.source.zones.text(&directions, context.size).is_some();
    let splits: Vec<_> = stream.parts.iter().map(|part| in_steps(&part.split, zoned)).collect();
    let mut why: Vec<String> = stream.parts.iter().map(of).collect();
    if stream.parts.iter().zip(&splits).any(|(part, split)| *split != part.split.text()) {
        why.push("(the first is a step of which all are multiples: fio rounds sizes down to multiples of it)".into());
    }
    Setting { name: "bssplit", value: splits.join(","), why }
}

/// A `bssplit` as fio issues it. fio 3.33 rounds every size down to a multiple of the smallest one of
/// its direction (`get_next_buflen` in io_u.c), places to multiples of it too, and the file, so that
/// zones that fill the file end beyond it and the job ends at once, without an error. So the
/// smallest becomes a power of two that all are multiples of, with one percent of the smallest real
/// one: with none, fio looks for ever for a size that fits at the end of the file.
fn in_steps(split: &Split, zoned: bool) -> String {
    let sizes = || split.entries.iter().map(|entry| entry.0);
    let smallest = sizes().next().unwrap_or(1).max(1);
    if sizes().all(|size| size.is_multiple_of(smallest)) && (smallest.is_power_of_two() || !zoned) {
        return split.text();
    }
    let step = 1 << sizes().map(u64::trailing_zeros).min().unwrap_or(0);
    let mut entries = split.entries.clone();
    if let Some(first) = entries.first_mut().filter(|first| first.0 != step) {
        first.1 -= 1;
        entries.insert(0, (step, 1));
        entries.retain(|entry| entry.1 > 0);
    }
    Split { entries, ..split.clone() }.text()
}

/// Requests of a direction that begin where its last one ended, whole percents.
fn in_order(source: &Source, direction: Direction) -> Option<u64> {
    source.sequential[direction as usize].map(|share| (share * 100.0).round() as u64)
}

/// `percentage_random` and `random_distribution`.
fn places(stream: &Stream, source: &Source, size: u64) -> Vec<Setting> {
    let directions: Vec<Direction> = stream.parts.iter().map(|part| part.direction).collect();
    let ordered: Vec<Option<u64>> = directions.iter().map(|direction| in_order(source, *direction)).collect();
    let mut settings = Vec::new();
    if stream.read_percent.is_none() && ordered == [Some(ALL_IN_ORDER)] {
        return settings;
    }
    if ordered.iter().any(|percent| percent.is_some_and(|percent| percent > 0)) {
        let random: Vec<String> = ordered.iter().map(|percent| (100 - percent.unwrap_or(0)).to_string()).collect();
        let why = "the others begin where the last one of their direction ended";
        settings.push(Setting::because("percentage_random", random.join(","), why));
    }
    if let Some(zones) = source.zones.text(&directions, size) {
        let why = "percent of the requests/bytes of the file, from the LBA map with its empty parts left out";
        settings.push(Setting::because("random_distribution", format!("zoned_abs:{zones}"), why));
    }
    settings
}

fn depth(stream: &Stream, options: &Options) -> Vec<Setting> {
    let paced = matches!(stream.brake, Some(Brake::Bytes(_) | Brake::Poisson(_)));
    let why =
        if paced { "the most in flight; the rate decides how many are" } else { "the number that was kept in flight" };
    let wanted = stream.depth;
    match options.depth(wanted) {
        Some(depth) if depth == wanted || paced => vec![Setting::because("iodepth", depth.max(wanted), why)],
        Some(depth) => {
            let near = format!("{why}, {wanted}; fio's io_uring keeps powers of two");
            vec![Setting::because("iodepth", depth, near)]
        }
        None if paced => vec![Setting::because("iodepth", wanted.next_power_of_two(), why)],
        None => {
            let aio = "fio's io_uring goes up to the next power of two, which is far from this depth; libaio does not";
            vec![Setting::because("ioengine", "libaio", aio), Setting::because("iodepth", wanted, why)]
        }
    }
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
fn sync(stream: &Stream, source: &Source) -> Option<Setting> {
    let writes = stream.parts.iter().any(|part| part.direction == Direction::Write);
    source.sync.filter(|_| writes).map(|sync| {
        let why = format!("{} syncs, one to {} write requests", units::count(sync.count), units::count(sync.every));
        let mut setting = Setting::because(sync.option, sync.every, why);
        setting.why.extend((sync.journal > 0).then(|| {
            format!(
                "({} small writes of the filesystem's journal are left out: on such a filesystem the syncs make them \
                 again)",
                units::count(sync.journal)
            )
        }));
        setting
    })
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
