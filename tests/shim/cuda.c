/*
 * A CUDA driver without a GPU: the calls of libcuda.so.1 that kvtrace makes, on host memory.
 * Device memory is a mapping whose bounds are checked; every stream is a thread that works off
 * its copies and events in order, at a bandwidth and with a latency, so that they end later than
 * they were asked for. One device, named "shim".
 *
 * Environment:
 *   SHIM_CUDA_DEVICES=N        devices (1)
 *   SHIM_CUDA_MEMORY=BYTES     memory of the device (1 GiB)
 *   SHIM_CUDA_MB_PER_S=N       bandwidth of a stream (4000)
 *   SHIM_CUDA_LATENCY_US=N     added to every copy (5)
 *   SHIM_CUDA_NO_PIN=1         refuses to pin host memory
 *   SHIM_CUDA_REFUSE_COPY=N    the N-th asynchronous copy is refused when it is asked for
 *   SHIM_CUDA_BREAK_COPY=N     the N-th asynchronous copy breaks its stream while it is made
 *   SHIM_CUDA_SPOIL_COPY=N     after the N-th copy to the device one byte of it there is wrong
 *   SHIM_CUDA_LOG=PATH         one line for each copy: "in|out BYTES"
 */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    INVALID_DEVICE = 101,
    NOT_READY = 600,
    ILLEGAL_ADDRESS = 700,
    LAUNCH_FAILED = 719,
    UNKNOWN = 999,
};

struct event {
    int recorded, done, error;
    uint64_t at_ns;
};

struct item {
    struct item *next;
    struct event *event; /* or a copy: */
    void *to;
    const void *from;
    size_t bytes;
    int number, in;
};

struct stream {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct item *first, **last;
    int busy, closed, error;
};

static pthread_mutex_t shared = PTHREAD_MUTEX_INITIALIZER;
static char *memory;
static size_t memory_bytes, memory_used;
static int copies_asked, copies_in;

static long setting(const char *name, long otherwise) {
    const char *text = getenv(name);
    return text ? atol(text) : otherwise;
}

static size_t total_bytes(void) { return (size_t)setting("SHIM_CUDA_MEMORY", 1L << 30); }

static uint64_t now_ns(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

static void sleep_until(uint64_t ns) {
    struct timespec at = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR) {
    }
}

static int inside(const void *place, size_t bytes) {
    uintptr_t at = (uintptr_t)place, start = (uintptr_t)memory;
    return memory && at >= start && bytes <= memory_bytes && at - start <= memory_bytes - bytes;
}

static void log_copy(int in, size_t bytes) {
    const char *path = getenv("SHIM_CUDA_LOG");
    FILE *file = path ? fopen(path, "a") : NULL;
    if (file) {
        fprintf(file, "%s %zu\n", in ? "in" : "out", bytes);
        fclose(file);
    }
}

static void copy(struct stream *stream, struct item *item) {
    long mb_per_s = setting("SHIM_CUDA_MB_PER_S", 4000), latency = setting("SHIM_CUDA_LATENCY_US", 5);
    uint64_t until = now_ns() + (uint64_t)latency * 1000u + (uint64_t)item->bytes * 1000u / (uint64_t)mb_per_s;
    if (item->number == setting("SHIM_CUDA_BREAK_COPY", 0)) {
        stream->error = LAUNCH_FAILED;
        return;
    }
    memcpy(item->to, item->from, item->bytes);
    if (item->in && item->in == setting("SHIM_CUDA_SPOIL_COPY", 0)) {
        ((char *)item->to)[item->bytes / 2] ^= 0x10;
    }
    log_copy(item->in, item->bytes);
    sleep_until(until);
}

