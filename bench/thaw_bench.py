#!/usr/bin/env python3
"""What a checkpoint costs a program after the thaw, while it is stored: at most 5 % on a machine with a free core.

The program (tests/programs/rate.c) computes on one core and tells its speed every tenth of a second. Its peer is itself, in
the same run: the speed in the seconds before the checkpoint against that between thaw and commit. A third of its memory is
rewritten before each checkpoint, so that there is something to store. Needs root, the engine and two cores.

  bench/thaw_bench.py [--mib 512] [--rounds 7] [--out build/bench]
"""
import argparse
import os
import shutil
import signal
import statistics
import tempfile
import time

from harness import PROGRAMS, ROOT, Server, plot, wait_for, write_result


def rates(text):
    """(wall clock in ms at its end, sweeps a second) of each tenth of a second."""
    lines = (line.split() for line in text.splitlines() if line.startswith("rate "))
    return [(float(words[1]), float(words[2])) for words in lines if len(words) == 3]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", default=os.path.join(ROOT, "build/bench"))
    options = parser.parse_args()
    directory = tempfile.mkdtemp(prefix="cacs-thaw-", dir="/tmp")
    server = Server(directory)
    ratios, before_rates, during_rates, stores = [], [], [], []
    try:
        application = server.submit({"command": [os.path.join(PROGRAMS, "rate"), str(options.mib)]})
        wait_for("the program", lambda: "rate" in server.text(application))
        for round_number in range(options.rounds + 1):
            server.signal_program(application, "rate", signal.SIGUSR1)
            count = round_number + 1
            wait_for("new memory", lambda: server.text(application).count("rewritten") >= count)
            os.sync()
            time.sleep(2.5)
            begun = time.time() * 1000
            timings = server.checkpoint(application)["timings"]
            committed = time.time() * 1000
            time.sleep(0.3)
            if round_number == 0:
                continue  # it stores everything and warms caches
            told = rates(server.text(application))
            thawed = committed - timings["store_ms"]
            before = [rate for at, rate in told if begun - 2000 < at <= begun]
            during = [rate for at, rate in told if thawed + 100 < at <= committed]
            if not during:
                raise SystemExit("the checkpoint was stored too quickly to measure; use a larger --mib")
            before_rates.append(statistics.mean(before))
            during_rates.append(statistics.mean(during))
            ratios.append(during_rates[-1] / before_rates[-1])
            stores.append(timings["store_ms"])
    finally:
        server.close()
        shutil.rmtree(directory, ignore_errors=True)
    medians = {"before": statistics.median(before_rates), "while storing": statistics.median(during_rates)}
    title = f"speed while a checkpoint of {options.mib} MiB is stored"
    print(title)
    print(f"  stored in {statistics.median(stores):.0f} ms; speed against before: {', '.join(f'{r:.3f}' for r in ratios)}")
    print(f"  median {statistics.median(ratios):.3f} (to hold: 0.95)")
    write_result(options.out, "thaw", {"ratios": ratios, "medians": medians, "store_ms": stores})
    plot(options.out, "thaw", title, medians, "sweeps/s")


if __name__ == "__main__":
    main()
