/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 OR MIT */
/*
 * The life of a request, and what is in flight on a device: plain C without the kernel's helpers,
 * so that it also runs in tests on any machine. Whoever includes this file says how the results
 * are kept, by defining the functions that are only declared here.
 */
#ifndef KVTRACE_MACHINE_H
#define KVTRACE_MACHINE_H

#include "lock.h"

/*
 * A request's place, and what is known of the request while it is on its way. The kernel
 * allocates requests once for a device and uses them again, so a place belongs to one address
 * for good, and `alive` says whether a request is on its way in it.
 */
struct io {
	__u64 address;
	__u64 queued;
	__u64 inserted;
	__u64 issued;
	__u64 flown;
	__u64 sector;
	__u64 extent;
	__u64 gap;
	__s64 seek;
	__u32 bytes;
	__u32 depth;
	__u32 tgid;
	__u32 took_off;
	__u32 landed;
	/* How long the sequential run was that this request ended. */
	__u32 run;
	__u8 slot;
	__u8 set;
	__u8 class;
	__u8 run_set;
	__u8 in_flight;
	__u8 partly_done;
	__u8 flags;
	__u8 alive;
};

/* A device and a side of it: its requests in flight, and what the last of them left behind. */
struct flight {
	struct kv_lock lock;
	__u32 depth[2];
	/* Changes of the depth so far. */
	__u32 turn;
	/* Since when it is that deep. */
	__u64 since;
	/* By direction: when the last one was born, and where it ended. */
	__u64 born[2];
	__u64 end[2];
	/* Requests in the sequential run that goes on, and whose set it began in. */
	__u32 run[2];
	__u8 run_set[2];
};

/* What a change of the depth found, and for how long it had been so. */
struct kv_step {
	__u32 reads;
	__u32 writes;
	__u32 turn;
	__u64 spent;
};

/* How often a birth tries to take its place when others do at the same moment. */
#define KV_BIRTHS 8

static __always_inline void lose(__u32 what);
/* The device and side of a request; may be NULL. */
static __always_inline struct flight *flight_of(const struct io *io);
static __always_inline void count_step(const struct io *io, const struct kv_step *step);
/* A request that was issued has ended; what is known of it then. */
static __always_inline void count_issued(const struct io *io);
/* Its time on the device, where its end was seen. */
static __always_inline void count_service(const struct io *io, __u64 now);
/* What moves no data has ended. */
static __always_inline void count_command(const struct io *io, __u64 now);
static __always_inline void tell(const struct io *io, __u32 kind, __u64 now);

static __always_inline __u8 kv_side(__u8 set)
{
	return set == KV_OTHER ? KV_OTHER : KV_TARGET;
}

/* Only these have a size, a place and a depth. */
static __always_inline bool kv_moves_data(const struct io *io)
{
	return io->class <= KV_WRITE;
}

/* It was queued before its last issue, and not only after that. */
static __always_inline bool kv_waited(const struct io *io)
{
	return io->inserted && io->inserted <= io->issued;
}

/* One request of a class more (1) or fewer (-1). Under the lock of the flight. */
static __always_inline void kv_turn(struct flight *flight, __u64 now, __u8 class, __s32 change, struct kv_step *step)
{
	step->spent = kv_advance(&flight->since, now);
	step->reads = KV_STEP(&flight->depth[0], class == KV_WRITE ? 0 : change);
	step->writes = KV_STEP(&flight->depth[1], class == KV_WRITE ? change : 0);
	step->turn = KV_STEP(&flight->turn, 1) + 1;
}

/*
 * Where a request begins after the last one of its direction, at its first issue: that order is
 * the order of the flights, because it is one lock. Under that lock.
 */
static __always_inline void kv_follow(struct flight *flight, struct io *io)
{
	__u32 write = io->class == KV_WRITE;
	__u64 start = io->sector, end = start + (io->bytes >> 9);
	__u32 run = write ? flight->run[1] : flight->run[0];
	__u64 last = write ? flight->end[1] : flight->end[0];
	__u8 run_set = write ? flight->run_set[1] : flight->run_set[0];

	if (run) {
		io->seek = (__s64)(start - last);
		io->flags |= KV_HAS_SEEK;
	}
	if (run && start != last) {
		io->run = run;
		io->run_set = run_set;
		run = 0;
	}
	if (!run)
		run_set = io->set;
	if (write) {
		flight->run[1] = run + 1;
		flight->end[1] = end;
		flight->run_set[1] = run_set;
	} else {
		flight->run[0] = run + 1;
		flight->end[0] = end;
		flight->run_set[0] = run_set;
	}
}

