/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 OR MIT */
/*
 * Disks without requests (zram, dm and md themselves, nvme's multipath): a bio from
 * block_bio_queue to block_bio_complete, which the kernel shows once each for every bio that it
 * traces. Both times begin at the queueing: no driver's queue is seen. Bios come from slabs and
 * from stacks, so their places are given back, unlike those of requests (place_of in maps.h),
 * and stand in a table of their own.
 */
#ifndef KVTRACE_BIO_H
#define KVTRACE_BIO_H

/* Where the bio stands among the arguments (from the kernel's BTF). */
const volatile __u32 bio_queue_argument = 0;
const volatile __u32 bio_complete_argument = 1;
/* Places less one; their number is a power of two. */
const volatile __u32 bios_mask = 16383;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct io);
} bios SEC(".maps");

/* The place of a bio, or (address 0) one that nobody has: the nearest within KV_PROBES steps. */
static __always_inline struct io *bio_place(__u64 bio, __u64 address)
{
	__u32 first = (__u32)bio, step;

	asm volatile("" : "+w"(first));
	first = first * 0x9e3779b1U >> 8;
	for (step = 0; step < KV_PROBES; step++) {
		__u32 at = (first + step) & bios_mask;
		struct io *io = bpf_map_lookup_elem(&bios, &at);

		if (!io)
			return NULL;
		if (io->address != address)
			continue;
		if (address || !__sync_val_compare_and_swap(&io->address, 0, bio))
			return io;
	}
	return NULL;
}

static __always_inline struct kv_device *device_of_bio(struct bio *bio)
{
	struct block_device *part;
	struct kv_device *device;
	struct gendisk *disk;
	__u32 number;

	if (bpf_core_field_exists(struct bio, bi_bdev)) {
		part = KV_FIELD(bio, bi_bdev);
		disk = KV_FIELD(part, bd_disk);
	} else {
		disk = KV_FIELD((struct bio___with_disk *)bio, bi_disk);
	}
	number = (__u32)KV_FIELD(disk, major) << MINOR_BITS | (__u32)KV_FIELD(disk, first_minor);
	device = device_by(number);
	return device && device->takes_bios ? device : NULL;
}

KV_TP("block_bio_queue")
int on_bio_queue(__u64 *ctx)
{
	struct bio *bio = kv_argument(ctx, bio_queue_argument);
	__u64 now = bpf_ktime_get_ns();
	struct kv_device *device;
	struct io *io;
	__u32 bytes;
	__u8 class;

	if (!window_is_open(now))
		return 0;
	device = device_of_bio(bio);
	if (!device)
		return 0;
	bytes = KV_FIELD(bio, bi_iter.bi_size);
	class = class_by(KV_FIELD(bio, bi_opf), bytes);
	if (class == KV_CLASSES) {
		lose(KV_PASSTHROUGH);
		return 0;
	}
	io = bio_place((__u64)bio, (__u64)bio);
	if (!io)
		io = bio_place((__u64)bio, 0);
	if (!io) {
		lose(KV_MAP_FULL);
		return 0;
	}
	kv_born(io, now, device->slot, set_of_current(), class, device->sectors, bpf_get_current_pid_tgid() >> 32);
	note_submission(KV_CALL_SUBMIT);
	kv_issued(io, now, KV_FIELD(bio, bi_iter.bi_sector), bytes);
	return 0;
}

KV_TP("block_bio_complete")
int on_bio_complete(__u64 *ctx)
{
	struct bio *bio = kv_argument(ctx, bio_complete_argument);
	__u64 now = bpf_ktime_get_ns();
	struct io *io = bio_place((__u64)bio, (__u64)bio);

	if (!io) {
		/* Most are of disks with requests; of ours it was queued before the window. */
		if (window_is_open(now) && device_of_bio(bio))
			lose(KV_NOMATCH_BEFORE_ATTACH);
		return 0;
	}
	kv_completed(io, now, io->bytes, io->bytes, KV_FIELD(bio, bi_status));
	io->address = 0;
	return 0;
}

#endif
