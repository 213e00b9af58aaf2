/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 OR MIT */
/*
 * System calls of the target on watched files: how long reads, writes and syncs take, how much they
 * move past and through the page cache, and what lies between a thread's write and its fsync, its
 * fadvise and its read. How many operations one call submits: of io_uring_enter those that it takes
 * off the queue, of io_submit the requests that are born in it. And how much each thread asks for.
 */
#ifndef KVTRACE_SYSCALLS_H
#define KVTRACE_SYSCALLS_H

/* include/uapi/linux/fadvise.h */
#define KV_ADVICE_WILLNEED 3
#define KV_ADVICE_DONTNEED 4
/* A 32-bit call's numbers are others (arch/x86/include/asm/thread_info.h). */
#define KV_TS_COMPAT 2

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

#if defined(__TARGET_ARCH_arm64)
struct pt_regs {
	__u64 regs[31];
	int syscallno;
};
#define KV_CALL_NUMBER(regs) ((regs)->syscallno)
#define KV_CALL_FIRST(regs) ((regs)->regs[0])
#define KV_CALL_FOURTH(regs) ((regs)->regs[3])
#else
struct pt_regs {
	unsigned long di;
	unsigned long r10;
	unsigned long orig_ax;
};
#define KV_CALL_NUMBER(regs) ((regs)->orig_ax)
#define KV_CALL_FIRST(regs) ((regs)->di)
#define KV_CALL_FOURTH(regs) ((regs)->r10)
#endif

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct thread_info___compat {
	unsigned int status;
};

struct task_struct___calls {
	struct thread_info___compat thread_info;
	struct files_struct *files;
};

#pragma clang attribute pop

/* System call number → enum kv_call. */
const volatile __u8 calls[KV_CALLS] = {};
/* Whether calls are watched. */
const volatile bool have_calls = false;

struct thread {
	__u64 entered;
	/* Ends of its last write and fadvise that wait for an fsync and a read; 0 when none does. */
	__u64 wrote;
	__u64 advised;
	__u8 call;
	__u8 set;
	/* Whether the call's file is read and written through the page cache. */
	bool cached;
	/* Operations that the call submitted. */
	__u32 submitted;
	/* Where its work is counted, from 1; 0 before it did any. */
	__u32 place;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct thread);
} threads SEC(".maps");

/*
 * What each thread asked for: calls that read and write, operations. Only the thread itself writes
 * there.
 */
__u64 work[KV_THREADS] = {};
/* And whose thread it is. */
__u32 work_tgid[KV_THREADS] = {};
/* Threads that asked for anything, of which the first have a place. */
__u32 workers = 0;

static __always_inline __u8 call_of(__u64 number)
{
	barrier_var(number);
	return number < KV_CALLS ? calls[number] : KV_CALL_NONE;
}

/* An operation began in the running thread: one of a ring, or a request was born. */
static __always_inline void note_submission(__u8 call)
{
	struct thread *thread;

	if (!have_calls)
		return;
	thread = bpf_task_storage_get(&threads, bpf_get_current_task_btf(), NULL, 0);
	if (thread && thread->call == call)
		thread->submitted++;
}

static __always_inline bool submits(__u8 call)
{
	return call == KV_CALL_SUBMIT || call == KV_CALL_ENTER;
}

static __always_inline void add_work(struct thread *thread, __u32 many)
{
	__u32 at;

	if (!thread->place)
		thread->place = __sync_fetch_and_add(&workers, 1) + 1;
	at = thread->place - 1;
	if (at >= KV_THREADS)
		return;
	work[at] += many;
	work_tgid[at] = bpf_get_current_pid_tgid() >> 32;
}

static __always_inline struct file *file_of(struct task_struct___calls *task, __u32 number)
{
	struct fdtable *table = task->files->fdt;
	struct file *file = NULL;

	if (number < table->max_fds)
		bpf_probe_read_kernel(&file, sizeof(file), table->fd + number);
	return file;
}

