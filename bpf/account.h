/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 OR MIT */
/*
 * Counting. Rows are per CPU. What only completions count is added to plainly: a program is never
 * interrupted by itself (the kernel would not run it, and count a miss). Where a completion may
 * interrupt another program that counts in the same row, the additions are atomic. Extremes never
 * are: the reader puts them right by the buckets.
 */
#ifndef KVTRACE_ACCOUNT_H
#define KVTRACE_ACCOUNT_H

static __always_inline void lose(__u32 what)
{
	__u64 *count = bpf_map_lookup_elem(&losses, &what);

	if (count)
		__sync_fetch_and_add(count, 1);
}

#define KV_BUMP(word, amount, shared)                                                           \
	do {                                                                                    \
		if (shared)                                                                     \
			__sync_fetch_and_add((word), (amount));                                 \
		else                                                                            \
			*(word) += (amount);                                                    \
	} while (0)

#define KV_ADD(row, index, value, amount, limit, shared)                                        \
	do {                                                                                    \
		__u64 kv_at = (index);                                                          \
		/* Keeps the compiler from testing one copy and using another. */               \
		barrier_var(kv_at);                                                             \
		if (kv_at >= (limit))                                                           \
			kv_at = (limit) - 1;                                                    \
		KV_BUMP(&(row)->bucket[kv_at], (amount), shared);                               \
		KV_BUMP(&(row)->sum, (value) * (amount), shared);                               \
		if ((value) > (row)->max)                                                       \
			(row)->max = (value);                                                   \
		if (~(value) > (row)->min_inverted)                                             \
			(row)->min_inverted = ~(value);                                         \
	} while (0)

static __always_inline void add_to_times(__u32 set, __u32 which, __u64 value, bool shared)
{
	__u32 key = set * KV_TIMES + which;
	struct kv_narrow *row = bpf_map_lookup_elem(&times, &key);

	if (row)
		KV_ADD(row, kv_bucket(value, KV_TIME_GROUPING), value, 1ULL, KV_TIME_BUCKETS, shared);
}

/* Completions of requests and of bios are two programs. */
static __always_inline void add_time(__u32 set, __u32 which, __u64 ns)
{
	add_to_times(set, which, ns, has_bios);
}

/* What several programs count. */
static __always_inline void add_time_anywhere(__u32 set, __u32 which, __u64 ns)
{
	add_to_times(set, which, ns, true);
}

static __always_inline void add_place(const struct io *io)
{
	__u32 key = (io->slot * sets + io->set) * 2 + (io->class == KV_WRITE);
	struct kv_narrow *row = bpf_map_lookup_elem(&places, &key);
	__u64 sector = io->sector;

	if (row && io->extent)
		KV_ADD(row, (__u32)(sector * KV_LBA_BUCKETS / io->extent), sector, 1ULL, KV_LBA_BUCKETS,
		       has_bios);
}

static __always_inline void add_wide(__u32 set, __u32 which, __u64 value, __u64 amount, bool shared)
{
	__u32 key = set * KV_WIDES + which;
	struct kv_wide_row *row = bpf_map_lookup_elem(&wides, &key);

	if (row)
		KV_ADD(row, (__u32)value, value, amount, KV_WIDE_BUCKETS, shared);
}

static __always_inline void add_size(const struct io *io)
{
	__u64 sectors = io->bytes >> 9;
	__u64 chunk = sectors / KV_WIDE_BUCKETS;
	__u32 key = io->set * KV_WIDES + (io->class == KV_READ ? KV_SIZE_READ : KV_SIZE_WRITE);
	__u32 at = sectors % KV_WIDE_BUCKETS;
	struct kv_wide_row *row;

	if (chunk >= KV_SIZE_ROWS) {
		chunk = KV_SIZE_ROWS - 1;
		at = KV_WIDE_BUCKETS - 1;
	}
	key += chunk;
	row = bpf_map_lookup_elem(&wides, &key);
	if (row)
		KV_ADD(row, at, sectors, 1ULL, KV_WIDE_BUCKETS, has_bios);
}

static __always_inline void add_totals(const struct io *io, __u32 direction)
{
	__u32 key = io->slot * KV_PLAIN_SETS + kv_side(io->set);
	struct kv_totals *sum = bpf_map_lookup_elem(&totals, &key);

	if (!sum)
		return;
	KV_BUMP(&sum->ios[direction & 1], 1, has_bios);
	KV_BUMP(&sum->bytes[direction & 1], io->bytes, has_bios);
}

/* Time with nothing in flight is not counted: it is what the window has left. */
static __always_inline void spend(__u32 set, __u32 which, __u32 depth, __u64 ns)
{
	if (depth && ns)
		add_wide(set, which, depth, ns, true);
}

static __always_inline struct flight *flight_of(const struct io *io)
{
	__u32 key = io->slot * KV_PLAIN_SETS + kv_side(io->set);

	return bpf_map_lookup_elem(&flights, &key);
}

static __always_inline void count_step(const struct io *io, const struct kv_step *step)
{
	__u32 side = kv_side(io->set);

	spend(side, KV_BUSY_READ, step->reads, step->spent);
	spend(side, KV_BUSY_WRITE, step->writes, step->spent);
	spend(side, KV_BUSY_BOTH, step->reads + step->writes, step->spent);
}

static __always_inline void add_pattern(const struct io *io, __u32 write)
{
	if (io->flags & KV_HAS_GAP)
		add_time(io->set, KV_GAP_READ + write, io->gap);
	if (!(io->flags & KV_HAS_SEEK))
		return;
	if (io->seek >= 0)
		add_time(io->set, KV_AHEAD_READ + write, io->seek);
	else
		add_time(io->set, KV_BACK_READ + write, -io->seek);
	if (io->run)
		add_time(io->run_set, KV_RUN_READ + write, io->run);
}

static __always_inline void count_issued(const struct io *io)
{
	__u32 write = io->class == KV_WRITE;

	add_time(io->set, KV_Q2D_READ + write, io->issued - io->queued);
	if (kv_waited(io))
		add_time(io->set, KV_I2D_READ + write, io->issued - io->inserted);
	add_wide(io->set, KV_DEPTH_READ + write, io->depth, 1, has_bios);
	add_size(io);
	add_place(io);
	add_pattern(io, write);
	add_totals(io, write);
}

static __always_inline void count_service(const struct io *io, __u64 now)
{
	__u32 write = io->class == KV_WRITE;

	add_time(io->set, KV_D2C_READ + write, now - io->issued);
	add_time(io->set, KV_Q2C_READ + write, now - io->queued);
}

static __always_inline void count_command(const struct io *io, __u64 now)
{
	add_time(io->set, KV_Q2C_FLUSH + io->class - KV_FLUSH, now - io->queued);
	if (io->class != KV_DISCARD)
		add_totals(io, 1);
}

#endif