static void *work(void *argument) {
    struct stream *stream = argument;
    pthread_mutex_lock(&stream->lock);
    for (;;) {
        while (!stream->first && !stream->closed) {
            pthread_cond_wait(&stream->changed, &stream->lock);
        }
        struct item *item = stream->first;
        if (!item) {
            break;
        }
        stream->first = item->next;
        if (!stream->first) {
            stream->last = &stream->first;
        }
        stream->busy = 1;
        if (item->event) {
            item->event->at_ns = now_ns();
            item->event->error = stream->error;
            __atomic_store_n(&item->event->done, 1, __ATOMIC_RELEASE);
        } else if (!stream->error) {
            pthread_mutex_unlock(&stream->lock);
            copy(stream, item);
            pthread_mutex_lock(&stream->lock);
        }
        free(item);
        stream->busy = 0;
        pthread_cond_broadcast(&stream->changed);
    }
    pthread_mutex_unlock(&stream->lock);
    return NULL;
}

static void add(struct stream *stream, struct item *item) {
    item->next = NULL;
    pthread_mutex_lock(&stream->lock);
    *stream->last = item;
    stream->last = &item->next;
    pthread_cond_broadcast(&stream->changed);
    pthread_mutex_unlock(&stream->lock);
}

static int add_copy(struct stream *stream, void *to, const void *from, size_t bytes, int in) {
    if (!stream || !inside(in ? to : from, bytes)) {
        return INVALID_VALUE;
    }
    pthread_mutex_lock(&shared);
    int number = ++copies_asked, place = in ? ++copies_in : 0;
    pthread_mutex_unlock(&shared);
    if (number == setting("SHIM_CUDA_REFUSE_COPY", 0)) {
        return ILLEGAL_ADDRESS;
    }
    struct item *item = calloc(1, sizeof *item);
    *item = (struct item){.to = to, .from = from, .bytes = bytes, .number = number, .in = place};
    add(stream, item);
    return SUCCESS;
}

int cuInit(unsigned flags) { return flags ? INVALID_VALUE : SUCCESS; }

int cuDriverGetVersion(int *version) {
    *version = 12080;
    return SUCCESS;
}

int cuDeviceGetCount(int *count) {
    *count = (int)setting("SHIM_CUDA_DEVICES", 1);
    return SUCCESS;
}

int cuDeviceGet(int *device, int number) {
    *device = number;
    return number >= 0 && number < setting("SHIM_CUDA_DEVICES", 1) ? SUCCESS : INVALID_DEVICE;
}

int cuDeviceGetName(char *name, int room, int device) {
    (void)device;
    snprintf(name, (size_t)room, "shim");
    return SUCCESS;
}

int cuDeviceTotalMem_v2(size_t *bytes, int device) {
    (void)device;
    *bytes = total_bytes();
    return SUCCESS;
}

int cuDeviceGetAttribute(int *value, int attribute, int device) {
    (void)attribute, (void)device;
    *value = 2;
    return SUCCESS;
}

int cuDeviceGetPCIBusId(char *id, int room, int device) {
    snprintf(id, (size_t)room, "FFFF:00:%02x.0", (unsigned)device);
    return SUCCESS;
}

int cuDevicePrimaryCtxRetain(void **context, int device) {
    *context = (void *)(uintptr_t)(device + 1);
    return SUCCESS;
}

int cuDevicePrimaryCtxRelease_v2(int device) {
    (void)device;
    return SUCCESS;
}

int cuCtxSetCurrent(void *context) { return context ? SUCCESS : INVALID_VALUE; }

int cuMemGetInfo_v2(size_t *free_bytes, size_t *total) {
    *total = total_bytes();
    *free_bytes = *total - memory_used;
    return SUCCESS;
}

int cuMemAlloc_v2(uint64_t *place, size_t bytes) {
    if (memory || bytes > total_bytes()) {
        return OUT_OF_MEMORY;
    }
    void *mapping = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping == MAP_FAILED) {
        return OUT_OF_MEMORY;
    }
    memory = mapping, memory_bytes = memory_used = bytes;
    *place = (uint64_t)(uintptr_t)memory;
    return SUCCESS;
}

int cuMemFree_v2(uint64_t place) {
    if (place != (uint64_t)(uintptr_t)memory) {
        return INVALID_VALUE;
    }
    munmap(memory, memory_bytes);
    memory = NULL, memory_bytes = memory_used = 0;
    return SUCCESS;
}

