//! When tiers and links are free: who asks first is served first.

use crate::trace::{Op, Tier};
use crate::units::SECOND_NS;

use super::{NetworkLeg, TierTiming, Timing};

/// The tiers, the network before them, and the link between the GPU and its host.
#[derive(Debug)]
pub struct Channels {
    tiers: Option<[TierTiming; 3]>,
    /// By tier and channel.
    free_at_ns: [Vec<u64>; 3],
    /// The network before a tier, by tier.
    legs: [Lanes; 3],
    pcie: Option<(u64, Lanes)>,
}

/// The two directions of a link, by when they are free.
#[derive(Clone, Copy, Debug, Default)]
struct Lanes {
    /// Towards who asks.
    inwards_ns: u64,
    outwards_ns: u64,
}

impl Channels {
    /// All channels free; `pcie_bytes_per_s` is what the link between GPU and host moves in
    /// each direction, where it takes time.
    pub fn new(timing: &Timing, pcie_bytes_per_s: Option<u64>) -> Self {
        let free = |index: usize| vec![0; timing.tiers.map_or(0, |tiers| tiers[index].channels as usize)];
        Self {
            tiers: timing.tiers,
            free_at_ns: [free(0), free(1), free(2)],
            legs: [Lanes::default(); 3],
            pcie: pcie_bytes_per_s.map(|rate| (rate, Lanes::default())),
        }
    }

    /// Asks a tier at `at_ns` to read something into the memory of the GPU, or to write
    /// something from there: when it is done. The tier and the link move it at the same time.
    pub fn ask(&mut self, tier: Tier, op: Op, size_bytes: u64, at_ns: u64) -> u64 {
        let done_ns = self.serve(tier, op, size_bytes, at_ns);
        match tier {
            Tier::Gpu => done_ns,
            _ => done_ns.max(self.cross(op, size_bytes, at_ns)),
        }
    }

    /// Writes to a tier what has been brought to it already: when it is done.
    pub fn fill(&mut self, tier: Tier, size_bytes: u64, at_ns: u64) -> u64 {
        self.serve(tier, Op::Write, size_bytes, at_ns)
    }

    /// Moves something from tier to tier, read and then written: when it has arrived. The link
    /// is crossed when one of them is the memory of the GPU.
    pub fn transfer(&mut self, from: Tier, to: Tier, size_bytes: u64, at_ns: u64) -> u64 {
        let read_ns = self.serve(from, Op::Read, size_bytes, at_ns);
        let written_ns = self.serve(to, Op::Write, size_bytes, read_ns);
        match (from, to) {
            (Tier::Gpu, _) => written_ns.max(self.cross(Op::Write, size_bytes, at_ns)),
            (_, Tier::Gpu) => written_ns.max(self.cross(Op::Read, size_bytes, at_ns)),
            _ => written_ns,
        }
    }

    /// A tier's own part: the channel that is free first serves. What lies behind a network
    /// passes that too, and is there a latency later.
    fn serve(&mut self, tier: Tier, op: Op, size_bytes: u64, at_ns: u64) -> u64 {
        let Some(tiers) = &self.tiers else { return at_ns };
        let timing = &tiers[tier.index()];
        let rate = if op == Op::Read { timing.read_bytes_per_s } else { timing.write_bytes_per_s };
        let moved_ns = transfer_ns(size_bytes, u64::from(timing.channels), rate);
        let free = self.free_at_ns[tier.index()].iter_mut().min().expect("a tier has a channel");
        *free = at_ns.max(*free).saturating_add(timing.latency_ns.saturating_add(moved_ns));
        let done_ns = *free;
        let Some(NetworkLeg { latency_ns, bytes_per_s }) = timing.network else { return done_ns };
        let passed_ns = self.legs[tier.index()].pass(op, size_bytes, bytes_per_s, at_ns);
        done_ns.max(passed_ns).saturating_add(latency_ns)
    }

    /// When the link has moved something that it is asked for at `at_ns`.
    fn cross(&mut self, op: Op, size_bytes: u64, at_ns: u64) -> u64 {
        match &mut self.pcie {
            Some((rate, lanes)) => lanes.pass(op, size_bytes, *rate, at_ns),
            None => at_ns,
        }
    }
}

