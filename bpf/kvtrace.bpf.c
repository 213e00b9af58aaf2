// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 OR MIT
/*
 * The life of a block request: start (birth, in the submitter's context) → insert → issue →
 * requeue → issue → complete, or merged away. Keyed by the request's address. Everything is
 * counted at completion, so that all histograms of a direction hold the same I/Os.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "access.h"
#include "hist.h"
#include "layout.h"
#include "maps.h"
#include "account.h"

/* Operations of a request: the low byte of its flags (include/linux/blk_types.h). */
#define OP_MASK 0xff
#define OP_READ 0
#define OP_WRITE 1
#define OP_FLUSH 2
#define OP_DISCARD 3
#define OP_SECURE_ERASE 5
#define OP_WRITE_ZEROES 9
#define OP_DRV_IN 34
#define OP_DRV_OUT 35
#define MINOR_BITS 20

static __always_inline struct request *request_of(__u64 *ctx)
{
	return kv_argument(ctx, queue_is_first);
}

static __always_inline struct kv_device *device_of(struct request *rq)
{
	struct request_queue *queue;
	struct gendisk *disk;
	__u32 number;

	if (bpf_core_field_exists(struct request_queue, disk)) {
		queue = KV_FIELD(rq, q);
		disk = KV_FIELD(queue, disk);
	} else {
		disk = KV_FIELD((struct request___with_disk *)rq, rq_disk);
	}
	number = (__u32)KV_FIELD(disk, major) << MINOR_BITS | (__u32)KV_FIELD(disk, first_minor);
	return bpf_map_lookup_elem(&watched, &number);
}

static __always_inline bool is_target(__u32 tgid)
{
	__u8 *yes = bpf_map_lookup_elem(&target_pids, &tgid);

	return yes && *yes;
}

static __always_inline __u8 set_of_current(void)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;

	if (!filter_pids || is_target(tgid))
		return KV_TARGET;
	return KV_OTHER;
}

static __always_inline __u8 class_by(__u32 flags, __u32 bytes)
{
	switch (flags & OP_MASK) {
	case OP_READ:
		return KV_READ;
	case OP_WRITE:
		/* An fsync without data travels as an empty write. */
		return bytes ? KV_WRITE : KV_FLUSH;
	case OP_DISCARD:
	case OP_SECURE_ERASE:
		return KV_DISCARD;
	case OP_WRITE_ZEROES:
		return KV_ZEROES;
	default:
		return KV_CLASSES;
	}
}

static __always_inline __u8 class_of(struct request *rq)
{
	return class_by(KV_FIELD(rq, cmd_flags), KV_FIELD(rq, __data_len));
}

static __always_inline bool window_is_open(__u64 now)
{
	return window_start && now >= window_start && !window_stop;
}

/* Takes a request out of the count of those in flight. */
static __always_inline void land(struct io *io, __u64 now)
{
	if (!io->in_flight)
		return;
	io->in_flight = 0;
	fly(io, now, -1);
}

#include "bio.h"

/* The request if it is on its way and followed. */
static __always_inline struct io *find(struct request *rq)
{
	struct io *io = place_of((__u64)rq, false);

	return io && io->alive ? io : NULL;
}

/* What is known of a request once it is issued. */
static __always_inline void count_issued(struct io *io)
{
	__u32 write = io->class == KV_WRITE;

	add_time(io->set, KV_Q2D_READ + write, io->issued - io->queued);
	add_wide(io->set, KV_DEPTH_READ + write, io->depth, 1);
	add_size(io);
	add_place(io);
	add_totals(io, write);
}

static __always_inline void count_data(struct io *io, __u64 now)
{
	__u32 write = io->class == KV_WRITE;

	if (!io->issued) {
		lose(KV_NEVER_ISSUED);
		return;
	}
	add_time(io->set, KV_D2C_READ + write, now - io->issued);
	add_time(io->set, KV_Q2C_READ + write, now - io->queued);
	count_issued(io);
}

/*
 * The request is used again, so it has completed without being shown. Its bytes are counted with
 * the others; when it completed is not known.
 */
static __always_inline void count_unseen(struct io *io, __u64 now)
{
	lose(KV_LOST_COMPLETE);
	if (io->class <= KV_WRITE && io->issued)
		count_issued(io);
	land(io, now);
}

static __always_inline struct io *birth(struct request *rq)
{
	__u64 now = bpf_ktime_get_ns();
	struct kv_device *device;
	struct io *io;
	__u8 class;

	if (!window_is_open(now))
		return NULL;
	device = device_of(rq);
	if (!device)
		return NULL;
	class = class_of(rq);
	if (class == KV_CLASSES) {
		lose(KV_PASSTHROUGH);
		return NULL;
	}
	io = place_of((__u64)rq, true);
	if (!io) {
		lose(KV_MAP_FULL);
		return NULL;
	}
	if (io->alive)
		count_unseen(io, now);
	io->queued = now;
	io->issued = 0;
	io->extent = device->sectors;
	io->bytes = 0;
	io->slot = device->slot;
	io->set = set_of_current();
	io->class = class;
	io->in_flight = 0;
	io->partly_done = 0;
	io->alive = 1;
	return io;
}

