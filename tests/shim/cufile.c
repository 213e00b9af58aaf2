/*
 * cuFile without GPUDirect Storage: the calls of libcufile.so.0 that kvtrace makes, for the "device"
 * memory of cuda.c, which is host memory, so that they are preads and pwrites. What the real one
 * refuses is refused: memory outside a registered buffer, a file that is not registered or has no
 * O_DIRECT, opening without compat mode where there is no nvidia-fs.
 *
 * Environment:
 *   SHIM_CUFILE_DIRECT=1       pretends that nvidia-fs is there
 *   SHIM_CUFILE_NO_SET=1       does not take cuFileSetParameterBool
 *   SHIM_CUFILE_NO_FILES=1     takes files in compat mode only
 *   SHIM_CUFILE_NO_BUFFERS=1   does not take buffers
 *   SHIM_CUFILE_FAIL=N         the N-th transfer fails: with EIO, or with
 *   SHIM_CUFILE_FAIL_CODE=C    this code of cuFile's own
 *   SHIM_CUFILE_SHORT=N        the N-th transfer does half of what was asked
 *   SHIM_CUFILE_EMPTY=N        the N-th transfer does nothing and says so
 *   SHIM_CUFILE_SPOIL=N        after the N-th read one byte of it is wrong
 *   SHIM_CUFILE_DELAY_US=N     added to every transfer
 *   SHIM_CUFILE_LOG=PATH       one line for each call: "open compat|strict", "close", "file +|-",
 *                              "buffer +|-", "read|write BYTES"
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

enum {
    SUCCESS = 0,
    NOT_INITIALIZED = 5001,
    INVALID_RANGE = 5017,
    DIO_NOT_SET = 5020,
    INVALID_VALUE = 5022,
    NOT_REGISTERED = 5027,
    PINNING_FAILED = 5036,
    FILE_NOT_SUPPORTED = 5008,
};

struct status {
    int error, cuda;
};

struct descriptor {
    int type;
    union {
        int fd;
        void *handle;
    } handle;
    const void *operations;
};

struct properties {
    struct {
        unsigned major, minor;
        size_t poll_threshold, max_direct_io;
        unsigned status, control;
    } nvfs;
    unsigned features, cache, per_buffer, pinned, batch, timeout;
};

enum { MOST = 64 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct { const char *base; size_t bytes; } buffers[MOST];
static struct { int used, fd; } files[MOST];
static int is_open, allow_compat = 1, transfers, reads;

static long setting(const char *name) {
    const char *text = getenv(name);
    return text ? atol(text) : 0;
}

static struct status say(int error) { return (struct status){.error = error}; }

static void note(const char *form, ...) {
    const char *path = getenv("SHIM_CUFILE_LOG");
    FILE *file = path ? fopen(path, "a") : NULL;
    if (file) {
        va_list rest;
        va_start(rest, form);
        vfprintf(file, form, rest);
        va_end(rest);
        fclose(file);
    }
}

struct status cuFileGetVersion(int *version) {
    *version = 1130;
    return say(SUCCESS);
}

struct status cuFileSetParameterBool(int parameter, bool value) {
    if (is_open || setting("SHIM_CUFILE_NO_SET")) {
        return say(INVALID_VALUE);
    }
    if (parameter == 1) {
        allow_compat = value;
    }
    return say(SUCCESS);
}

struct status cuFileDriverOpen(void) {
    const char *told = getenv("CUFILE_ALLOW_COMPAT_MODE");
    if (told && !strcmp(told, "false")) {
        allow_compat = 0;
    }
    if (!allow_compat && !setting("SHIM_CUFILE_DIRECT")) {
        return say(NOT_INITIALIZED);
    }
    is_open = 1;
    note("open %s\n", allow_compat ? "compat" : "strict");
    return say(SUCCESS);
}

struct status cuFileDriverClose_v2(void) {
    is_open = 0;
    note("close\n");
    return say(SUCCESS);
}

struct status cuFileDriverGetProperties(struct properties *told) {
    memset(told, 0, sizeof *told);
    told->nvfs.major = setting("SHIM_CUFILE_DIRECT") ? 2 : 0;
    told->nvfs.control = allow_compat ? 1u << 1 : 0;
    return say(SUCCESS);
}

struct status cuFileHandleRegister(void **handle, struct descriptor *of) {
    if (!is_open || of->type != 1) {
        return say(NOT_INITIALIZED);
    }
    if (!(fcntl(of->handle.fd, F_GETFL) & O_DIRECT)) {
        return say(DIO_NOT_SET);
    }
    if (!allow_compat && setting("SHIM_CUFILE_NO_FILES")) {
        return say(FILE_NOT_SUPPORTED);
    }
    pthread_mutex_lock(&lock);
    for (int i = 0; i < MOST; i++) {
        if (!files[i].used) {
            files[i].used = 1, files[i].fd = of->handle.fd;
            *handle = &files[i];
            break;
        }
    }
    pthread_mutex_unlock(&lock);
    note("file +\n");
    return say(SUCCESS);
}

void cuFileHandleDeregister(void *handle) {
    for (int i = 0; i < MOST; i++) {
        if (handle == &files[i]) {
            files[i].used = 0;
            note("file -\n");
        }
    }
}

struct status cuFileBufRegister(const void *base, size_t bytes, int flags) {
    if (!is_open || flags) {
        return say(NOT_INITIALIZED);
    }
    if (setting("SHIM_CUFILE_NO_BUFFERS")) {
        return say(PINNING_FAILED);
    }
    for (int i = 0; i < MOST; i++) {
        if (!buffers[i].base) {
            buffers[i].base = base, buffers[i].bytes = bytes;
            note("buffer +\n");
            return say(SUCCESS);
        }
    }
    return say(INVALID_VALUE);
}

struct status cuFileBufDeregister(const void *base) {
    for (int i = 0; i < MOST; i++) {
        if (buffers[i].base == base) {
            buffers[i].base = NULL;
            note("buffer -\n");
            return say(SUCCESS);
        }
    }
    return say(INVALID_VALUE);
}

static int registered(const char *base, size_t bytes, off_t offset) {
    for (int i = 0; i < MOST; i++) {
        if (buffers[i].base == base) {
            return offset >= 0 && (size_t)offset <= buffers[i].bytes && bytes <= buffers[i].bytes - (size_t)offset;
        }
    }
    return setting("SHIM_CUFILE_NO_BUFFERS") != 0;
}

static ssize_t transfer(void *handle, char *base, size_t bytes, off_t file_offset, off_t offset, int writes) {
    pthread_mutex_lock(&lock);
    int number = ++transfers, read_number = writes ? 0 : ++reads, fd = -1;
    for (int i = 0; i < MOST; i++) {
        if (handle == &files[i] && files[i].used) {
            fd = files[i].fd;
        }
    }
    int fits = registered(base, bytes, offset);
    note("%s %zu\n", writes ? "write" : "read", bytes);
    pthread_mutex_unlock(&lock);
    if (!is_open || fd < 0) {
        return -NOT_REGISTERED;
    }
    if (!fits) {
        return -INVALID_RANGE;
    }
    long delay = setting("SHIM_CUFILE_DELAY_US");
    if (delay) {
        nanosleep(&(struct timespec){.tv_sec = delay / 1000000, .tv_nsec = delay % 1000000 * 1000}, NULL);
    }
    if (number == setting("SHIM_CUFILE_FAIL")) {
        errno = EIO;
        return setting("SHIM_CUFILE_FAIL_CODE") ? -setting("SHIM_CUFILE_FAIL_CODE") : -1;
    }
    if (number == setting("SHIM_CUFILE_EMPTY")) {
        return 0;
    }
    if (number == setting("SHIM_CUFILE_SHORT") && bytes > 4096) {
        bytes = bytes / 2 & ~(size_t)4095;
    }
    char *place = base + offset;
    ssize_t went = writes ? pwrite(fd, place, bytes, file_offset) : pread(fd, place, bytes, file_offset);
    if (went > 0 && read_number && read_number == setting("SHIM_CUFILE_SPOIL")) {
        place[went / 2] ^= 0x10;
    }
    return went;
}

ssize_t cuFileRead(void *handle, void *base, size_t bytes, off_t file_offset, off_t offset) {
    return transfer(handle, base, bytes, file_offset, offset, 0);
}

ssize_t cuFileWrite(void *handle, const void *base, size_t bytes, off_t file_offset, off_t offset) {
    return transfer(handle, (char *)base, bytes, file_offset, offset, 1);
}
