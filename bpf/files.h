/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 OR MIT */
/*
 * Files: which of them lie on a watched disk. User space knows under which device numbers its
 * filesystems and partitions appear, stacked ones (dm, md, btrfs, overlay) included.
 */
#ifndef KVTRACE_FILES_H
#define KVTRACE_FILES_H

/* include/uapi/linux/stat.h */
#define KV_S_IFMT 0170000
#define KV_S_IFREG 0100000
#define KV_S_IFBLK 0060000

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct super_block {
	__u32 s_dev;
};

struct inode {
	__u16 i_mode;
	struct super_block *i_sb;
	unsigned long i_ino;
	__u32 i_rdev;
};

struct file {
	struct inode *f_inode;
	unsigned int f_flags;
};

#pragma clang attribute pop

/* include/uapi/asm-generic/fcntl.h; arch/arm64/include/uapi/asm/fcntl.h */
#if defined(__TARGET_ARCH_arm64)
#define KV_O_DIRECT 0200000
#else
#define KV_O_DIRECT 040000
#endif

/* Device number → enum kv_file_device. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, __u8);
} file_devices SEC(".maps");

/* Gives a number the type of a kernel pointer, for reading only; kernels have it since 6.2. */
extern void *bpf_rdonly_cast(const void *pointer, __u32 type) __ksym __weak;

/* A field behind an untyped pointer: read directly where that is possible, which is cheaper. */
#define KV_READ_FIELD(type, pointer, field)                                                      \
	(bpf_ksym_exists(bpf_rdonly_cast) ?                                                     \
		 ((type *)bpf_rdonly_cast(pointer, bpf_core_type_id_kernel(type)))->field :     \
		 BPF_CORE_READ((type *)(pointer), field))

/*
 * Whether it is a regular file or a block device on a watched disk: sockets, pipes and files
 * elsewhere are not storage that was asked for. The inode's block number is the device's own, a
 * regular file's is that of its filesystem.
 */
static __always_inline bool is_watched_file(struct file *file)
{
	struct super_block *super;
	struct inode *inode;
	__u32 number;

	if (!file)
		return false;
	inode = KV_READ_FIELD(struct file, file, f_inode);
	if (!inode)
		return false;
	switch (KV_READ_FIELD(struct inode, inode, i_mode) & KV_S_IFMT) {
	case KV_S_IFREG:
		super = KV_READ_FIELD(struct inode, inode, i_sb);
		number = KV_READ_FIELD(struct super_block, super, s_dev);
		break;
	case KV_S_IFBLK:
		number = KV_READ_FIELD(struct inode, inode, i_rdev);
		break;
	default:
		return false;
	}
	return bpf_map_lookup_elem(&file_devices, &number);
}

/* Whether what is written to it goes to the page cache. */
static __always_inline bool is_cached(struct file *file)
{
	return !(KV_READ_FIELD(struct file, file, f_flags) & KV_O_DIRECT);
}

#endif