impl Lanes {
    fn pass(&mut self, op: Op, size_bytes: u64, bytes_per_s: u64, at_ns: u64) -> u64 {
        let free_ns = if op == Op::Read { &mut self.inwards_ns } else { &mut self.outwards_ns };
        *free_ns = at_ns.max(*free_ns).saturating_add(transfer_ns(size_bytes, 1, bytes_per_s));
        *free_ns
    }
}

/// What a channel of `channels` that share a rate takes for so many bytes.
fn transfer_ns(size_bytes: u64, channels: u64, bytes_per_s: u64) -> u64 {
    match size_bytes.checked_mul(channels * SECOND_NS) {
        Some(product) => product / bytes_per_s,
        None => {
            let product = u128::from(size_bytes) * u128::from(channels) * u128::from(SECOND_NS);
            u64::try_from(product / u128::from(bytes_per_s)).unwrap_or(u64::MAX)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channels(timing: &str, pcie_bytes_per_s: Option<u64>) -> Channels {
        Channels::new(&timing.parse().unwrap(), pcie_bytes_per_s)
    }

    #[test]
    fn objects_wait_for_a_channel() {
        let mut channels = channels("2=2GB/s:1GB/s+10us*2", None);
        // Two channels of 1 GB/s each: 1 MB takes 1 ms and the latency.
        let done: Vec<u64> = (0..3).map(|_| channels.ask(Tier::Storage, Op::Read, 1_000_000, 0)).collect();
        assert_eq!(done, [1_010_000, 1_010_000, 2_020_000]);
        assert_eq!(channels.ask(Tier::Storage, Op::Write, 1_000_000, 5_000_000), 7_010_000);
    }

    #[test]
    fn no_timing_takes_no_time() {
        let mut channels = channels("none", None);
        assert_eq!(channels.ask(Tier::Gpu, Op::Read, u64::MAX, 7), 7);
        assert_eq!(channels.transfer(Tier::Gpu, Tier::Dram, u64::MAX, 7), 7);
    }

    #[test]
    fn a_slow_network_is_what_everybody_waits_for() {
        // The drive takes 1.01 ms, the network 2 ms and its latency of 20 us, in turn.
        let mut channels = channels("2=1GB/s+10us*1@net:500MB/s+20us", None);
        let mut read = |at_ns| channels.ask(Tier::Storage, Op::Read, 1_000_000, at_ns);
        assert_eq!([read(0), read(0)], [2_020_000, 4_020_000]);
        // The other direction is free, the drive is not.
        assert_eq!(channels.ask(Tier::Storage, Op::Write, 1_000_000, 0), 3 * 1_010_000 + 20_000);
    }

    #[test]
    fn loads_and_offloads_share_the_link_but_for_their_direction() {
        let mut channels = channels("none", Some(1_000_000_000));
        assert_eq!(channels.ask(Tier::Dram, Op::Read, 1_000_000, 0), 1_000_000);
        assert_eq!(channels.ask(Tier::Storage, Op::Read, 1_000_000, 0), 2_000_000);
        assert_eq!(channels.ask(Tier::Dram, Op::Write, 1_000_000, 0), 1_000_000);
        assert_eq!(channels.transfer(Tier::Gpu, Tier::Storage, 500_000, 0), 1_500_000);
        assert_eq!(channels.transfer(Tier::Dram, Tier::Gpu, 500_000, 0), 2_500_000);
        // What stays on one side of it does not cross it.
        assert_eq!(channels.ask(Tier::Gpu, Op::Read, 1_000_000, 0), 0);
        assert_eq!(channels.transfer(Tier::Dram, Tier::Storage, 1_000_000, 0), 0);
    }

    #[test]
    fn large_products_are_divided_all_the_same() {
        assert_eq!(transfer_ns(1 << 40, 1024, 1 << 40), 1024 * SECOND_NS);
        assert_eq!(transfer_ns(u64::MAX, 1024, 1), u64::MAX);
    }
}
