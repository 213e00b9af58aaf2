/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 OR MIT */
/*
 * What user space reads: where each histogram lies, and the counters. src/capture/layout.rs says
 * the same in Rust; a test compiles this file for the machine and compares.
 */
#ifndef KVTRACE_LAYOUT_H
#define KVTRACE_LAYOUT_H

/* Whose I/O: the target's, or everybody else's on the same devices. */
enum kv_set { KV_TARGET, KV_OTHER, KV_SETS };

/* What a request does. Only reads and writes have a size, a place and a depth. */
enum kv_class { KV_READ, KV_WRITE, KV_FLUSH, KV_DISCARD, KV_ZEROES, KV_CLASSES };

/* Narrow rows of a set, each a histogram; times are in ns. */
enum kv_time {
	KV_D2C_READ,
	KV_D2C_WRITE,
	KV_Q2D_READ,
	KV_Q2D_WRITE,
	KV_Q2C_READ,
	KV_Q2C_WRITE,
	KV_Q2C_FLUSH,
	KV_Q2C_DISCARD,
	KV_Q2C_ZEROES,
	KV_TIMES,
};

/* Grouping power of times, their buckets below 2^37 ns (137 s), and one for all above. */
#define KV_TIME_GROUPING 5
#define KV_TIME_POWER 37
#define KV_TIME_BUCKETS (((KV_TIME_POWER - KV_TIME_GROUPING + 1) << KV_TIME_GROUPING) + 1)

/* Buckets over a device's whole extent. */
#define KV_LBA_BUCKETS 1024

/* Wide rows of a set. A size takes several rows, one bucket a sector. */
#define KV_WIDE_BUCKETS 2048
#define KV_SIZE_ROWS 5
enum kv_wide {
	KV_SIZE_READ,
	KV_SIZE_WRITE = KV_SIZE_READ + KV_SIZE_ROWS,
	KV_DEPTH_READ = KV_SIZE_WRITE + KV_SIZE_ROWS,
	KV_DEPTH_WRITE,
	KV_BUSY_READ,
	KV_BUSY_WRITE,
	KV_BUSY_BOTH,
	KV_WIDES,
};

/* What was not seen or not understood, on watched devices only. */
enum kv_loss {
	KV_MAP_FULL,
	KV_PIDS_FULL,
	KV_LATE_ATTR,
	KV_NOMATCH_BEFORE_ATTACH,
	KV_NOMATCH_LATER,
	KV_LOST_COMPLETE,
	KV_NEVER_ISSUED,
	KV_PASSTHROUGH,
	KV_PARTIAL,
	KV_REQUEUE,
	KV_RQ_MERGED,
	KV_ERRORS,
	KV_LOSSES,
};

/* A row of a histogram, per CPU. The minimum is kept inverted so that zeroed memory is empty. */
struct kv_narrow {
	__u64 sum;
	__u64 max;
	__u64 min_inverted;
	__u64 bucket[KV_TIME_BUCKETS];
};

struct kv_wide_row {
	__u64 sum;
	__u64 max;
	__u64 min_inverted;
	__u64 bucket[KV_WIDE_BUCKETS];
};

/* Completed I/O of a device and a set, as /sys/block/NAME/stat counts it. */
struct kv_totals {
	__u64 ios[2];
	__u64 bytes[2];
};

/* A watched device. */
struct kv_device {
	__u64 sectors;
	__u32 slot;
	__u32 unused;
};

#endif
