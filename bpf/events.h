/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 OR MIT */
/* One row per request for whoever wants more than histograms. */
#ifndef KVTRACE_EVENTS_H
#define KVTRACE_EVENTS_H

/* Whether rows are wanted; fixed before loading. */
const volatile bool events = false;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} event_ring SEC(".maps");

/* Called once the request has landed, while its place still says all about it. */
static __always_inline void tell(const struct io *io, __u8 kind, __u64 now)
{
	struct kv_event *event;

	if (!events)
		return;
	event = bpf_ringbuf_reserve(&event_ring, sizeof(*event), 0);
	if (!event) {
		lose(KV_RING_DROP);
		return;
	}
	__builtin_memset(event, 0, sizeof(*event));
	event->queued = io->queued;
	event->issued = io->issued;
	event->flown = io->flown;
	event->completed = now;
	event->sector = io->sector;
	event->bytes = io->bytes;
	event->tgid = io->tgid;
	event->took_off = io->took_off;
	event->landed = io->landed;
	event->depth = io->depth;
	event->kind = kind;
	event->slot = io->slot;
	event->set = io->set;
	event->class = io->class;
	event->flags = io->failed ? 4 : 0;
	/* User space looks by itself, often enough. */
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
}

#endif
