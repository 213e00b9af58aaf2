/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 OR MIT */
/*
 * The phase in which the target is: one word for all of it, or, of a process that interleaves
 * phases, in the highest bits of the user_data of each of its io_uring operations. 0 is none.
 */
#ifndef KVTRACE_PHASE_H
#define KVTRACE_PHASE_H

/* A worker of io_uring (include/linux/sched.h). */
#define KV_PF_IO_WORKER 0x10

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct io_wq_work {
	int flags;
};

struct io_kiocb___work {
	struct io_cqe cqe;
	struct io_wq_work work;
};

struct io_worker {
	struct io_wq_work *cur_work;
};

struct task_struct___worker {
	unsigned int flags;
	void *worker_private;
};

#pragma clang attribute pop

__u32 current_phase = 0;

/* The process that says its phases in its operations, and where in their user_data. */
const volatile __u32 ring_tgid = 0;
const volatile __u32 ring_shift = 62;

/*
 * By the lower bits of its id, the thread that submitted last and the phase of that operation:
 * an operation's requests are born in the same thread before its next one is submitted. What
 * another thread finds there is not its own. What would have to wait is born in a worker, which
 * knows its operation.
 */
#define KV_SUBMITTERS 64
__u64 submitters[KV_SUBMITTERS] = {};

static __always_inline void note_phase(struct io_kiocb *req)
{
	__u64 who = bpf_get_current_pid_tgid();
	__u32 thread = (__u32)who;

	if (who >> 32 == ring_tgid)
		submitters[thread % KV_SUBMITTERS] = (__u64)thread << 32 | req->cqe.user_data >> ring_shift;
}

/* The phase of the operation that an io_uring worker is at; 0 when it is none of such a worker's. */
static __always_inline __u32 phase_of_worker(void)
{
	struct task_struct___worker *task = (void *)bpf_get_current_task_btf();
	struct io_worker *worker;
	struct io_wq_work *work;
	void *req;

	if (!(task->flags & KV_PF_IO_WORKER) || !bpf_core_field_exists(struct io_worker, cur_work))
		return 0;
	worker = BPF_CORE_READ(task, worker_private);
	work = BPF_CORE_READ(worker, cur_work);
	if (!work)
		return 0;
	req = (void *)work - bpf_core_field_offset(struct io_kiocb___work, work);
	return BPF_CORE_READ((struct io_kiocb___work *)req, cqe.user_data) >> ring_shift;
}

static __always_inline __u32 phase_of_current(void)
{
	__u32 thread;
	__u64 noted;

	if (sets == KV_PLAIN_SETS)
		return 0;
	if (!ring_tgid)
		return current_phase;
	thread = (__u32)bpf_get_current_pid_tgid();
	noted = submitters[thread % KV_SUBMITTERS];
	return noted >> 32 == thread ? (__u32)noted : phase_of_worker();
}

/* The set of the target's I/O that is born now. */
static __always_inline __u8 set_of_target(void)
{
	__u32 phase = phase_of_current();

	return phase && phase <= KV_SETS - KV_PLAIN_SETS ? KV_PLAIN_SETS - 1 + phase : KV_TARGET;
}

#endif
