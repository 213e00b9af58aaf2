/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 OR MIT */
/*
 * How a word that several processors change is changed: under a lock, or, where the kernel allows
 * a program none, by atomic steps. A raw_tp program (KV_RAW) may not take a bpf_spin_lock
 * (is_tracing_prog_type in kernel/bpf/verifier.c).
 */
#ifndef KVTRACE_LOCK_H
#define KVTRACE_LOCK_H

#ifdef KV_RAW

struct kv_lock {
	__u32 unused;
};

#define KV_LOCK(lock) ((void)(lock))
#define KV_UNLOCK(lock) ((void)(lock))
/* Adds and gives what was there before. */
#define KV_STEP(word, step) __sync_fetch_and_add((word), (step))

/* Moves a moment on; the time since it, or 0 when another program has moved it meanwhile. */
static __always_inline __u64 kv_advance(__u64 *since, __u64 now)
{
	__u64 was = *since;

	if (now <= was || __sync_val_compare_and_swap(since, was, now) != was)
		return 0;
	return now - was;
}

#else

#define kv_lock bpf_spin_lock
#define KV_LOCK(lock) bpf_spin_lock(lock)
#define KV_UNLOCK(lock) bpf_spin_unlock(lock)
#define KV_STEP(word, step)                                                                     \
	({                                                                                      \
		__typeof__(*(word)) kv_was = *(word);                                           \
		*(word) = kv_was + (step);                                                      \
		kv_was;                                                                         \
	})

static __always_inline __u64 kv_advance(__u64 *since, __u64 now)
{
	__u64 was = *since;

	if (now <= was)
		return 0;
	*since = now;
	return now - was;
}

#endif

#endif
