//! How a job asks for its requests, how many it keeps in flight, and how many it submits at once: fio's
//! `ioengine`, `iodepth`, `numjobs`, `iodepth_batch`.

use super::context::Context;
use super::engine::Engine;
use super::section::Setting;
use super::source::Source;
use super::streams::{Brake, Part, Stream};
use super::syncs::syncs_too_often;

/// The share in order from which on places are not random, in whole percents.
const SOME: f64 = 0.005;

/// `ioengine`, where it is not that of all jobs, how many requests it keeps in flight, and how they get there.
pub fn queue(stream: &Stream, context: &Context<'_>) -> Vec<Setting> {
    let mut settings = depth(stream, context);
    let find = |setting: &&Setting| setting.name == "iodepth";
    let depth = settings.iter().find(find).and_then(|setting| setting.value.parse::<u32>().ok());
    // Of two queues it is not known whose batches those are; beside pauses fio 3.33 waits for ever for a batch.
    let own = !context.source.apart && stream.flow.is_none() && stream.brake.is_none();
    if let (Some(depth), Some(batch)) = (depth.filter(|depth| *depth > 1), context.source.batch.filter(|_| own)) {
        settings.extend(batch.settings(depth));
    }
    settings
}

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
        Some(Engine::Aio) if !asked => return with("libaio", "the source asked neither by calls nor through io_uring"),
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
    let in_order = |part: &Part| source.in_order(part.direction).is_some_and(|share| share >= SOME);
    stream.brake.is_none() && stream.flow.is_none() && !stream.parts.iter().any(in_order)
}