static __always_inline void kv_take_off(struct io *io, __u64 now, bool first)
{
	struct flight *flight = flight_of(io);
	struct kv_step step;

	if (!flight)
		return;
	io->in_flight = 1;
	io->flown = now;
	KV_LOCK(&flight->lock);
	kv_turn(flight, now, io->class, 1, &step);
	if (first)
		kv_follow(flight, io);
	KV_UNLOCK(&flight->lock);
	io->took_off = step.turn;
	io->depth = step.reads + step.writes + 1;
	count_step(io, &step);
}

/* Takes a request out of the count of those in flight, if it is among them. */
static __always_inline void kv_land(struct io *io, __u64 now)
{
	struct flight *flight;
	struct kv_step step;

	io->landed = 0;
	if (!io->in_flight)
		return;
	io->in_flight = 0;
	flight = flight_of(io);
	if (!flight)
		return;
	KV_LOCK(&flight->lock);
	kv_turn(flight, now, io->class, -1, &step);
	KV_UNLOCK(&flight->lock);
	io->landed = step.turn;
	count_step(io, &step);
}

/*
 * The request is used again, so it has completed without being shown. Its bytes are counted with
 * the others; when it completed is not known.
 */
static __always_inline void kv_unseen(struct io *io, __u64 now)
{
	lose(KV_LOST_COMPLETE);
	kv_land(io, now);
	if (kv_moves_data(io) && io->issued)
		count_issued(io);
	tell(io, KV_UNSEEN, now);
}

/*
 * Puts a birth in its place among the others, and gives the one before it; 0 when there is none, or
 * when one that looked at the clock later, on another processor, was here earlier: its gap stands
 * for both, so that gaps add up to the time.
 */
static __always_inline __u64 kv_last_birth(__u64 *born, __u64 now)
{
	__u32 tries;

	for (tries = 0; tries < KV_BIRTHS; tries++) {
		__u64 last = *born;

		if (now <= last)
			return 0;
		if (__sync_val_compare_and_swap(born, last, now) == last)
			return last;
	}
	return 0;
}

/* A request is born in a place, whatever was in it. */
static __always_inline void kv_born(struct io *io, __u64 now, __u8 slot, __u8 set, __u8 class, __u64 extent,
				    __u32 tgid)
{
	struct flight *flight;
	__u64 last;

	if (io->alive)
		kv_unseen(io, now);
	io->queued = now;
	io->inserted = 0;
	io->issued = 0;
	io->flown = 0;
	io->sector = 0;
	io->extent = extent;
	io->gap = 0;
	io->seek = 0;
	io->bytes = 0;
	io->depth = 0;
	io->tgid = tgid;
	io->took_off = 0;
	io->landed = 0;
	io->run = 0;
	io->slot = slot;
	io->set = set;
	io->class = class;
	io->in_flight = 0;
	io->partly_done = 0;
	io->flags = 0;
	io->alive = 1;
	if (!kv_moves_data(io))
		return;
	flight = flight_of(io);
	if (!flight)
		return;
	last = kv_last_birth(class == KV_WRITE ? &flight->born[1] : &flight->born[0], now);
	if (last) {
		io->gap = now - last;
		io->flags |= KV_HAS_GAP;
	}
}

/* The first time: a request that was turned away may come here again. */
static __always_inline void kv_inserted(struct io *io, __u64 now)
{
	if (!io->inserted)
		io->inserted = now;
}

static __always_inline void kv_issued(struct io *io, __u64 now, __u64 sector, __u32 bytes)
{
	bool first = !io->issued;

	io->issued = now;
	if (!io->partly_done) {
		/* Only now: requests grow by merging until they are issued. */
		io->sector = sector;
		io->bytes = bytes;
	}
	if (kv_moves_data(io) && !io->in_flight)
		kv_take_off(io, now, first);
}

static __always_inline void kv_requeued(struct io *io, __u64 now)
{
	lose(KV_REQUEUE);
	kv_land(io, now);
	tell(io, KV_REQUEUED, now);
	/* The next flight is another one. */
	io->took_off = 0;
}

/* The request became part of another one; its bytes are counted there. */
static __always_inline void kv_merged(struct io *io, __u64 now)
{
	lose(KV_RQ_MERGED);
	kv_land(io, now);
	tell(io, KV_MERGED, now);
	io->alive = 0;
}

/* `done` of the `left` bytes of a request are done. */
static __always_inline void kv_completed(struct io *io, __u64 now, __u32 done, __u32 left, bool error)
{
	if (error) {
		lose(KV_ERRORS);
		io->flags |= KV_FAILED;
	}
	if (done < left) {
		lose(KV_PARTIAL);
		io->partly_done = 1;
		return;
	}
	kv_land(io, now);
	if (!kv_moves_data(io)) {
		count_command(io, now);
	} else if (io->issued) {
		count_service(io, now);
		count_issued(io);
	} else {
		lose(KV_NEVER_ISSUED);
	}
	tell(io, KV_DONE, now);
	io->alive = 0;
}

#endif