KV_TP("block_io_start")
int BPF_PROG(on_start, struct request *rq)
{
	birth(rq);
	return 0;
}

/* Where the kernel has no start, a request is born here, possibly in another task's context. */
KV_TP("block_rq_insert")
int on_insert(__u64 *ctx)
{
	struct request *rq = request_of(ctx);

	if (have_io_start || find(rq))
		return 0;
	if (birth(rq))
		lose(KV_LATE_ATTR);
	return 0;
}

KV_TP("block_rq_issue")
int on_issue(__u64 *ctx)
{
	struct request *rq = request_of(ctx);
	__u64 now = bpf_ktime_get_ns();
	struct io *io = find(rq);

	if (!io && !have_io_start) {
		io = birth(rq);
		if (io)
			lose(KV_LATE_ATTR);
	}
	if (!io)
		return 0;
	io->issued = now;
	if (!io->partly_done) {
		/* Only now: requests grow by merging until they are issued. */
		io->sector = KV_FIELD(rq, __sector);
		io->bytes = KV_FIELD(rq, __data_len);
	}
	if (io->class <= KV_WRITE && !io->in_flight) {
		io->in_flight = 1;
		io->depth = fly(io, now, 1);
	}
	return 0;
}

KV_TP("block_rq_requeue")
int on_requeue(__u64 *ctx)
{
	struct request *rq = request_of(ctx);
	struct io *io = find(rq);

	if (!io)
		return 0;
	lose(KV_REQUEUE);
	land(io, bpf_ktime_get_ns());
	return 0;
}

/* The request became part of another one; its bytes are counted there. */
KV_TP("block_rq_merge")
int on_merge(__u64 *ctx)
{
	struct request *rq = request_of(ctx);
	struct io *io = find(rq);

	if (!io)
		return 0;
	lose(KV_RQ_MERGED);
	land(io, bpf_ktime_get_ns());
	io->alive = 0;
	return 0;
}

static __always_inline void unmatched(struct request *rq, __u32 done)
{
	__u32 op = KV_FIELD(rq, cmd_flags) & OP_MASK;
	__u64 born;

	/*
	 * A write that carried a flush ends twice, the second time empty. Flush commands are the
	 * driver's side of it, and driver requests are nobody's I/O.
	 */
	if (!done || op == OP_FLUSH || op == OP_DRV_IN || op == OP_DRV_OUT)
		return;
	if (!window_is_open(bpf_ktime_get_ns()) || !device_of(rq))
		return;
	born = KV_FIELD(rq, start_time_ns);
	if (born && born < window_start)
		lose(KV_NOMATCH_BEFORE_ATTACH);
	else
		lose(KV_NOMATCH_LATER);
}

KV_TP("block_rq_complete")
int BPF_PROG(on_complete, struct request *rq, int error, unsigned int done)
{
	__u64 now = bpf_ktime_get_ns();
	struct io *io = find(rq);

	if (!io) {
		unmatched(rq, done);
		return 0;
	}
	if (error)
		lose(KV_ERRORS);
	if (done < KV_FIELD(rq, __data_len)) {
		lose(KV_PARTIAL);
		io->partly_done = 1;
		return 0;
	}
	if (io->class <= KV_WRITE) {
		count_data(io, now);
	} else {
		add_time(io->set, KV_Q2C_FLUSH + io->class - KV_FLUSH, now - io->queued);
		if (io->class != KV_DISCARD)
			add_totals(io, 1);
	}
	land(io, now);
	io->alive = 0;
	return 0;
}

KV_TP("sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	__u32 from = KV_FIELD(parent, tgid), to = KV_FIELD(child, tgid);
	__u8 yes = 1, *known;

	if (from == to)
		return 0;
	if (!is_target(from)) {
		/* On 6.18 an end that an interrupt shows now and then reaches no program. */
		known = bpf_map_lookup_elem(&target_pids, &to);
		if (known)
			*known = 0;
		return 0;
	}
	if (bpf_map_update_elem(&target_pids, &to, &yes, BPF_ANY))
		lose(KV_PIDS_FULL);
	return 0;
}

/* The last trace of a process: only now may its id mean somebody else. */
KV_TP("sched_process_free")
int BPF_PROG(on_free, struct task_struct *task)
{
	__u32 pid = KV_FIELD(task, pid), tgid = KV_FIELD(task, tgid);
	__u8 *yes;

	if (pid != tgid)
		return 0;
	yes = bpf_map_lookup_elem(&target_pids, &tgid);
	if (!yes)
		return 0;
	/* The interrupt that frees it may have come into an update, and then nothing is deleted. */
	*yes = 0;
	bpf_map_delete_elem(&target_pids, &tgid);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
