//! When a job makes what it wrote durable: fio's `fsync`, `fdatasync` and `sync`.

use crate::units;

use super::context::Context;
use super::engine::Engine;
use super::section::Setting;
use super::source::DSYNC;
use super::streams::{Direction, Stream};

/// Syncs after so many writes of this job.
pub fn sync(stream: &Stream, context: &Context<'_>) -> Option<Setting> {
    let sync = context.source.sync.filter(|_| writes(stream))?;
    if sync.option == DSYNC {
        let why =
            "each write is durable when it ends (O_DSYNC): the device flushed after each, and no call asked for it";
        return Some(Setting::because("sync", DSYNC, why));
    }
    let (every, what) = match &context.source.cached {
        Some(cached) if stream.is_cached() => (cached.every, "call"),
        _ => (sync.every, "request"),
    };
    let to = if every == 1 { format!("each write {what}") } else { units::plural(every, &format!("write {what}")) };
    let mut setting = Setting::because(sync.option, every, format!("{} syncs, one to {to}", units::count(sync.count)));
    if !stream.is_cached() {
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
pub fn syncs_too_often(stream: &Stream, context: &Context<'_>) -> bool {
    let options = context.options;
    let uring = options.ioengine == "io_uring" && options.fio.is_none_or(|number| number < ONE_SYNC);
    uring && stream.depth > 1 && context.source.sync.is_some_and(|sync| sync.option != DSYNC) && writes(stream)
}

/// The first fio that syncs once.
const ONE_SYNC: (u32, u32) = (3, 38);

fn writes(stream: &Stream) -> bool {
    stream.parts.iter().any(|part| part.direction == Direction::Write)
}