int cuMemHostRegister_v2(void *place, size_t bytes, unsigned flags) {
    (void)flags;
    if (!place || !bytes) {
        return INVALID_VALUE;
    }
    return setting("SHIM_CUDA_NO_PIN", 0) ? OUT_OF_MEMORY : SUCCESS;
}

int cuMemHostUnregister(void *place) { return place ? SUCCESS : INVALID_VALUE; }

int cuMemcpyHtoD_v2(uint64_t to, const void *from, size_t bytes) {
    if (!inside((void *)(uintptr_t)to, bytes)) {
        return INVALID_VALUE;
    }
    memcpy((void *)(uintptr_t)to, from, bytes);
    return SUCCESS;
}

int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t bytes, struct stream *stream) {
    return add_copy(stream, (void *)(uintptr_t)to, from, bytes, 1);
}

int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t bytes, struct stream *stream) {
    return add_copy(stream, to, (const void *)(uintptr_t)from, bytes, 0);
}

int cuStreamCreate(struct stream **made, unsigned flags) {
    (void)flags;
    struct stream *stream = calloc(1, sizeof *stream);
    stream->last = &stream->first;
    pthread_mutex_init(&stream->lock, NULL);
    pthread_cond_init(&stream->changed, NULL);
    if (pthread_create(&stream->thread, NULL, work, stream)) {
        free(stream);
        return UNKNOWN;
    }
    *made = stream;
    return SUCCESS;
}

int cuStreamSynchronize(struct stream *stream) {
    pthread_mutex_lock(&stream->lock);
    while (stream->first || stream->busy) {
        pthread_cond_wait(&stream->changed, &stream->lock);
    }
    int error = stream->error;
    pthread_mutex_unlock(&stream->lock);
    return error;
}

int cuStreamDestroy_v2(struct stream *stream) {
    pthread_mutex_lock(&stream->lock);
    stream->closed = 1;
    pthread_cond_broadcast(&stream->changed);
    pthread_mutex_unlock(&stream->lock);
    pthread_join(stream->thread, NULL);
    free(stream);
    return SUCCESS;
}

int cuEventCreate(struct event **made, unsigned flags) {
    (void)flags;
    *made = calloc(1, sizeof **made);
    return SUCCESS;
}

int cuEventRecord(struct event *event, struct stream *stream) {
    struct item *item = calloc(1, sizeof *item);
    item->event = event;
    event->recorded = 1;
    __atomic_store_n(&event->done, 0, __ATOMIC_RELEASE);
    add(stream, item);
    return SUCCESS;
}

int cuEventQuery(struct event *event) {
    if (!event->recorded) {
        return SUCCESS;
    }
    return __atomic_load_n(&event->done, __ATOMIC_ACQUIRE) ? event->error : NOT_READY;
}

int cuEventSynchronize(struct event *event) {
    while (cuEventQuery(event) == NOT_READY) {
        sleep_until(now_ns() + 1000);
    }
    return event->error;
}

int cuEventElapsedTime(float *ms, struct event *from, struct event *to) {
    if (cuEventQuery(from) || cuEventQuery(to)) {
        return NOT_READY;
    }
    *ms = (float)((double)(int64_t)(to->at_ns - from->at_ns) / 1e6);
    return SUCCESS;
}

int cuEventDestroy_v2(struct event *event) {
    free(event);
    return SUCCESS;
}

int cuGetErrorName(int error, const char **text) {
    switch (error) {
    case OUT_OF_MEMORY: *text = "CUDA_ERROR_OUT_OF_MEMORY"; break;
    case ILLEGAL_ADDRESS: *text = "CUDA_ERROR_ILLEGAL_ADDRESS"; break;
    case LAUNCH_FAILED: *text = "CUDA_ERROR_LAUNCH_FAILED"; break;
    default: *text = "CUDA_ERROR_UNKNOWN";
    }
    return SUCCESS;
}

int cuGetErrorString(int error, const char **text) {
    switch (error) {
    case OUT_OF_MEMORY: *text = "out of memory"; break;
    case ILLEGAL_ADDRESS: *text = "an illegal memory access was encountered"; break;
    case LAUNCH_FAILED: *text = "unspecified launch failure"; break;
    default: *text = "unknown error";
    }
    return SUCCESS;
}
