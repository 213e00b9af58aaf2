/*
 * Reads what happens to requests, one step a line, and prints what the machine makes of it.
 * A step is: letter, request, time, and four numbers that its letter gives a meaning.
 */
#undef __always_inline
#define __always_inline inline __attribute__((always_inline))
struct bpf_spin_lock {
	__u32 val;
};
static int locked;
#define bpf_spin_lock(lock) ((void)(lock), locked++)
#define bpf_spin_unlock(lock) ((void)(lock), locked--)
#include "layout.h"
#include "machine.h"

static struct flight flights[KV_PLAIN_SETS];
static struct io requests[64];

static void lose(__u32 what)
{
	printf("lose %u\n", what);
}

static struct flight *flight_of(const struct io *io)
{
	return &flights[kv_side(io->set)];
}

static void count_step(const struct io *io, const struct kv_step *step)
{
	printf("step %u %u %u %llu\n", kv_side(io->set), step->reads, step->writes, step->spent);
}

static void count_issued(const struct io *io)
{
	printf("issued %u %u %u %llu %llu %u %lld %llu %u %u\n", kv_side(io->set), io->class, io->bytes,
	       io->issued - io->queued, kv_waited(io) ? io->issued - io->inserted + 1 : 0, io->depth,
	       io->flags & KV_HAS_SEEK ? io->seek : -1, io->flags & KV_HAS_GAP ? io->gap : 0, io->run, io->run_set);
}

static void count_service(const struct io *io, __u64 now)
{
	printf("service %u %llu %llu\n", io->class, now - io->issued, now - io->queued);
}

static void count_command(const struct io *io, __u64 now)
{
	printf("command %u %llu\n", io->class, now - io->queued);
}

static void tell(const struct io *io, __u32 kind, __u64 now)
{
	printf("tell %u %u %u %u %u %llu %llu %u\n", kind, kv_side(io->set), io->class, io->took_off, io->landed,
	       io->flown, now, io->flags);
}

static void step(char what, __u32 id, __u64 now, __u64 a, __u64 b, __u64 c)
{
	struct io *io = &requests[id % 64];

	if (what == 'b') {
		kv_born(io, now, 0, a, b, 1 << 20, 7);
		return;
	}
	if (!io->alive)
		return;
	if (what == 'i')
		kv_inserted(io, now);
	else if (what == 'd')
		kv_issued(io, now, a, b);
	else if (what == 'r')
		kv_requeued(io, now);
	else if (what == 'm')
		kv_merged(io, now);
	else if (what == 'c')
		kv_completed(io, now, a, b, c);
}

int main(void)
{
	__u64 now, a, b, c;
	char what;
	__u32 id;

	while (scanf(" %c %u %llu %llu %llu %llu", &what, &id, &now, &a, &b, &c) == 6) {
		step(what, id, now, a, b, c);
		printf("depth %d %d %d %d %d\n", flights[0].depth[0], flights[0].depth[1], flights[1].depth[0],
		       flights[1].depth[1], locked);
	}
	printf("open %u %u %u %u\n", flights[0].run[0], flights[0].run[1], flights[1].run[0], flights[1].run[1]);
	return 0;
}
