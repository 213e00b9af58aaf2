//! Jobs of a source whose queue is always full, so that the device sets the pace. Reads and writes that
//! share one queue share one `randrw` job; where fio's whole percents would bend the mix, two of
//! neighbouring percents run one after the other. Two queues are two jobs. Only where rare large sizes
//! need a job of their own, or loads run beside each other, does `flow` keep the shares: a job that is
//! ahead of its share lets its queue drain (`flow_threshold_exceeded` in fio's flow.c). A queue of bytes is
//! two jobs [`by_size`](super::by_size).

use super::by_size::by_size;
use super::parts::cut;
use super::sizes::SizeMix;
use super::streams::{Direction, Habits, Load, Part, Stream, weights};

/// How far a direction's share of the requests may be off, relative: half of what a proof allows its bytes, the rest is chance.
pub const MIX_BOUND: f64 = 0.01;
/// Bytes that take a device about as long as a request of none: 100 us at 2.5 GB/s.
const TWICE_AS_LONG: f64 = 262_144.0;

/// The jobs. Empty when both loads are.
pub fn saturated(reads: &Load, writes: &Load, habits: Habits) -> Vec<Stream> {
    if habits.by_bytes && !habits.beside {
        let depth = whole(reads.in_flight + writes.in_flight);
        if let Some(two) = by_size(reads, writes, depth, habits.powers) {
            return two;
        }
    }
    let requests = reads.mix.count() + writes.mix.count();
    let mut mains = Vec::new();
    let mut large = Vec::new();
    for (direction, load) in Direction::ALL.into_iter().zip([reads, writes]) {
        if load.mix.count() == 0 {
            continue;
        }
        let mut parts = cut(direction, load.mix.clone(), requests, habits.split).into_iter();
        mains.extend(parts.next().map(|part| (part, load.in_flight)));
        for (part, suffix) in parts.zip(["large", "larger"]) {
            let share = occupied(&part.mix) / occupied(&load.mix);
            large.push(Stream::one(format!("{direction}-{suffix}"), part, whole(load.in_flight * share)));
        }
    }
    let taken: u32 = large.iter().map(|stream| stream.depth).sum();
    let depth = |in_flight: f64| whole(in_flight).saturating_sub(taken).max(1);
    let mut all = match <[_; 2]>::try_from(mains) {
        Ok(mains) if habits.apart && large.is_empty() => return mains.map(own).into(),
        Ok(mains) => {
            let total = depth(reads.in_flight + writes.in_flight);
            let may_wait = large.is_empty() && !habits.beside;
            mixed(&mains, total, may_wait).unwrap_or_else(|| by_direction(mains, total))
        }
        Err(one) => one
            .into_iter()
            .map(|(part, in_flight)| Stream::one(part.direction.to_string(), part, depth(in_flight)))
            .collect(),
    };
    all.extend(large);
    if all.len() > 1 && all.iter().all(|stream| stream.turn.is_none()) {
        let counts: Vec<u64> = all.iter().map(Stream::count).collect();
        for (stream, flow) in all.iter_mut().zip(weights(&counts)) {
            stream.flow = Some(flow);
        }
    }
    all
}

fn whole(in_flight: f64) -> u32 {
    in_flight.round().clamp(1.0, 65_536.0) as u32
}

/// A job with a queue of its own.
fn own((part, in_flight): (Part, f64)) -> Stream {
    Stream::one(part.direction.to_string(), part, whole(in_flight))
}

/// How much of a queue requests take up, in those of no size: a large one is longer at the device,
/// about twice as long for each so many bytes more.
fn occupied(mix: &SizeMix) -> f64 {
    mix.count() as f64 + mix.bytes() as f64 / TWICE_AS_LONG
}

/// Reads and writes in one queue: one job where a whole percent keeps each direction's share, or two in
/// turns; none where neither does.
fn mixed([(read, _), (write, _)]: &[(Part, f64); 2], depth: u32, may_wait: bool) -> Option<Vec<Stream>> {
    let (reads, writes) = (read.mix.count() as f64, write.mix.count() as f64);
    let exact = reads * 100.0 / (reads + writes);
    let near = exact.round().clamp(1.0, 99.0);
    let job = |percent: f64| match percent {
        100.0 => Stream::one("read".to_owned(), read.clone(), depth),
        0.0 => Stream::one("write".to_owned(), write.clone(), depth),
        _ => Stream {
            name: "mix".to_owned(),
            parts: vec![read.clone(), write.clone()],
            read_percent: Some(percent as u32),
            ..Stream::one(String::new(), read.clone(), depth)
        },
    };
    if (near - exact).abs() <= MIX_BOUND * exact.min(100.0 - exact) {
        return Some(vec![job(near)]);
    }
    let low = exact.floor();
    let turn = |percent: f64, share: f64| {
        let job = job(percent);
        let name = if job.name == "mix" { format!("mix-{percent}") } else { job.name.clone() };
        Stream { name, turn: Some(share), ..job }
    };
    may_wait.then(|| vec![turn(low, low + 1.0 - exact), turn(low + 1.0, exact - low)])
}

