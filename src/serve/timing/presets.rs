//! Service times by name: of tiers, of networks before them, and of whole machines.

use super::{NetworkLeg, TierTiming};

const fn tier(latency_ns: u64, read_gb_per_s: f64, write_gb_per_s: f64, channels: u32) -> TierTiming {
    TierTiming {
        latency_ns,
        read_bytes_per_s: (read_gb_per_s * 1e9) as u64,
        write_bytes_per_s: (write_gb_per_s * 1e9) as u64,
        channels,
        network: None,
    }
}

/// HBM2e of an A100 80GB SXM (2,039 GB/s by its data sheet).
const HBM2E: TierTiming = tier(1_000, 2039.0, 2039.0, 8);
/// HBM3 of an H100 SXM (3.35 TB/s by its data sheet).
const HBM3: TierTiming = tier(1_000, 3350.0, 3350.0, 8);
/// HBM3e of an H200 SXM (4.8 TB/s by its data sheet).
const HBM3E: TierTiming = tier(1_000, 4800.0, 4800.0, 8);
/// Host memory behind PCIe 4.0 x16 (16 GT/s x 16 lanes, 128b/130b).
const DRAM_PCIE4: TierTiming = tier(2_000, 31.5, 31.5, 4);
/// Host memory behind PCIe 5.0 x16 (32 GT/s x 16 lanes, 128b/130b).
const DRAM_PCIE5: TierTiming = tier(2_000, 63.0, 63.0, 4);
/// Host memory that the CPU itself uses: eight channels of DDR5-4800 (JEDEC JESD79-5: 4,800 MT/s
/// of 8 bytes, 38.4 GB/s a channel) as a socket of a 4th generation Xeon Scalable has them, about
/// 100 ns away.
const DDR5: TierTiming = tier(100, 307.2, 307.2, 8);
/// A data-centre NVMe drive on PCIe 4.0 x4 (the link's limit is 7.9 GB/s), of the class of a
/// Micron 7450 (6.8 and up to 5.6 GB/s, 80 us).
const NVME_GEN4: TierTiming = tier(80_000, 7.0, 5.0, 4);
/// A data-centre NVMe drive on PCIe 5.0 x4 (the link's limit is 15.8 GB/s): a Micron 9550 by its
/// data sheet (14.0 and 10.0 GB/s, 60 us).
const NVME_GEN5: TierTiming = tier(60_000, 14.0, 10.0, 4);
/// A SATA 3 drive (6 Gbit/s, 8b/10b: 600 MB/s), of the class of a Samsung PM893 (550 and 520 MB/s).
const SATA: TierTiming = tier(100_000, 0.55, 0.52, 1);
/// A file server over NFS and TCP on 25 Gbit/s Ethernet (IEEE 802.3by): nine tenths of the line
/// rate, half a millisecond to the server and through its file system, eight requests at a time.
/// No data sheet says this; measure your own.
const NFS: TierTiming = tier(500_000, 2.8, 2.8, 8);

/// A tier by its name.
pub const TIERS: [(&str, TierTiming); 10] = [
    ("hbm2e", HBM2E),
    ("hbm3", HBM3),
    ("hbm3e", HBM3E),
    ("pcie4", DRAM_PCIE4),
    ("pcie5", DRAM_PCIE5),
    ("ddr5", DDR5),
    ("nvme-gen4", NVME_GEN4),
    ("nvme-gen5", NVME_GEN5),
    ("sata", SATA),
    ("nfs", NFS),
];

/// All tiers of a machine by its name.
pub const MACHINES: [(&str, [TierTiming; 3]); 4] = [
    ("nvme-gen4", [HBM3, DRAM_PCIE4, NVME_GEN4]),
    ("nvme-gen5", [HBM3, DRAM_PCIE5, NVME_GEN5]),
    ("sata", [HBM3, DRAM_PCIE4, SATA]),
    ("nfs", [HBM3, DRAM_PCIE5, NFS]),
];

const fn network(gbit_per_s: u64) -> NetworkLeg {
    NetworkLeg { latency_ns: 10_000, bytes_per_s: gbit_per_s * 125_000_000 }
}

/// A network by its name: the line rate of Ethernet (IEEE 802.3ae, by, ba, bs) in each direction,
/// and 10 us, of the order of a round trip with RDMA through one switch and into the storage
/// target.
pub const NETWORKS: [(&str, NetworkLeg); 5] = [
    ("10gbe", network(10)),
    ("25gbe", network(25)),
    ("100gbe", network(100)),
    ("200gbe", network(200)),
    ("400gbe", network(400)),
];

/// The names of a list of presets, for messages.
pub fn names<T>(presets: &[(&str, T)]) -> String {
    presets.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// What a name stands for.
pub fn find<T: Copy>(presets: &[(&str, T)], name: &str) -> Option<T> {
    presets.iter().find(|(known, _)| *known == name).map(|(_, preset)| *preset)
}
