/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 OR MIT */
/*
 * How the kernel's memory is reached, so that the same source serves two kinds of programs:
 * tp_btf, whose pointers the verifier knows and follows directly, and raw_tp (KV_RAW), for
 * kernels that refuse tp_btf. Of a raw_tp program every pointer is a number, so what it points
 * to is copied; and it may not take a bpf_spin_lock (is_tracing_prog_type in
 * kernel/bpf/verifier.c), so what stands under one is changed by atomic steps instead.
 */
#ifndef KVTRACE_ACCESS_H
#define KVTRACE_ACCESS_H

/*
 * A tracepoint's first or second argument. In words of the machine, because the compiler would
 * make one load of both, at an offset that it computes; the verifier takes only fixed ones.
 */
static __always_inline void *kv_argument(__u64 *ctx, bool second)
{
	void *value;

	if (second)
		asm volatile("%0 = *(u64 *)(%1 + 8)" : "=r"(value) : "r"(ctx));
	else
		asm volatile("%0 = *(u64 *)(%1 + 0)" : "=r"(value) : "r"(ctx));
	return value;
}

#ifdef KV_RAW

#define KV_TP(name) SEC("raw_tp/" name)
#define KV_FIELD(from, field) BPF_CORE_READ(from, field)

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

#define KV_TP(name) SEC("tp_btf/" name)
#define KV_FIELD(from, field) ((from)->field)

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
