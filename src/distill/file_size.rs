//! How large a job's file is, and what fio cannot do on a small one.

use crate::measure::BlockResult;
use crate::units;

use super::logical::SOURCE;
use super::sizes::{SizeMix, fio_size};
use super::source::Source;
use super::streams::{Direction, Stream};

/// The file of a job is at least this many times its largest request, so that the job has places to
/// choose from.
const SIZE_IN_REQUESTS: u64 = 64;
/// What may be missing of the bytes because large requests do not fit at the end of the file: half
/// of what the sizes of a job may be off is what it is at most unasked, and more is said.
const MISSING: (f64, f64) = (0.005, 0.01);

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
    pub fn of(block: &BlockResult, source: &Source, asked: Option<u64>) -> Self {
        let found = Self::found(block, source);
        match asked {
            Some(bytes) => Self { bytes, why: "as asked (--size)".to_owned(), touched: found.bytes },
            None => found,
        }
    }

    fn found(block: &BlockResult, source: &Source) -> Self {
        let moved = u64::try_from(source.bytes()).unwrap_or(u64::MAX);
        let touched = match source.zones.bytes() {
            0 => u64::MAX,
            bytes => bytes,
        };
        // A load that reaches far and moves little comes back to no place, and must not in a small file.
        let (bytes, why) = if moved < touched && (source.zones.bytes() == 0 || source.zones.are_coarse()) {
            (
                moved,
                "all bytes that were moved: what was touched is no more, and the LBA map is too coarse to say how much",
            )
        } else if block.source == SOURCE {
            (touched, "the most that lies on storage at once, by the trace")
        } else {
            (touched, "what the source touched of its device, as finely as the LBA map tells")
        };
        let (least, reason) = Self::least(source);
        let (bytes, why) = if bytes < least {
            (least, format!("{reason}; the source touched {}", units::bytes(bytes)))
        } else {
            (bytes, why.to_owned())
        };
        let bytes = bytes.div_ceil(units::MIB) * units::MIB;
        Self { bytes, why, touched: bytes }
    }

    /// What a file has to have that fio draws the sizes of a source on, and why.
    fn least(source: &Source) -> (u64, String) {
        let call = source.cached.as_ref().and_then(|cached| cached.calls.sizes().last()).map_or(0, |call| call.0);
        let places = source.largest().max(call) * SIZE_IN_REQUESTS;
        let enough = Direction::ALL.map(|direction| {
            let random = 1.0 - source.sequential[direction as usize].unwrap_or(0.0);
            let shares = shares(&source.loads[direction as usize].mix);
            random * missing(&shares) / MISSING.0
        });
        let enough = enough.into_iter().fold(0.0, f64::max) as u64;
        if enough <= places {
            return (places, format!("{SIZE_IN_REQUESTS} times the largest request"));
        }
        let least = MISSING.0 * 100.0;
        (enough, format!("so that large requests fit nearly everywhere (of their bytes, {least} % are missing)"))
    }

    /// That fio draws smaller requests on it than a job says, where it does.
    pub fn cuts(&self, streams: &[Stream], source: &Source) -> Option<String> {
        let parts = streams.iter().flat_map(|stream| &stream.parts);
        let worst = parts.map(|part| {
            let random = 1.0 - source.sequential[part.direction as usize].unwrap_or(0.0);
            let shares: Vec<(u64, f64)> =
                part.split.entries.iter().map(|&(size, percent)| (size, f64::from(percent))).collect();
            random * missing(&shares)
        });
        let worst = worst.fold(0.0, f64::max);
        let share = worst / self.bytes as f64;
        (share > MISSING.1).then(|| {
            let enough = (worst / MISSING.1 / units::MIB as f64).ceil() as u64 * units::MIB;
            format!(
                "the file is so small that fio draws another size where a large request does not fit before its end: {:.0} % \
                 of the bytes of a direction are missing; --size {} or more makes that less than {:.0} %",
                (share * 100.0).min(100.0),
                fio_size(enough),
                MISSING.1 * 100.0
            )
        })
    }
}

fn shares(mix: &SizeMix) -> Vec<(u64, f64)> {
    mix.sizes().iter().map(|&(size, count)| (size, count as f64)).collect()
}

/// The part of the bytes that is missing because of the end of the file, times the file's bytes. fio
/// draws a place at random, up to the last one that the smallest size fits at, and a size again and
/// again until it fits (`get_next_buflen` in io_u.c). Measured with fio 3.33 and 4k/50:1m/50: on 16 MiB
/// 46.0 % are large, on 4 MiB 38.5 %, on 2 MiB 25.1 %, on 1 MiB 0.2 %.
fn missing(shares: &[(u64, f64)]) -> f64 {
    let Some(&(smallest, _)) = shares.first() else { return 0.0 };
    let (mut count, mut bytes, mut lost) = (0.0, 0.0, 0.0);
    for &(size, share) in shares {
        // Smaller ones come in its place.
        let instead = if count > 0.0 { bytes / count } else { size as f64 };
        lost += share * (size as f64 - instead) * (size - smallest) as f64;
        count += share;
        bytes += share * size as f64;
    }
    lost / bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_at_the_end_is_what_fio_was_measured_to_leave_out() {
        let split = [(4096, 50.0), (1 << 20, 50.0)];
        for (mib, large) in [(16, 46.0), (4, 38.45), (2, 25.11), (128, 49.77)] {
            let mean = (50.0 * 4096.0 + 50.0 * f64::from(1 << 20)) / 100.0;
            let measured = ((100.0 - large) * 4096.0 + large * f64::from(1 << 20)) / 100.0;
            let predicted = missing(&split) / f64::from(mib << 20);
            assert!((1.0 - measured / mean - predicted).abs() < 0.02, "{mib} MiB: {predicted}");
        }
        assert_eq!(missing(&[(65_536, 100.0)]), 0.0, "one size fits everywhere");
        assert_eq!(missing(&[]), 0.0);
    }
}
