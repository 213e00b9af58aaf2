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
#include "machine.h"
#include "maps.h"
#include "account.h"
#include "events.h"
#include "phase.h"
#include "files.h"
#include "owner.h"

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
	return device_by(number);
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

#include "syscalls.h"
#include "bio.h"

/* The request if it is on its way and followed. */
static __always_inline struct io *find(struct request *rq)
{
	struct io *io = place_of((__u64)rq, false);

	return io && io->alive ? io : NULL;
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
	kv_born(io, now, device->slot, owner_of(rq, class), class, device->sectors, bpf_get_current_pid_tgid() >> 32);
	note_submission(KV_CALL_SUBMIT);
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
	struct io *io = find(rq);

	if (!io && !have_io_start) {
		io = birth(rq);
		if (io)
			lose(KV_LATE_ATTR);
	}
	if (io)
		kv_inserted(io, bpf_ktime_get_ns());
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
	if (io)
		kv_issued(io, now, KV_FIELD(rq, __sector), KV_FIELD(rq, __data_len));
	return 0;
}

KV_TP("block_rq_requeue")
int on_requeue(__u64 *ctx)
{
	struct io *io = find(request_of(ctx));

	if (io)
		kv_requeued(io, bpf_ktime_get_ns());
	return 0;
}

KV_TP("block_rq_merge")
int on_merge(__u64 *ctx)
{
	struct io *io = find(request_of(ctx));

	if (io)
		kv_merged(io, bpf_ktime_get_ns());
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

	if (io)
		kv_completed(io, now, done, KV_FIELD(rq, __data_len), error);
	else
		unmatched(rq, done);
	return 0;
}

KV_TP("io_uring_submit_req")
int BPF_PROG(on_ring_submit, struct io_kiocb *req)
{
	note_phase(req);
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

#include "uring.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";
