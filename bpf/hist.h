/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 OR MIT */
/*
 * The buckets of a log-linear histogram, the same as in src/measure/histogram.rs. The tests
 * compile this file for the machine and compare.
 */
#ifndef KVTRACE_HIST_H
#define KVTRACE_HIST_H

/* The position of the highest set bit of a value that is not 0: BPF has no instruction for it. */
static inline __attribute__((always_inline)) __u32 kv_log2(__u64 value)
{
	__u32 power = 0;

	if (value >> 32) {
		power += 32;
		value >>= 32;
	}
	if (value >> 16) {
		power += 16;
		value >>= 16;
	}
	if (value >> 8) {
		power += 8;
		value >>= 8;
	}
	if (value >> 4) {
		power += 4;
		value >>= 4;
	}
	if (value >> 2) {
		power += 2;
		value >>= 2;
	}
	return power + (__u32)(value >> 1);
}

/*
 * The bucket of a value at grouping power g: values below 2^(g+1) have one each, every power of
 * two above is cut into 2^g.
 */
static inline __attribute__((always_inline)) __u32 kv_bucket(__u64 value, __u32 g)
{
	__u32 power;

	if (value < (1ULL << (g + 1)))
		return (__u32)value;
	power = kv_log2(value);
	return ((power - g + 1) << g) + (__u32)((value >> (power - g)) - (1ULL << g));
}

#endif
