/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 OR MIT */
/*
 * The state: knobs, requests in flight, who is the target, and what was counted. Sizes are set
 * by the loader from the devices at hand.
 */
#ifndef KVTRACE_MAPS_H
#define KVTRACE_MAPS_H

/* Knobs, fixed before loading, so that the verifier drops what they rule out. */
const volatile bool filter_pids = false;
const volatile bool have_io_start = true;
/* Until 5.11 (and in kernels without the backport) request tracepoints began with the queue. */
const volatile bool queue_is_first = false;
/* Sets in use: without phases the plain ones. */
const volatile __u32 sets = KV_PLAIN_SETS;
/* Each request is told to user space. */
const volatile bool events = false;

/*
 * The window, in bpf_ktime_get_ns() time; requests that are born outside are not followed. It
 * starts a little after it is set, so that a request without an entry is either from before it
 * by its own stamp, or really lost.
 */
__u64 window_start = 0;
__u64 window_stop = 0;

/*
 * A hash table of our own over an array: nothing is locked, and far fewer completions are missed
 * than with a map of type hash. When an interrupt hits an update of such a map on 6.18, the
 * completions that it brings, up to a whole queue's, reach no program of that CPU and no counter
 * of misses (compared with the tracepoint's own record in tracefs).
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct io);
} requests SEC(".maps");

/* Places less one; their number is a power of two. */
const volatile __u32 requests_mask = 16383;
/* How far from where its hash points a request may be put. */
#define KV_PROBES 16

static __always_inline struct io *place_of(__u64 address, bool claim)
{
	__u32 first = (__u32)address, step;

	/* A copy of half of it is a number to the verifier, the address itself is a pointer. */
	asm volatile("" : "+w"(first));
	/* The multiplier is 2^32 over the golden ratio (Knuth, TAOCP volume 3, section 6.4). */
	first = first * 0x9e3779b1U >> 8;
	for (step = 0; step < KV_PROBES; step++) {
		__u32 at = (first + step) & requests_mask;
		struct io *io = bpf_map_lookup_elem(&requests, &at);

		if (!io)
			return NULL;
		if (io->address == address)
			return io;
		if (io->address)
			continue;
		if (!claim)
			return NULL;
		if (!__sync_val_compare_and_swap(&io->address, 0, address))
			return io;
		if (io->address == address)
			return io;
	}
	return NULL;
}

/* Whether bios are watched too. */
const volatile bool has_bios = false;

/* The devices' numbers by slot, where they are few: comparing them is cheaper than a map. */
#define KV_FEW 4
const volatile __u32 few_devices[KV_FEW] = {};
const volatile __u32 few = 0;

/* Slot → device. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct kv_device);
} slots SEC(".maps");

/* Device number → device. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct kv_device);
} watched SEC(".maps");

static __always_inline struct kv_device *device_by(__u32 number)
{
	__u32 slot;

	if (!few)
		return bpf_map_lookup_elem(&watched, &number);
#pragma unroll
	for (slot = 0; slot < KV_FEW; slot++) {
		__u32 key = slot;

		if (slot < few && few_devices[slot] == number)
			return bpf_map_lookup_elem(&slots, &key);
	}
	return NULL;
}

/* The target's process ids (thread groups). */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, __u8);
} target_pids SEC(".maps");

/* device × side. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 128);
	__type(key, __u32);
	__type(value, struct flight);
} flights SEC(".maps");

/* set × kv_time; sets are as many as are used. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, KV_SETS * KV_TIMES);
	__type(key, __u32);
	__type(value, struct kv_narrow);
} times SEC(".maps");

/* device × set × direction; sets are as many as are used. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 64 * KV_SETS * 2);
	__type(key, __u32);
	__type(value, struct kv_narrow);
} places SEC(".maps");

/* set × kv_wide. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, KV_SETS * KV_WIDES);
	__type(key, __u32);
	__type(value, struct kv_wide_row);
} wides SEC(".maps");

/* device × side. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 64 * KV_PLAIN_SETS);
	__type(key, __u32);
	__type(value, struct kv_totals);
} totals SEC(".maps");

/* Events on their way to user space; made only when they are asked for. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} event_ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, KV_LOSSES);
	__type(key, __u32);
	__type(value, __u64);
} losses SEC(".maps");

#endif
