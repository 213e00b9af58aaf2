"""Writes and reads files as a server's tensors lie on disk: a length, a JSON header, the data.
Two processes with three threads each; every other file is written and read with O_DIRECT.
Prints the bytes of each kind as JSON.

Usage: server.py FOLDER
"""

import json
import mmap
import os
import struct
import sys
import threading

BLOCK = 4096
PROCESSES, THREADS, FILES = 2, 3, 4


def image(tensors, each):
    header = {f"layer.{i}.kv": {"dtype": "BF16", "shape": [each // 2],
                                "data_offsets": [i * each, (i + 1) * each]} for i in range(tensors)}
    text = json.dumps(header).encode()
    text += b" " * (-(len(text) + 8) % BLOCK)
    return struct.pack("<Q", len(text)) + text + os.urandom(tensors * each)


def aligned(data):
    size = -(-len(data) // BLOCK) * BLOCK
    buffer = mmap.mmap(-1, size)
    buffer[:len(data)] = data
    return buffer


def write_all(fd, buffer):
    done = 0
    while done < len(buffer):
        done += os.pwritev(fd, [memoryview(buffer)[done:]], done)


def direct(path, data):
    buffer = aligned(data)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_DIRECT)
    os.posix_fallocate(fd, 0, len(buffer))
    write_all(fd, buffer)
    os.fsync(fd)
    back = mmap.mmap(-1, len(buffer))
    done = os.preadv(fd, [back], 0)
    os.close(fd)
    assert done == len(buffer) and back[:len(data)] == data


def buffered(path, data):
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    write_all(fd, data)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    back = b"".join(iter(lambda: os.read(fd, 1 << 20), b"")) if os.lseek(fd, 0, os.SEEK_SET) == 0 else b""
    os.close(fd)
    assert back == data


failures = []


def worker(folder, name):
    try:
        work(folder, name)
    except BaseException as error:
        failures.append(error)
        raise


def work(folder, name):
    for number in range(FILES):
        data = image(3, (number + 1) << 16)
        kind = direct if number % 2 else buffered
        kind(os.path.join(folder, f"{name}-{number}.safetensors"), data)


def process(folder, number):
    threads = [threading.Thread(target=worker, args=(folder, f"{number}-{i}")) for i in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return 1 if failures else 0


def main():
    children = []
    for number in range(PROCESSES):
        child = os.fork()
        if child == 0:
            os._exit(process(sys.argv[1], number))
        children.append(child)
    failed = [child for child in children if os.waitpid(child, 0)[1]]
    files = [os.path.join(sys.argv[1], name) for name in os.listdir(sys.argv[1]) if name.endswith(".safetensors")]
    total = {"bytes": sum(os.path.getsize(file) for file in files), "files": len(files)}
    print(json.dumps(total))
    sys.exit(1 if failed else 0)


main()
