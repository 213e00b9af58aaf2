/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 OR MIT */
/* Telling user space of each request. */
#ifndef KVTRACE_EVENTS_H
#define KVTRACE_EVENTS_H

/* User space looks by itself; it is woken when so much waits. */
#define KV_WAKE_BYTES (1 << 20)

static __always_inline void tell(const struct io *io, __u32 kind, __u64 now)
{
	struct kv_event *event;
	bool full;

	if (!events)
		return;
	event = bpf_ringbuf_reserve(&event_ring, sizeof(*event), 0);
	if (!event) {
		lose(KV_RING_DROP);
		return;
	}
	event->queued = io->queued;
	event->inserted = io->inserted;
	event->issued = io->issued;
	event->flown = io->flown;
	event->completed = now;
	event->sector = io->sector;
	event->seek = io->seek;
	event->gap = io->gap;
	event->bytes = io->bytes;
	event->tgid = io->tgid;
	event->took_off = io->took_off;
	event->landed = io->landed;
	event->depth = io->depth;
	event->kind = kind;
	event->slot = io->slot;
	event->set = io->set;
	event->class = io->class;
	event->flags = io->flags;
	event->run_set = io->run_set;
	event->unused[0] = event->unused[1] = 0;
	event->run = io->run;
	full = bpf_ringbuf_query(&event_ring, BPF_RB_AVAIL_DATA) > KV_WAKE_BYTES;
	bpf_ringbuf_submit(event, full ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP);
}

#endif
