/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 OR MIT */
/*
 * Whose an I/O is: the running task's, by its process or its cgroup; what other tasks write back
 * from the page cache is that of the task which dirtied the pages. Threads that the kernel adds
 * to a process for io_uring (iou-sqp-*, iou-wrk-*) carry the process's id and need nothing.
 */
#ifndef KVTRACE_OWNER_H
#define KVTRACE_OWNER_H

#define KV_MAX_CGROUPS 8
/* include/linux/sched.h */
#define KV_PF_KTHREAD 0x00200000
/* Low bits of a page's mapping that say it is no file's (include/linux/page-flags.h). */
#define KV_NO_FILE 3UL

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct address_space {
	struct inode *host;
};

struct page {
	unsigned long compound_head;
	struct address_space *mapping;
};

struct bio_vec {
	struct page *bv_page;
};

struct bio___pages {
	struct bio_vec *bi_io_vec;
};

struct request___pages {
	struct bio___pages *bio;
};

struct task_struct___flags {
	unsigned int flags;
};

#pragma clang attribute pop

/* Cgroups of the target; tasks below them belong to it too. */
const volatile __u32 cgroups_used = 0;
/* Whether it is seen who dirties pages. */
const volatile bool have_dirtiers = false;

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
	__uint(max_entries, KV_MAX_CGROUPS);
	__type(key, __u32);
	__type(value, __u32);
} target_cgroups SEC(".maps");

struct inode_key {
	__u64 number;
	__u32 device;
	__u32 unused;
};

/* File → set of the task that last dirtied a clean page of it, which may be gone by now. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct inode_key);
	__type(value, __u8);
} dirtiers SEC(".maps");

static __always_inline bool is_in_target_cgroup(void)
{
	__u32 at;

	for (at = 0; at < KV_MAX_CGROUPS; at++) {
		if (at >= cgroups_used)
			return false;
		if (bpf_current_task_under_cgroup(&target_cgroups, at) == 1)
			return true;
	}
	return false;
}

/* A process that has ended may still stand there, with 0. */
static __always_inline bool is_target(__u32 tgid)
{
	__u8 *yes = bpf_map_lookup_elem(&target_pids, &tgid);

	return yes && *yes;
}

static __always_inline __u8 set_of_current(void)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;

	if (!filter_pids || is_target(tgid) || is_in_target_cgroup())
		return set_of_target();
	return KV_OTHER;
}

static __always_inline bool is_kernel_thread(void)
{
	struct task_struct___flags *task = (void *)bpf_get_current_task_btf();

	return task->flags & KV_PF_KTHREAD;
}

KV_TP("writeback_dirty_folio")
int BPF_PROG(on_dirty, void *folio, struct address_space *mapping)
{
	struct inode_key key = {};
	struct inode *inode;
	__u8 set, *known;
	__u32 number;

	/* Kernel threads dirty on behalf of somebody who is not known any more. */
	if (!mapping || is_kernel_thread())
		return 0;
	inode = mapping->host;
	number = key.device = inode->i_sb->s_dev;
	if ((inode->i_mode & KV_S_IFMT) == KV_S_IFBLK)
		number = inode->i_rdev;
	known = bpf_map_lookup_elem(&file_devices, &number);
	if (!known)
		return 0;
	/* A filesystem's own blocks: who touched one of them last says nothing of the next. */
	if (*known == KV_FILES_MOUNTED && number != key.device)
		return 0;
	key.number = inode->i_ino;
	set = set_of_current();
	known = bpf_map_lookup_elem(&dirtiers, &key);
	if (known && *known == set)
		return 0;
	bpf_map_update_elem(&dirtiers, &key, &set, BPF_ANY);
	return 0;
}

/* The file whose cached pages a bio writes; false for memory that is no file's. */
static __always_inline bool file_of_pages(struct bio___pages *bio, struct inode_key *key)
{
	unsigned long head, mapping;
	struct page *page;
	struct inode *host;

	page = BPF_CORE_READ(bio, bi_io_vec, bv_page);
	if (!page || !bpf_core_field_exists(page->compound_head))
		return false;
	head = BPF_CORE_READ(page, compound_head);
	if (head & 1)
		page = (struct page *)(head - 1);
	mapping = (unsigned long)BPF_CORE_READ(page, mapping);
	if (!mapping || mapping & KV_NO_FILE)
		return false;
	host = BPF_CORE_READ((struct address_space *)mapping, host);
	if (!host)
		return false;
	key->number = BPF_CORE_READ(host, i_ino);
	key->device = BPF_CORE_READ(host, i_sb, s_dev);
	return true;
}

/*
 * Whose a write is that a task outside the target submits. The set is the one of the moment of
 * dirtying: the process may have ended, its phase passed.
 */
static __always_inline __u8 set_of_dirtier(struct bio___pages *bio)
{
	struct inode_key key = {};
	__u8 *dirtier;

	if (!file_of_pages(bio, &key))
		return KV_OTHER;
	dirtier = bpf_map_lookup_elem(&dirtiers, &key);
	if (!dirtier) {
		if (is_kernel_thread())
			lose(KV_WRITEBACK_UNKNOWN);
		return KV_OTHER;
	}
	if (*dirtier != KV_OTHER)
		lose(KV_WRITEBACK_OWNED);
	return *dirtier;
}

/* Whose a request is that the running task submits. */
static __always_inline __u8 owner_of(struct request *rq, __u8 class)
{
	__u8 set = set_of_current();

	if (!have_dirtiers || set != KV_OTHER || class != KV_WRITE)
		return set;
	return set_of_dirtier(BPF_CORE_READ((struct request___pages *)rq, bio));
}

#endif
