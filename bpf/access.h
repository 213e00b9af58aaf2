/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 OR MIT */
/*
 * How the kernel's memory is reached, so that the same source serves two kinds of programs:
 * tp_btf, whose pointers the verifier knows and follows directly, and raw_tp (KV_RAW), for
 * kernels that refuse tp_btf. Of a raw_tp program every pointer is a number, so what it points
 * to is copied.
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

#else

#define KV_TP(name) SEC("tp_btf/" name)
#define KV_FIELD(from, field) ((from)->field)

#endif

#endif
