//! Two jobs beside each other for a source that keeps bytes in flight: one for the smaller of its requests and one
//! for the larger, each with as much of the depth as it has of the requests.
//!
//! fio keeps a number of requests. Sizes drawn at random make the bytes of so many vary, and with them the time that
//! each takes; a constant number of small ones and of large ones vary less. The device serves what is queued in its
//! order, so each job has its part of the requests without being told (`budget` made sure that large requests take no
//! longer than small ones).

use super::saturated::MIX_BOUND;
use super::sizes::{SizeMix, Split};
use super::streams::{Direction, Load, Part, Stream};

/// How far the depths of both together may be from the source's, where fio's io_uring has to keep them, relative.
const NEAR: f64 = 0.08;
/// How much more the bytes may vary with powers of two than with the best depths.
const WORSE: f64 = 1.25;

/// Depths of the smaller and of the larger requests.
type Depths = [u32; 2];

/// The two jobs. None where fio's whole percents do not keep the mix; with `powers`, depths are powers of two.
pub fn by_size(reads: &Load, writes: &Load, depth: u32, powers: bool) -> Option<Vec<Stream>> {
    let loads = [reads, writes];
    let all = SizeMix::from_sizes(loads.iter().flat_map(|load| load.mix.sizes()).copied());
    let depths = depths(&all, depth, powers)?;
    let percents = percents(loads.map(|load| load.mix.count()), depths)?;
    let jobs = ["", "-large"].into_iter().enumerate().map(|(at, suffix)| {
        let mut parts = Vec::new();
        for (direction, load) in Direction::ALL.into_iter().zip(loads).filter(|(_, load)| load.mix.count() > 0) {
            let own = percents.map(|reads| if direction == Direction::Read { reads } else { 100 - reads });
            let slots = |at: usize| f64::from(depths[at] * own[at]);
            let (small, large) = load.mix.cut(slots(0) / (slots(0) + slots(1)));
            let mix = [small, large][at].clone();
            parts.push((mix.count() > 0).then(|| Part { direction, split: Split::of(&mix), mix })?);
        }
        let (name, read_percent) = match &parts[..] {
            [one] => (one.direction.to_string(), None),
            _ => ("mix".to_owned(), Some(percents[at])),
        };
        let first = parts.first()?.clone();
        Some(Stream { parts, read_percent, by_size: true, ..Stream::one(name + suffix, first, depths[at]) })
    });
    jobs.collect()
}

/// The depths with which bytes vary least; powers of two, which fio's io_uring keeps, where they do nearly as well.
fn depths(all: &SizeMix, depth: u32, powers: bool) -> Option<Depths> {
    let best = |candidates: &mut dyn Iterator<Item = Depths>| {
        let varies = |depths: Depths| (variation(all, depths), depths);
        candidates.map(varies).min_by(|a, b| a.0.total_cmp(&b.0))
    };
    let near = |[small, large]: Depths| (f64::from(small + large) / f64::from(depth) - 1.0).abs() <= NEAR;
    let exponents = || (0..16).map(|exponent| 1u32 << exponent);
    let pairs = exponents().flat_map(|small| exponents().map(move |large| [small, large]));
    let rings = best(&mut pairs.filter(|depths| depths[1] <= depths[0] && near(*depths)));
    let any = best(&mut (1..=depth / 2).map(|large| [depth - large, large]));
    match (rings, any) {
        (Some(rings), Some(any)) if powers || rings.0 <= WORSE * any.0 => Some(rings.1),
        (_, Some(any)) if !powers => Some(any.1),
        _ => None,
    }
}

/// How much the bytes of so many smaller and larger requests vary: the standard deviation, of the mean.
fn variation(all: &SizeMix, depths: Depths) -> f64 {
    let (small, large) = all.cut(f64::from(depths[0]) / f64::from(depths[0] + depths[1]));
    let (mut variance, mut bytes) = (0.0, 0.0);
    for (mix, depth) in [small, large].iter().zip(depths) {
        let (mean, deviation) = mix.moments();
        variance += f64::from(depth) * deviation.powi(2);
        bytes += f64::from(depth) * mean;
    }
    variance.sqrt() / bytes.max(1.0)
}

