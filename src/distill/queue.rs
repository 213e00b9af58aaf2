//! How a job asks for its requests, how many it keeps in flight, and how many it submits at once: fio's
//! `ioengine`, `iodepth`, `numjobs`, `iodepth_batch`.

use super::context::Context;
use super::engine::Engine;
use super::section::Setting;
use super::streams::{Brake, Stream};
use super::syncs::syncs_too_often;

/// `ioengine`, where it is not that of all jobs, how many requests it keeps in flight, and how they get there.
pub fn queue(stream: &Stream, context: &Context<'_>) -> Vec<Setting> {
    let mut settings = depth(stream, context);
    settings.extend(threads(stream, context));
    let find = |setting: &&Setting| setting.name == "iodepth";
    let depth = settings.iter().find(find).and_then(|setting| setting.value.parse::<u32>().ok());
    // Of two queues it is not known whose batches those are; beside pauses fio 3.33 waits for ever for a batch.
    let own = !context.source.apart && stream.flow.is_none() && stream.brake.is_none() && !stream.by_size;
    if let (Some(depth), Some(batch)) = (depth.filter(|depth| *depth > 1), context.source.batch.filter(|_| own)) {
        settings.extend(batch.settings(depth));
    }
    settings
}

fn depth(stream: &Stream, context: &Context<'_>) -> Vec<Setting> {
    let options = context.options;
    match stream.engine.filter(|_| !options.engine_asked) {
        Some(Engine::PageCache) => {
            let mut settings = through_the_page_cache();
            settings.insert(0, Setting::because("ioengine", "psync", "one call after another"));
            settings
        }
        _ if stream.is_cached() => through_the_page_cache(),
        Some(Engine::Calls) if stream.depth == 1 || stream.threads > 1 => vec![calls()],
        Some(Engine::Aio) => libaio(stream, "the source asked neither by calls nor through io_uring"),
        engine if engine != Some(Engine::Uring) && !options.engine_asked && syncs_too_often(stream, context) => libaio(
            stream,
            "fio's io_uring syncs once for each request that is in flight before 3.38; libaio syncs once",
        ),
        _ => ring(stream, context),
    }
}

fn threads(stream: &Stream, context: &Context<'_>) -> Vec<Setting> {
    let why = match stream.engine {
        _ if stream.threads == 1 => return Vec::new(),
        Some(Engine::Calls) => "the number of calls that were kept in flight, each of a thread",
        _ => "as many of the source did as much each",
    };
    let processes = context.source.threads.is_some_and(|threads| threads.processes);
    let thread = (!processes).then(|| Setting::new("thread", 1));
    [Setting::because("numjobs", stream.threads, why)].into_iter().chain(thread).collect()
}

fn through_the_page_cache() -> Vec<Setting> {
    vec![Setting::because("direct", 0, "through the page cache, as the source")]
}

fn calls() -> Setting {
    Setting::because("ioengine", "psync", "the source's own: a call for each request, which waits for its end")
}

fn libaio(stream: &Stream, why: &str) -> Vec<Setting> {
    vec![Setting::because("ioengine", "libaio", why), Setting::because("iodepth", stream.depth, about(stream))]
}

/// The depth for the engine of all jobs.
fn ring(stream: &Stream, context: &Context<'_>) -> Vec<Setting> {
    let (options, wanted, why) = (context.options, stream.depth, about(stream));
    let paced = is_paced(stream) || stream.is_drained();
    match options.depth(wanted) {
        _ if stream.by_size && !options.engine_asked && !context.beside.iter().all(is_power) => libaio(
            stream,
            "fio's io_uring goes up to the next power of two, and requests are shared out by depth; libaio does not",
        ),
        Some(depth) if depth == wanted || paced => vec![Setting::because("iodepth", depth.max(wanted), why)],
        Some(depth) => {
            let near = format!("{why}, {wanted}; fio's io_uring keeps powers of two");
            vec![Setting::because("iodepth", depth, near)]
        }
        None if paced => vec![Setting::because("iodepth", wanted.next_power_of_two(), why)],
        None => libaio(
            stream,
            "fio's io_uring goes up to the next power of two, which is far from this depth; libaio does not",
        ),
    }
}

fn about(stream: &Stream) -> &'static str {
    match is_paced(stream) {
        true => "the most in flight; the rate decides how many are",
        false if stream.by_size => "its part of the number that was kept in flight, and with it of the requests",
        false if stream.is_drained() => "room for a burst, which is asked for at once",
        false if stream.threads > 1 => "each one's part of the number that was kept in flight",
        false => "the number that was kept in flight",
    }
}

fn is_power(stream: &Stream) -> bool {
    stream.depth.is_power_of_two()
}

fn is_paced(stream: &Stream) -> bool {
    matches!(stream.brake, Some(Brake::Bytes(_) | Brake::Poisson(_)))
}
