//! How the time of a GPU's events becomes the time of our clock. Events only know how far they
//! are apart. One of them, the anchor, is given a moment of our clock; the others follow from
//! their distance to it. No copy began before it was queued and none ended after its end was
//! seen: a moment that contradicts this moves the anchor by as much, so that its error stays
//! below the time that an idle stream takes to begin, however far the two clocks drift apart.

/// The anchor's moment of our clock, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Anchor {
    /// The moment.
    pub at: u64,
}

impl Anchor {
    /// When a copy began and ended that was queued at `queued`, began `offset_ns` after the
    /// anchor, took `ns`, and was seen to have ended at `seen`.
    pub fn place(&mut self, offset_ns: i64, ns: u64, queued: u64, seen: u64) -> (u64, u64) {
        let began = self.at.saturating_add_signed(offset_ns);
        // What took longer than it was there cannot be mended here: its beginning counts.
        let latest = seen.saturating_sub(ns).max(queued);
        let right = began.clamp(queued, latest);
        self.at = (self.at + right).saturating_sub(began);
        (right, (right + ns).min(seen.max(right)))
    }

    /// The event that began `offset_ns` after the anchor is the anchor from now on.
    pub fn move_to(&mut self, offset_ns: i64) {
        self.at = self.at.saturating_add_signed(offset_ns);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn copies_lie_between_queueing_and_seeing_whatever_the_clocks_do(
            drift_ppm in -200i64..200,
            copies in prop::collection::vec((1u64..50_000_000, 1_000u64..20_000, 100_000u64..9_000_000, 0u64..30_000), 1..200),
        ) {
            let mut anchor = Anchor { at: 1_000 };
            let (mut now, mut anchored) = (1_000_000_u64, 1_000_000_u64);
            let device = |at: u64| (at as i128 + at as i128 * drift_ppm as i128 / 1_000_000) as u64;
            for (gap, wake, ns, late) in copies {
                now += gap;
                let (queued, began) = (now, now + wake);
                now = began + ns + late;
                let offset = (device(began) - device(anchored)) as i64;
                let (got, ended) = anchor.place(offset, device(began + ns) - device(began), queued, now);
                prop_assert!(queued <= got && got <= ended && ended <= now);
                prop_assert!(got.abs_diff(began) <= wake.max(late) + ns / 4_000, "{} {}", got, began);
                anchor.move_to(offset);
                anchored = began;
            }
        }
    }
}