/// The whole percents of reads among the smaller and among the larger, which together have the source's share.
fn percents(counts: [u64; 2], depths: Depths) -> Option<[u32; 2]> {
    let exact = counts[0] as f64 * 100.0 / (counts[0] + counts[1]) as f64;
    if counts.contains(&0) {
        return Some([exact as u32; 2]);
    }
    let [small, large] = depths.map(f64::from);
    let off = |pair: &[f64; 2]| ((small * pair[0] + large * pair[1]) / (small + large) - exact).abs();
    let with = |first: f64| [first, ((exact * (small + large) - small * first) / large).round()];
    let fits = |pair: &[f64; 2]| pair.iter().all(|percent| (1.0..=99.0).contains(percent));
    let pairs = [exact.floor(), exact.ceil()].map(with).into_iter().filter(fits);
    let best = pairs.min_by(|a, b| off(a).total_cmp(&off(b)))?;
    (off(&best) <= MIX_BOUND * exact.min(100.0 - exact)).then(|| best.map(|percent| percent as u32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Small ones, and as many bytes in a seventh of them.
    fn mixed(count: u64) -> SizeMix {
        SizeMix::from_sizes([(64 << 10, 3 * count), (512 << 10, 3 * count), (3 << 20, count)])
    }

    fn load(mix: SizeMix) -> Load {
        Load { mix, in_flight: 8.0, most_in_flight: 32 }
    }

    #[test]
    fn each_job_has_as_much_of_the_depth_as_of_the_requests() {
        let (reads, writes) = (load(mixed(700)), load(mixed(300)));
        let jobs = by_size(&reads, &writes, 14, false).unwrap();
        let form: Vec<_> = jobs.iter().map(|job| (job.name.as_str(), job.depth, job.read_percent)).collect();
        assert_eq!(form, [("mix", 12, Some(70)), ("mix-large", 2, Some(70))]);
        assert_eq!(jobs.iter().map(Stream::count).sum::<u64>(), 7000);
        assert_eq!(jobs[1].parts[0].split.text(), "3m/100");
        let alone = by_size(&Load::default(), &writes, 14, false).unwrap();
        let form: Vec<_> = alone.iter().map(|job| (job.name.as_str(), job.depth, job.read_percent)).collect();
        assert_eq!(form, [("write", 12, None), ("write-large", 2, None)]);
    }

    #[test]
    fn io_uring_gets_powers_of_two() {
        let all = mixed(1000);
        assert_eq!(depths(&all, 14, false), Some([12, 2]), "sizes end where the job does");
        assert_eq!(depths(&all, 14, true), None, "8 and 4 are 12");
        assert_eq!(depths(&all, 17, true), Some([16, 2]));
        assert_eq!(depths(&all, 1, false), None);
    }

    proptest! {
        #[test]
        fn mix_and_bytes_are_kept(
            reads in prop::collection::vec((1u64..2048, 1u64..1000), 1..60),
            writes in prop::collection::vec((1u64..2048, 1u64..1000), 1..60),
            depth in 4u32..80,
        ) {
            let of = |sizes: &[(u64, u64)]| load(SizeMix::from_sizes(sizes.iter().map(|s| (s.0 * 4096, s.1 * 100))));
            let loads = [of(&reads), of(&writes)];
            let Some(jobs) = by_size(&loads[0], &loads[1], depth, false) else { return Ok(()) };
            let slots: f64 = jobs.iter().map(|job| f64::from(job.depth)).sum();
            let of_reads: f64 =
                jobs.iter().map(|job| f64::from(job.depth) * f64::from(job.read_percent.unwrap())).sum::<f64>() / slots;
            let exact = loads[0].mix.count() as f64 * 100.0 / (loads[0].mix.count() + loads[1].mix.count()) as f64;
            prop_assert!((of_reads - exact).abs() <= MIX_BOUND * exact.min(100.0 - exact) + 1e-9);
            for (at, load) in loads.iter().enumerate() {
                let own = |job: &Stream| {
                    let percent = job.read_percent.map_or(100, |reads| if at == 0 { reads } else { 100 - reads });
                    (f64::from(job.depth * percent), job.parts[at].split.mean)
                };
                let (mut count, mut bytes) = (0.0, 0.0);
                jobs.iter().map(own).for_each(|(requests, mean)| {
                    count += requests;
                    bytes += requests * mean;
                });
                let mean = load.mix.mean();
                let moved: f64 = jobs.iter().map(|job| job.parts[at].split.distance).fold(0.0, f64::max);
                prop_assert!((bytes / count - mean).abs() <= moved + 0.001 * mean, "{} for {}", bytes / count, mean);
            }
        }
    }
}
