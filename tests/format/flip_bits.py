#!/usr/bin/env python3
"""flip_bits.py DIRECTORY: flips bits of an unsealed repository, one at a time, and reads it with read_repository.py,
which has to notice each. In small objects and at both ends of packs a bit of every byte, in between of every 97th.
Cuts each object short, too. The directory is as before when it ends."""

import os
import sys

import read_repository

ENDS = 2048


def noticed(directory):
    try:
        read_repository.Repository(directory).verify()
    except read_repository.Problem:
        return True
    return False


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)


def main(directory):
    assert not noticed(directory), "it is damaged already"
    tried, missed = 0, []
    for folder, _, names in os.walk(directory):
        for path in (os.path.join(folder, name) for name in sorted(names) if name != "lock"):
            with open(path, "rb") as file:
                whole = file.read()
            places = [at for at in range(len(whole)) if at < ENDS or len(whole) - at < ENDS or at % 97 == 0]
            damaged = {at: whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1:] for at in places}
            damaged["cut"] = whole[:-1]
            for at, data in damaged.items():
                write(path, data)
                tried += 1
                if not noticed(directory):
                    missed.append("%s, byte %s" % (path, at))
            write(path, whole)
    assert not noticed(directory), "it was not put back"
    print("%d changes, %s" % (tried, "all noticed" if not missed else "NOT noticed: " + "; ".join(missed)))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
