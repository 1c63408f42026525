#!/usr/bin/env python3
"""flip_bits.py DIRECTORY: flips bits of an unsealed repository, one at a time, and reads it with read_repository.py,
which has to notice each: a bit of every byte of headers and trailers, of every 3rd of small objects, of every 97th
elsewhere. Cuts each object short, too. Nothing is written."""

import os
import sys

import read_repository

# Places for locks of the system alone: what they contain means nothing (docs/repository-format.md).
NEVER_READ = ("lock", "turn")


class Changed(read_repository.Repository):
    """A repository whose objects are in memory."""

    objects = {}

    def load(self, name):
        return self.objects[name]


def noticed(directory):
    try:
        Changed(directory).verify()
    except read_repository.Problem:
        return True
    return False


def places(size):
    step = 3 if size < 1024 else 97
    return (at for at in range(size) if at < 64 or size - at <= 48 or at % step == 0)


def main(directory):
    for folder, _, names in os.walk(directory):
        for path in (os.path.join(folder, name) for name in names if name not in NEVER_READ):
            with open(path, "rb") as file:
                Changed.objects[os.path.relpath(path, directory)] = file.read()
    assert not noticed(directory), "it is damaged already"
    tried, missed = 0, []
    for name, whole in sorted(Changed.objects.items()):
        changes = {at: whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1:] for at in places(len(whole))}
        changes["cut"] = whole[:-1]
        for at, data in changes.items():
            Changed.objects[name] = data
            tried += 1
            if not noticed(directory):
                missed.append("%s, byte %s" % (name, at))
        Changed.objects[name] = whole
    print("%d changes, %s" % (tried, "all noticed" if not missed else "NOT noticed: " + "; ".join(missed)))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
