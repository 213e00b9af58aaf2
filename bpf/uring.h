/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 OR MIT */
/*
 * io_uring operations of the target on watched files: from the moment the kernel takes one off
 * the submission queue to the moment its completion is posted. Which file it is, is only known
 * once the operation has run, hence it is looked at at the end.
 */
#ifndef KVTRACE_URING_H
#define KVTRACE_URING_H

/* include/uapi/linux/io_uring.h */
#define KV_OP_READV 1
#define KV_OP_WRITEV 2
#define KV_OP_FSYNC 3
#define KV_OP_READ_FIXED 4
#define KV_OP_WRITE_FIXED 5
#define KV_OP_READ 22
#define KV_OP_WRITE 23
#define KV_OP_READV_FIXED 60
#define KV_OP_WRITEV_FIXED 61
#define KV_FSYNC_DATASYNC 1

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct io_kiocb___file {
	struct io_cqe cqe;
	struct file *file;
	__u8 opcode;
};

/* What an fsync's part of an operation holds. */
struct io_sync {
	int flags;
};

#pragma clang attribute pop

/* Places for operations under way: sets of some, so that an address is looked up in one step. */
#define KV_URING_WAYS 8
#define KV_URING_SETS 4096

struct uring_op {
	__u64 submitted;
	__u8 row;
	__u8 set;
	__u8 punted;
};

struct uring_ops {
	__u64 address[KV_URING_WAYS];
	struct uring_op op[KV_URING_WAYS];
};

/* Not a hash map, for the reason told at `requests`. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, KV_URING_SETS);
	__type(key, __u32);
	__type(value, struct uring_ops);
} uring SEC(".maps");

static __always_inline struct uring_ops *ops_of(__u64 address)
{
	__u32 at = (__u32)address;

	/* As in place_of. */
	asm volatile("" : "+w"(at));
	at = (at * 0x9e3779b1U >> 8) % KV_URING_SETS;
	return bpf_map_lookup_elem(&uring, &at);
}

/* Where the address is among its set, or KV_URING_WAYS. */
static __always_inline __u32 way_of(const struct uring_ops *ops, __u64 address)
{
	__u32 way;

#pragma unroll
	for (way = 0; way < KV_URING_WAYS; way++)
		if (ops->address[way] == address)
			return way;
	return KV_URING_WAYS;
}

/* Takes a free place of the set, or returns KV_URING_WAYS. */
static __always_inline __u32 claim(struct uring_ops *ops, __u64 address)
{
	__u32 way;

#pragma unroll
	for (way = 0; way < KV_URING_WAYS; way++)
		if (!ops->address[way] && !__sync_val_compare_and_swap(&ops->address[way], 0, address))
			return way;
	return KV_URING_WAYS;
}

/* The row in which an operation is counted; KV_TIMES for none. */
static __always_inline __u8 row_of_op(struct io_kiocb___file *req)
{
	int flags = 0;

	switch (req->opcode) {
	case KV_OP_READ:
	case KV_OP_READV:
	case KV_OP_READ_FIXED:
	case KV_OP_READV_FIXED:
		return KV_URING_READ;
	case KV_OP_WRITE:
	case KV_OP_WRITEV:
	case KV_OP_WRITE_FIXED:
	case KV_OP_WRITEV_FIXED:
		return KV_URING_WRITE;
	case KV_OP_FSYNC:
		if (!bpf_core_field_exists(struct io_sync, flags))
			return KV_TIMES;
		bpf_core_read(&flags, sizeof(flags), &((struct io_sync *)req)->flags);
		return flags & KV_FSYNC_DATASYNC ? KV_FDATASYNC : KV_FSYNC;
	default:
		return KV_TIMES;
	}
}

KV_TP("io_uring_submit_req")
int BPF_PROG(on_uring_submit, struct io_kiocb___file *req)
{
	__u8 row = row_of_op(req), set;
	__u64 now, address = (__u64)req;
	struct uring_ops *ops;
	struct uring_op *op;
	__u32 way;

	set = set_of_current();
	if (filter_pids && set == KV_OTHER)
		return 0;
	now = bpf_ktime_get_ns();
	ops = ops_of(address);
	if (!ops || !window_is_open(now))
		return 0;
	way = way_of(ops, address);
	if (way < KV_URING_WAYS) {
		/* Its memory serves another operation already. */
		lose(KV_URING_UNMATCHED);
		if (row == KV_TIMES) {
			ops->address[way] = 0;
			return 0;
		}
	} else if (row == KV_TIMES) {
		return 0;
	} else {
		way = claim(ops, address);
	}
	if (way >= KV_URING_WAYS) {
		lose(KV_URING_FULL);
		return 0;
	}
	op = &ops->op[way];
	if (row == KV_URING_READ || row == KV_URING_WRITE)
		note_submission(KV_CALL_ENTER);
	op->submitted = now;
	op->row = row;
	op->set = set;
	op->punted = 0;
	return 0;
}

/* The operation would have to wait, and a worker of the process takes it over. */
KV_TP("io_uring_queue_async_work")
int BPF_PROG(on_uring_punt, struct io_kiocb___file *req)
{
	__u64 address = (__u64)req;
	struct uring_ops *ops = ops_of(address);
	__u32 way;

	if (!ops)
		return 0;
	way = way_of(ops, address);
	if (way < KV_URING_WAYS)
		ops->op[way].punted = 1;
	return 0;
}

/* How much a read or a write moved, past the page cache. */
static __always_inline void add_asked(const struct uring_op *op, struct io_kiocb___file *req, struct file *file)
{
	__s32 moved;

	/* In a field of its own since 5.19. */
	if (!bpf_core_field_exists(req->cqe))
		return;
	if ((op->row != KV_URING_READ && op->row != KV_URING_WRITE) || is_cached(file))
		return;
	moved = KV_READ_FIELD(struct io_kiocb___file, req, cqe.res);
	if (moved > 0)
		add_time_anywhere(op->set, KV_ASKED_READ + (op->row == KV_URING_WRITE), moved);
}

/* Its arguments differ between kernels; the second is the operation in all that are taken. */
KV_TP("io_uring_complete")
int on_uring_complete(__u64 *ctx)
{
	__u64 address = ctx[1];
	struct uring_ops *ops = ops_of(address);
	struct uring_op op;
	struct file *file;
	__u32 way;

	if (!ops || !address)
		return 0;
	way = way_of(ops, address);
	if (way >= KV_URING_WAYS)
		return 0;
	op = ops->op[way];
	ops->address[way] = 0;
	file = KV_READ_FIELD(struct io_kiocb___file, (void *)address, file);
	if (!is_watched_file(file))
		return 0;
	add_time_anywhere(op.set, op.row, bpf_ktime_get_ns() - op.submitted);
	add_asked(&op, (void *)address, file);
	if (op.punted)
		lose(KV_URING_PUNTED);
	return 0;
}

#endif
