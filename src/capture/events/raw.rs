//! A row as the programs write it (`struct kv_event` of `bpf/layout.h`).

use std::mem::offset_of;

use crate::capture::devices::SECTOR;
use crate::capture::layout::{OTHER, PLAIN_SETS};
use crate::measure::events::{BlockOp, Event, EventKind, Side};
use crate::trace::Phase;

/// `struct kv_event`: its fields in order, all of it read by place.
#[repr(C)]
struct RawEvent {
    queued: u64,
    inserted: u64,
    issued: u64,
    flown: u64,
    completed: u64,
    sector: u64,
    seek: i64,
    gap: u64,
    bytes: u32,
    tgid: u32,
    took_off: u32,
    landed: u32,
    depth: u32,
    kind: u8,
    slot: u8,
    set: u8,
    class: u8,
    flags: u8,
    /// The programs may put more here.
    rest: [u8; 7],
}

/// What is set in `flags`: `seek` holds, `gap` holds, it ended with an error.
const SEEK: u8 = 1;
const GAP: u8 = 2;
const FAILED: u8 = 4;

/// A row of a capture that started at `start_ns`; none when it is shorter than one, which the
/// programs never write.
pub fn decode(bytes: &[u8], start_ns: u64) -> Option<Event> {
    if bytes.len() < size_of::<RawEvent>() {
        return None;
    }
    let raw = Raw(bytes);
    macro_rules! field {
        ($get:ident, $name:ident) => {
            raw.$get(offset_of!(RawEvent, $name))
        };
    }
    let at = |ns: u64| ns.wrapping_sub(start_ns) as i64;
    let when = |ns: u64| (ns != 0).then(|| at(ns));
    let some = |number: u32| (number != 0).then_some(number);
    let flags = field!(u8, flags);
    let (issued, flown, took_off) = (field!(u64, issued), field!(u64, flown), some(field!(u32, took_off)));
    let set = usize::from(field!(u8, set));
    let op = ops(field!(u8, class));
    Some(Event {
        device: usize::from(field!(u8, slot)),
        side: if set == OTHER { Side::Other } else { Side::Target },
        phase: set.checked_sub(PLAIN_SETS).and_then(|at| Phase::ALL.get(at).copied()),
        op,
        kind: kinds(field!(u8, kind)),
        queued_ns: at(field!(u64, queued)),
        inserted_ns: when(field!(u64, inserted)),
        issued_ns: when(issued),
        flown_ns: took_off.filter(|_| flown != issued).map(|_| at(flown)),
        completed_ns: at(field!(u64, completed)),
        offset_bytes: (issued != 0).then(|| field!(u64, sector).wrapping_mul(SECTOR)),
        size_bytes: (issued != 0).then(|| u64::from(field!(u32, bytes))),
        seek_bytes: (flags & SEEK != 0).then(|| (field!(u64, seek) as i64).wrapping_mul(SECTOR as i64)),
        gap_ns: (flags & GAP != 0).then(|| field!(u64, gap)),
        depth: some(field!(u32, depth)),
        pid: field!(u32, tgid),
        took_off,
        landed: some(field!(u32, landed)),
        error: flags & FAILED != 0,
    })
}

fn ops(class: u8) -> BlockOp {
    match class {
        0 => BlockOp::Read,
        1 => BlockOp::Write,
        2 => BlockOp::Flush,
        3 => BlockOp::Discard,
        _ => BlockOp::WriteZeroes,
    }
}

fn kinds(kind: u8) -> EventKind {
    match kind {
        0 => EventKind::Done,
        1 => EventKind::Unseen,
        2 => EventKind::Requeued,
        _ => EventKind::Merged,
    }
}

/// The bytes of a row; places are within it.
struct Raw<'a>(&'a [u8]);

impl Raw<'_> {
    fn u64(&self, at: usize) -> u64 {
        self.0[at..at + 8].try_into().map_or(0, u64::from_ne_bytes)
    }

    fn u32(&self, at: usize) -> u32 {
        self.0[at..at + 4].try_into().map_or(0, u32::from_ne_bytes)
    }

    fn u8(&self, at: usize) -> u8 {
        self.0[at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::native::Native;

    /// The bytes of a row with a value at each place.
    fn bytes(fields: &[(usize, u64, usize)]) -> Vec<u8> {
        let mut bytes = vec![0; size_of::<RawEvent>()];
        for &(at, value, width) in fields {
            bytes[at..at + width].copy_from_slice(&value.to_ne_bytes()[..width]);
        }
        bytes
    }

    #[test]
    fn what_did_not_happen_is_none() {
        let queued = (offset_of!(RawEvent, queued), 1_500, 8);
        let merged = (offset_of!(RawEvent, kind), 3, 1);
        let event = decode(&bytes(&[queued, merged]), 1_000).unwrap();
        assert_eq!((event.queued_ns, event.kind), (500, EventKind::Merged));
        assert_eq!((event.issued_ns, event.offset_bytes, event.size_bytes), (None, None, None));
        assert_eq!((event.depth, event.took_off, event.landed, event.seek_bytes), (None, None, None, None));
        assert!(decode(&[0; 8], 0).is_none());
    }

    #[test]
    fn both_sides_agree_on_a_row() {
        let program = r#"
            #include <stddef.h>
            #include "layout.h"
            #define AT(field) (int)offsetof(struct kv_event, field)
            int main(void) {
                printf("%d %d %d %d ", AT(queued), AT(inserted), AT(issued), AT(flown));
                printf("%d %d %d %d ", AT(completed), AT(sector), AT(seek), AT(gap));
                printf("%d %d %d %d ", AT(bytes), AT(tgid), AT(took_off), AT(landed));
                printf("%d %d %d %d ", AT(depth), AT(kind), AT(slot), AT(set));
                printf("%d %d %d ", AT(class), AT(flags), (int)sizeof(struct kv_event));
                return 0;
            }"#;
        let Some(program) = Native::compile(program) else { return };
        let output = program.run("");
        macro_rules! at {
            ($($field:ident)*) => {
                [$(offset_of!(RawEvent, $field)),*, size_of::<RawEvent>()]
            };
        }
        let ours = at!(queued inserted issued flown completed sector seek gap bytes tgid took_off landed depth kind slot
                       set class flags);
        assert_eq!(output.trim(), ours.map(|at| at.to_string()).join(" "));
    }

    #[test]
    fn a_whole_row_is_read_in_its_units() {
        let of = |fields: &[(usize, u64, usize)]| decode(&bytes(fields), 0).unwrap();
        let fields = [
            (offset_of!(RawEvent, issued), 70, 8),
            (offset_of!(RawEvent, flown), 60, 8),
            (offset_of!(RawEvent, sector), 8, 8),
            (offset_of!(RawEvent, bytes), 4096, 4),
            (offset_of!(RawEvent, seek), (-3i64) as u64, 8),
            (offset_of!(RawEvent, took_off), 5, 4),
            (offset_of!(RawEvent, set), 3, 1),
            (offset_of!(RawEvent, class), 1, 1),
            (offset_of!(RawEvent, flags), 5, 1),
        ];
        let event = of(&fields);
        assert_eq!((event.issued_ns, event.took_off_ns()), (Some(70), Some(60)));
        assert_eq!((event.offset_bytes, event.size_bytes, event.seek_bytes), (Some(4096), Some(4096), Some(-1536)));
        assert_eq!((event.op, event.side, event.phase), (BlockOp::Write, Side::Target, Some(Phase::Decode)));
        assert!(event.error && event.gap_ns.is_none());
    }
}
