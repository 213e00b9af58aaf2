/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 OR MIT */
/*
 * What user space reads: where each histogram lies, and the counters. src/capture/layout.rs says
 * the same in Rust; a test compiles this file for the machine and compares.
 */
#ifndef KVTRACE_LAYOUT_H
#define KVTRACE_LAYOUT_H

/*
 * Whose I/O: the target's, or everybody else's on the same devices. A target that says in which
 * phase it is has its I/O counted under the phase instead; user space adds all of it.
 */
enum kv_set { KV_TARGET, KV_OTHER, KV_PREFILL, KV_DECODE, KV_EVICT, KV_SETS };

/* Sets without phases, and whose requests are in flight: the target's in all phases, or others'. */
#define KV_PLAIN_SETS 2

/* What a request does. Only reads and writes have a size, a place and a depth. */
enum kv_class { KV_READ, KV_WRITE, KV_FLUSH, KV_DISCARD, KV_ZEROES, KV_CLASSES };

/*
 * Narrow rows of a set, each a histogram: times in ns, distances in sectors (forward and
 * backward apart), lengths of sequential runs in requests, bytes and
 * operations of calls.
 */
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
	KV_I2D_READ,
	KV_I2D_WRITE,
	KV_GAP_READ,
	KV_GAP_WRITE,
	KV_RUN_READ,
	KV_RUN_WRITE,
	KV_AHEAD_READ,
	KV_AHEAD_WRITE,
	KV_BACK_READ,
	KV_BACK_WRITE,
	KV_URING_READ,
	KV_URING_WRITE,
	KV_SYSCALL_READ,
	KV_SYSCALL_WRITE,
	KV_FSYNC,
	KV_FDATASYNC,
	KV_WRITE_TO_FSYNC,
	KV_FADVISE_TO_READ,
	KV_CACHED_READ,
	KV_CACHED_WRITE,
	KV_BATCH,
	KV_ASKED_READ,
	KV_ASKED_WRITE,
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
	KV_RING_DROP,
	KV_THREADS_FULL,
	KV_URING_FULL,
	KV_URING_UNMATCHED,
	KV_URING_PUNTED,
	KV_WRITEBACK_OWNED,
	KV_WRITEBACK_UNKNOWN,
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

/* What an event tells: a request's end, or what happened to it on its way. */
enum kv_event_kind {
	/* It completed. */
	KV_DONE,
	/* The kernel used the request again, so it had completed unseen; `completed` is that moment. */
	KV_UNSEEN,
	/* It went back to the queue at `completed`; `landed` says whether it had been in flight. */
	KV_REQUEUED,
	/* It became part of another request at `completed`. */
	KV_MERGED,
};

/*
 * One row for each of them. Times are bpf_ktime_get_ns(), 0 when it did not happen. `issued` is
 * the last issue, `depth`, `seek` and `gap` are what was counted. `took_off` and `landed` number
 * the changes of its device's and side's count of requests in flight, from 1; 0 is none: in that
 * order, and with the times `flown` and `completed`, they give the time spent at each depth.
 */
struct kv_event {
	__u64 queued;
	__u64 inserted;
	__u64 issued;
	__u64 flown;
	__u64 completed;
	__u64 sector;
	/* From the end of the last request of its side and direction, in sectors. */
	__s64 seek;
	/* Since the last one was born, in ns. */
	__u64 gap;
	__u32 bytes;
	__u32 tgid;
	__u32 took_off;
	__u32 landed;
	__u32 depth;
	__u8 kind;
	__u8 slot;
	__u8 set;
	__u8 class;
	/* KV_HAS_SEEK, KV_HAS_GAP, KV_FAILED. */
	__u8 flags;
	/* The set of the run below. */
	__u8 run_set;
	__u8 unused[2];
	/* Requests in the sequential run that this request ended; 0 when it went on or was none. */
	__u32 run;
};

/* `seek` and `gap` hold (the first request has neither); it ended with an error. */
#define KV_HAS_SEEK 1
#define KV_HAS_GAP 2
#define KV_FAILED 4
/* What a system call does with a file, as the table that user space fills says. */
enum kv_call {
	KV_CALL_NONE,
	KV_CALL_READ,
	KV_CALL_WRITE,
	KV_CALL_FSYNC,
	KV_CALL_FDATASYNC,
	KV_CALL_FADVISE,
	KV_CALL_SUBMIT,
	KV_CALL_ENTER,
};

/* Threads whose work is counted. */
#define KV_THREADS 1024

/* Numbers of system calls below which the table reaches. */
#define KV_CALLS 512

/* Under which device numbers files of the watched disks appear. */
enum kv_file_device {
	KV_FILES = 1,
	/* A filesystem is mounted from it: what is dirtied on the device itself is its metadata. */
	KV_FILES_MOUNTED,
};

/* A watched device. */
struct kv_device {
	__u64 sectors;
	__u32 slot;
	/* 1: it has no requests, its bios are followed. */
	__u32 takes_bios;
};

#endif
