"""Milliseconds of h5py for writing and reading the tensors of one of causalgen's checkpoints.

Usage: h5py_peer.py CHECKPOINT REPETITIONS. The file that it writes lies beside the checkpoint and is gone
at the end. It is flushed to the disk as the checkpoint was; it has no digest, and nobody reads it back.
"""

import json
import os
import sys
import time

import h5py

import timing

GROUPS = ("weights", "adamw/m", "adamw/v")


def read(path):
    with h5py.File(path, "r") as file:
        return {
            f"{group}/{name}": dataset[...]
            for group in GROUPS for name, dataset in file[group].items()
        }  # fmt: skip


def write(path, tensors):
    with h5py.File(path, "w") as file:
        for name, tensor in tensors.items():
            file.create_dataset(name, data=tensor)
        file.flush()
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def main():
    checkpoint, repetitions = sys.argv[1], int(sys.argv[2])
    tensors = read(checkpoint)
    path = checkpoint + ".h5py"
    writes, reads = [], []
    for _ in range(repetitions):
        start = time.perf_counter()
        write(path, tensors)
        written = time.perf_counter()
        read(path)
        reads.append(time.perf_counter() - written)
        writes.append(written - start)
    os.remove(path)
    print(json.dumps({"save": 1e3 * timing.median(writes), "load": 1e3 * timing.median(reads)}))


if __name__ == "__main__":
    main()