/// A job for each direction, with its part of the depth.
fn by_direction(mains: [(Part, f64); 2], depth: u32) -> Vec<Stream> {
    let in_flight: f64 = mains.iter().map(|main| main.1).sum();
    mains.map(|(part, its)| own((part, f64::from(depth) * its / in_flight))).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn load(mix: SizeMix, in_flight: f64) -> Load {
        Load { mix, in_flight, most_in_flight: 32 }
    }

    #[test]
    fn rare_large_sizes_get_a_job() {
        let mix = SizeMix::from_sizes([(4096, 99_600), (1 << 20, 400)]);
        let all = saturated(&Load::default(), &load(mix, 4.0), Habits::default());
        let names: Vec<_> = all.iter().map(|s| (s.name.as_str(), s.parts[0].split.text(), s.depth)).collect();
        assert_eq!(names, [("write", "4k/100".to_owned(), 3), ("write-large", "1m/100".to_owned(), 1)]);
        let common = SizeMix::from_sizes([(4096, 500), (1 << 20, 500)]);
        assert_eq!(saturated(&load(common, 4.0), &Load::default(), Habits::default()).len(), 1);
    }

    #[test]
    fn two_queues_are_two_jobs_that_do_not_wait_for_each_other() {
        let one = |count, in_flight| load(SizeMix::from_sizes([(4096, count)]), in_flight);
        let apart = Habits { apart: true, ..Habits::default() };
        let jobs: Vec<_> = saturated(&one(700, 16.0), &one(300, 2.0), apart)
            .into_iter()
            .map(|job| (job.name, job.depth, job.flow, job.turn))
            .collect();
        assert_eq!(jobs, [("read".to_owned(), 16, None, None), ("write".to_owned(), 2, None, None)]);
    }

    /// Name, `rwmixread`, depth, `flow` and part of the time of each job, in thousandths.
    type Form = (String, Option<u32>, u32, Option<u32>, Option<u64>);

    fn forms(reads: u64, writes: u64, in_flight: f64, beside: bool) -> Vec<Form> {
        let one =
            |count: u64| load(SizeMix::from_sizes([(4096, count)]), in_flight * count as f64 / (reads + writes) as f64);
        let jobs = saturated(&one(reads), &one(writes), Habits { beside, ..Habits::default() }).into_iter();
        let thousandths = |turn: f64| (turn * 1000.0).round() as u64;
        jobs.map(|job| (job.name, job.read_percent, job.depth, job.flow, job.turn.map(thousandths))).collect()
    }

    #[test]
    fn the_mix_takes_the_simplest_form_that_keeps_it() {
        let job = |name: &str, percent, depth, flow, turn| (name.to_owned(), percent, depth, flow, turn);
        assert_eq!(forms(870, 130, 12.0, false), [job("mix", Some(87), 12, None, None)]);
        let turns = [job("mix-92", Some(92), 15, None, Some(600)), job("mix-93", Some(93), 15, None, Some(400))];
        assert_eq!(forms(924, 76, 15.0, false), turns);
        let rare = [job("mix-99", Some(99), 8, None, Some(400)), job("read", None, 8, None, Some(600))];
        assert_eq!(forms(996, 4, 8.0, false), rare, "a rare direction is not lost");
        let beside = [job("read", None, 8, Some(123), None), job("write", None, 1, Some(2), None)];
        assert_eq!(forms(984, 16, 8.0, true), beside);
    }

    proptest! {
        #[test]
        fn shares_and_depths_are_kept(reads in 1u64..1_000_000, writes in 1u64..1_000_000, depth in 1.0f64..64.0) {
            let jobs = forms(reads, writes, depth, false);
            prop_assert!(jobs.iter().all(|job| (f64::from(job.2) - depth).abs() <= 1.0), "{:?}", jobs);
            let exact = reads as f64 * 100.0 / (reads + writes) as f64;
            let percent = |job: &Form| match (job.1, job.0.as_str()) {
                (Some(percent), _) => f64::from(percent),
                (None, "read") => 100.0,
                _ => 0.0,
            };
            let got: f64 = match &jobs[..] {
                [one] => percent(one),
                turns => turns.iter().map(|job| percent(job) * job.4.unwrap_or(0) as f64 / 1000.0).sum(),
            };
            let rare = exact.min(100.0 - exact);
            prop_assert!((got - exact).abs() <= (0.011 * rare).max(0.2), "{} for {}: {:?}", got, exact, jobs);
        }
    }
}