static __always_inline bool is_compat(struct task_struct___calls *task)
{
	if (!bpf_core_field_exists(task->thread_info.status))
		return false;
	return task->thread_info.status & KV_TS_COMPAT;
}

/* What ends when the thread begins this call. */
static __always_inline void end_gaps(struct thread *thread, __u8 call, __u64 now)
{
	if ((call == KV_CALL_FSYNC || call == KV_CALL_FDATASYNC) && thread->wrote) {
		add_time_anywhere(thread->set, KV_WRITE_TO_FSYNC, now - thread->wrote);
		thread->wrote = 0;
	}
	if (call == KV_CALL_READ && thread->advised) {
		add_time_anywhere(thread->set, KV_FADVISE_TO_READ, now - thread->advised);
		thread->advised = 0;
	}
}

KV_TP("sys_enter")
int BPF_PROG(on_sys_enter, struct pt_regs *regs, long number)
{
	__u8 call = call_of(number), set;
	struct task_struct *current;
	struct task_struct___calls *task;
	struct thread *thread;
	struct file *file;
	__u64 advice, now;

	if (call == KV_CALL_NONE)
		return 0;
	set = set_of_current();
	if (filter_pids && set == KV_OTHER)
		return 0;
	if (call == KV_CALL_FADVISE) {
		advice = KV_CALL_FOURTH(regs);
		if (advice != KV_ADVICE_WILLNEED && advice != KV_ADVICE_DONTNEED)
			return 0;
	}
	current = bpf_get_current_task_btf();
	task = (struct task_struct___calls *)current;
	file = submits(call) ? NULL : file_of(task, KV_CALL_FIRST(regs));
	if ((!submits(call) && !is_watched_file(file)) || is_compat(task))
		return 0;
	now = bpf_ktime_get_ns();
	if (!window_is_open(now))
		return 0;
	thread = bpf_task_storage_get(&threads, current, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!thread) {
		lose(KV_THREADS_FULL);
		return 0;
	}
	thread->set = set;
	end_gaps(thread, call, now);
	thread->call = call;
	thread->cached = (call == KV_CALL_READ || call == KV_CALL_WRITE) && is_cached(file);
	thread->submitted = 0;
	thread->entered = now;
	return 0;
}

KV_TP("sys_exit")
int BPF_PROG(on_sys_exit, struct pt_regs *regs, long returned)
{
	__u8 call = call_of(KV_CALL_NUMBER(regs));
	struct thread *thread;
	__u64 now, took;

	if (call == KV_CALL_NONE)
		return 0;
	thread = bpf_task_storage_get(&threads, bpf_get_current_task_btf(), NULL, 0);
	if (!thread || thread->call != call)
		return 0;
	thread->call = KV_CALL_NONE;
	if (returned < 0)
		return 0;
	now = bpf_ktime_get_ns();
	took = now - thread->entered;
	switch (call) {
	case KV_CALL_READ:
		add_work(thread, 1);
		add_time_anywhere(thread->set, KV_SYSCALL_READ, took);
		add_time_anywhere(thread->set, thread->cached ? KV_CACHED_READ : KV_ASKED_READ, returned);
		break;
	case KV_CALL_WRITE:
		add_work(thread, 1);
		add_time_anywhere(thread->set, KV_SYSCALL_WRITE, took);
		add_time_anywhere(thread->set, thread->cached ? KV_CACHED_WRITE : KV_ASKED_WRITE, returned);
		thread->wrote = now;
		break;
	case KV_CALL_FSYNC:
		add_time_anywhere(thread->set, KV_FSYNC, took);
		break;
	case KV_CALL_FDATASYNC:
		add_time_anywhere(thread->set, KV_FDATASYNC, took);
		break;
	case KV_CALL_FADVISE:
		thread->advised = now;
		break;
	case KV_CALL_SUBMIT:
	case KV_CALL_ENTER:
		if (!thread->submitted)
			break;
		add_work(thread, thread->submitted);
		add_time_anywhere(thread->set, KV_BATCH, thread->submitted);
		break;
	}
	return 0;
}

#endif
