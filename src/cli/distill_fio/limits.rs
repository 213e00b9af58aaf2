//! What devices take at once: where the target of a proof takes less than the source's requests, or
//! took more than the source's device did.

use std::fs;

use crate::distill::{Direction, SizeMix};
use crate::measure::BlockResult;
use crate::units;

/// Bytes of a page, and of a segment at most where buffers are on such pages.
const PAGE: u64 = 4096;

/// What requests run into.
#[derive(Clone, Copy, Debug, Default)]
struct Limits {
    /// The source's largest request, in bytes.
    largest: u64,
    /// What the source's device takes at once; 0 where that is not known.
    source: u64,
    /// What the target takes at once; 0 where that is not known.
    target: u64,
    /// Segments of one request on the target; none where buffers are on huge pages, and few are needed.
    segments: Option<u64>,
}

/// That sizes are cut, or were, because of what a device takes at once.
pub fn note(originals: &[BlockResult], distilled: &[BlockResult]) -> Option<String> {
    let (source, target) = (originals.first()?, distilled.first()?);
    let most = |block: &BlockResult| {
        block.devices.iter().map(|device| device.max_sectors_kb << 10).filter(|bytes| *bytes > 0).min().unwrap_or(0)
    };
    let sizes = Direction::ALL.into_iter().filter_map(|direction| source.histogram("size", Some(direction.word())));
    let largest = sizes.filter_map(|h| SizeMix::from_histogram(h).sizes().last().map(|size| size.0)).max()?;
    let segments =
        target.devices.iter().filter_map(|device| segments(&device.name)).min().filter(|_| pages_are_small());
    said(Limits { largest, source: most(source), target: most(target), segments })
}

fn segments(device: &str) -> Option<u64> {
    fs::read_to_string(format!("/sys/block/{device}/queue/max_segments")).ok()?.trim().parse().ok()
}

/// Whether the system gives no program huge pages, not even one that asks (kernel documentation,
/// "Transparent Hugepage Support").
fn pages_are_small() -> bool {
    fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").is_ok_and(|text| text.contains("[never]"))
}

fn said(limits: Limits) -> Option<String> {
    let Limits { largest, source, target, .. } = limits;
    let in_segments = limits.segments.map_or(u64::MAX, |segments| segments.saturating_mul(PAGE));
    if target > 0 && largest > target {
        return Some(format!(
            "the source has requests of {}, and the target takes {} at once (max_sectors_kb): larger ones are split, so \
             sizes and requests in flight differ",
            units::bytes(largest),
            units::bytes(target)
        ));
    }
    if largest > in_segments {
        return Some(format!(
            "the source has requests of {}, and the target takes {} on pages of 4 KiB (max_segments), which is all this \
             machine gives (transparent_hugepage is never): larger ones are split",
            units::bytes(largest),
            units::bytes(in_segments)
        ));
    }
    (source > 0 && source < target && largest >= source).then(|| {
        format!(
            "the source's device took {} at once, so what its program asked for may have been split; the target takes {}, \
             and the job has the pieces",
            units::bytes(source),
            units::bytes(target)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_device_does_not_take_at_once_is_said() {
        let limits = |largest: u64, source: u64, target: u64, segments| {
            said(Limits { largest: largest << 10, source: source << 10, target: target << 10, segments })
        };
        assert_eq!(limits(512, 1280, 1280, None), None);
        assert!(limits(1024, 1280, 512, None).unwrap().contains("1.00 MiB, and the target takes 512 KiB at once"));
        assert!(limits(512, 512, 1280, None).unwrap().contains("the job has the pieces"));
        assert!(limits(1024, 1280, 1280, Some(128)).unwrap().contains("takes 512 KiB on pages of 4 KiB"));
        assert_eq!(limits(256, 0, 0, Some(128)), None, "limits that are not known are no limits");
    }
}
