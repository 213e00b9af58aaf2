//! The memory that a job's requests are made of: where its buffers begin, and what fio alters in them.

use crate::measure::block::BlockDevice;

use super::section::Setting;

/// Requests beyond which fio's buffers begin at a huge page: on pages of 4 KiB they have more
/// segments than many devices take at once (64 here; 127 are usual), and are split. Up to that a job
/// has the pages of its source, since what copies the data is faster with large ones.
const LARGE: u64 = 256 << 10;
/// Major numbers of block devices whose data the processors copy: `RAMDISK_MAJOR` and `LOOP_MAJOR` of the kernel's
/// `major.h`.
const COPIED: [&str; 2] = ["1:", "7:"];

/// What holds for the buffers of all jobs, of which the largest is so long. A `replay` has its own on huge pages, and
/// fills them long before it writes.
pub fn buffers(largest: u64, replay: bool, devices: &[BlockDevice]) -> Vec<Setting> {
    let mut settings: Vec<Setting> = aligned(largest).filter(|_| replay || largest > LARGE).into_iter().collect();
    settings.extend((replay && is_copied(devices)).then(untouched));
    settings
}

/// fio's buffers on the borders of huge pages, where requests are large. Measured with fio 3.33 on
/// a disk that takes 4 MiB in 254 segments: 64 requests of 4 MiB reach it as 64, and without this as
/// 79 to 384, or without huge pages as 134 to 1414.
pub fn aligned(largest: u64) -> Option<Setting> {
    let why = "buffers begin at huge pages, so that large requests reach the device in one piece";
    (largest >= LARGE).then(|| Setting::because("iomem_align", "2m", why))
}

/// Leaves the data of the requests alone. fio alters 24 bytes of every sector just before it writes it; a quarter of the
/// buffer's lines are then in its processor's cache, from which another one copies them more slowly: a
/// loop device over memory, written and read with 1 MiB, moved 4.2 GB/s here, without that 4.9, and the replay 4.7.
fn untouched() -> Setting {
    let why = "the processors copy this device's data, more slowly out of buffers that fio has just altered; the source's \
               were filled before. Leave this out for storage that deduplicates";
    Setting::because("scramble_buffers", 0, why)
}

fn is_copied(devices: &[BlockDevice]) -> bool {
    let copied = |device: &BlockDevice| COPIED.iter().any(|major| device.number.starts_with(major));
    !devices.is_empty() && devices.iter().all(copied)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(largest: u64, replay: bool, number: &str) -> Vec<&'static str> {
        let device = BlockDevice { number: number.to_owned(), ..BlockDevice::default() };
        buffers(largest, replay, &[device]).iter().map(|setting| setting.name).collect()
    }

    #[test]
    fn large_requests_are_one_piece() {
        assert_eq!(names(4096, false, "259:0"), [""; 0]);
        assert_eq!(names(256 << 10, false, "259:0"), [""; 0], "pages as the source's");
        assert_eq!(names(256 << 10, true, "259:0"), ["iomem_align"]);
        assert_eq!(names(1 << 20, false, "7:0"), ["iomem_align"]);
    }

    #[test]
    fn only_a_replay_on_a_device_that_is_copied_leaves_its_data_alone() {
        assert_eq!(names(4096, true, "7:12"), ["scramble_buffers"]);
        assert_eq!(names(4096, true, "1:0"), ["scramble_buffers"]);
        assert_eq!(names(4096, true, "71:0"), [""; 0]);
        assert_eq!(names(4096, false, "7:12"), [""; 0], "it is not known what the source did");
        assert!(buffers(4096, true, &[]).is_empty());
    }
}
