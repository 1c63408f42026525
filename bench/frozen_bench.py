#!/usr/bin/env python3
"""How long a checkpoint freezes a program, against bare `criu dump` of the same program to the same file system.

With shared memory bare criu saves it only where it has no name (a file in /dev/shm belongs to the host), so that is what
its side gets: both sides save the same bytes. Before each measurement dirty pages are written back, for both sides.

The program (tests/programs/memory.c) watches the clock itself: the longest time it did not run is the time it was frozen.
Rounds alternate, A B A B, and the medians are compared, because the machine may be shared. Needs root and the engine.

  bench/frozen_bench.py [--mib 512] [--shm-mib 0] [--delta-files 0] [--rounds 5] [--out build/bench]
"""
import argparse
import os
import shutil
import signal
import statistics
import subprocess
import tempfile
import time

from harness import CRIU, PROGRAMS, ROOT, Server, plot, wait_for, write_result

MEMORY = os.path.join(PROGRAMS, "memory")


def longest_gap(text, since):
    """The longest gap printed after the first `since` characters of the output."""
    return max((float(line.split()[1]) for line in text[since:].splitlines() if line.startswith("gap ")), default=0.0)


class Bare:
    """The program by itself, saved by criu."""

    name = "criu dump"

    def __init__(self, directory, options):
        self.directory = os.path.join(directory, "bare")
        os.makedirs(self.directory)
        self.output = os.path.join(self.directory, "out")
        with open(self.output, "wb") as out:
            self.process = subprocess.Popen([MEMORY, str(options.mib), str(options.shm_mib), "anonymous"], stdin=subprocess.DEVNULL,
                                            stdout=out, stderr=subprocess.DEVNULL, start_new_session=True)
        wait_for("the program", lambda: "ready" in self.text())

    def text(self):
        with open(self.output) as out:
            return out.read()

    def save(self):
        images = tempfile.mkdtemp(dir=self.directory)
        time.sleep(1.1)
        before = len(self.text())
        subprocess.run([CRIU, "dump", "-t", str(self.process.pid), "-D", images, "--leave-running", "-v0"], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for("the next gap", lambda: self.text()[before:].count("gap ") >= 2)
        gap = longest_gap(self.text(), before)
        shutil.rmtree(images)
        return gap

    def touch(self):
        self.process.send_signal(signal.SIGUSR1)

    def close(self):
        self.process.kill()
        self.process.wait()


class Service:
    """The same program as an application of CACS."""

    name = "cacs"

    def __init__(self, directory, options):
        self.server = Server(directory)
        command = [MEMORY, str(options.mib), str(options.shm_mib)]
        if options.delta_files > 0:
            # A delta of many files, of which a few change and one large one grows before every checkpoint.
            script = (f"mkdir /many && cd /many && for d in $(seq 1 {options.delta_files // 100}); do mkdir $d; "
                      f"for f in $(seq 1 100); do head -c 102400 /dev/urandom > $d/$f; done; done; "
                      f"head -c {2 << 30} /dev/urandom > /large; exec {' '.join(command)}")
            command = ["bash", "-c", script]
        self.id = self.server.submit({"command": command})
        wait_for("the program", lambda: "ready" in self.text(), 600)
        self.delta_files = options.delta_files
        self.timings = []

    def text(self):
        return self.server.text(self.id)

    def save(self):
        time.sleep(1.1)
        before = len(self.text())
        checkpoint = self.server.checkpoint(self.id)
        wait_for("the next gap", lambda: self.text()[before:].count("gap ") >= 2)
        self.timings.append(dict(checkpoint["timings"], size=checkpoint["size_bytes"], stored=checkpoint["stored_bytes"]))
        return longest_gap(self.text(), before)

    def touch(self):
        self.server.signal_program(self.id, "memory", signal.SIGUSR1)
        if self.delta_files > 0:
            script = ("cd /many && for d in 1 2; do for f in $(seq 1 100); do head -c 102400 /dev/urandom > $d/$f; done; done; "
                      "head -c 1048576 /dev/urandom >> /large")
            self.server.call("POST", f"/v1/coordinators/{self.id}/exec",
                             {"command": ["bash", "-c", script], "timeout_ms": 120000})

    def close(self):
        self.server.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument("--shm-mib", type=int, default=0)
    parser.add_argument("--delta-files", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", default=os.path.join(ROOT, "build/bench"))
    options = parser.parse_args()
    directory = tempfile.mkdtemp(prefix="cacs-frozen-", dir="/tmp")
    sides = []
    gaps = {}
    try:
        for side in (Bare, Service):
            sides.append(side(directory, options))
        for side in sides:
            side.save()  # the first one warms caches and reads everything
        for _ in range(options.rounds):
            for side in sides:
                side.touch()
                time.sleep(0.2)
                os.sync()
                gaps.setdefault(side.name, []).append(side.save())
    finally:
        for side in sides:
            side.close()
        shutil.rmtree(directory, ignore_errors=True)
    medians = {name: statistics.median(values) for name, values in gaps.items()}
    ratio = medians["cacs"] / medians["criu dump"]
    name = f"frozen-{options.mib}-{options.shm_mib}-{options.delta_files}"
    title = f"frozen: {options.mib} MiB, {options.shm_mib} MiB shared memory, {options.delta_files} files"
    print(title)
    for side, values in gaps.items():
        print(f"  {side:10} median {medians[side]:7.1f} ms   of {', '.join(f'{v:.0f}' for v in values)}")
    print(f"  ratio {ratio:.2f} (to hold: 1.15)   last phases: {sides[1].timings[-1]}")
    write_result(options.out, name, {"gaps_ms": gaps, "medians_ms": medians, "ratio": ratio, "phases": sides[1].timings})
    plot(options.out, name, title, medians, "ms")


if __name__ == "__main__":
    main()
