#!/usr/bin/env python3
"""Four successive checkpoints of a running application of several pods, in the form of BlobCR's Figure 5: before each, a
known share of its memory and files is written anew (bench/rewriter.c). Time and space of each, against what changed.

The time of a checkpoint is to stay flat, and the space to grow by what changed: from the second on each may store a fifth
more than that, and 2 MiB a pod for what every process has besides. In the first everything is new. Medians over
repetitions, each an application of its own. Needs root and the engine.

  bench/successive_bench.py [--pods 4] [--mib 64] [--file-mib 16] [--percent 5,25,100] [--checkpoints 4] [--repeat 3]
"""
import argparse
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time

from harness import ROOT, Server, plot_lines, wait_for, write_result

REWRITER = os.path.join(ROOT, "build/release/bench/rewriter")
COLOURS = ["#22aa77", "#cc6622", "#3366cc", "#aa33aa"]
MIB = 1 << 20


def command(options, percent):
    program = f"{REWRITER} {options.mib} /tmp/rewritten {options.file_mib} {percent}"
    launches = "".join(f"/.cacs/cacs-rsh -n pod-{i} {program} & " for i in range(1, options.pods))
    return ["sh", "-c", f"{launches}exec {program}"]


def on_disk(server):
    """What the nodes' repositories take."""
    total = 0
    for path, _, names in os.walk(os.path.join(server.state, "nodes")):
        if "/repository" not in path:
            continue
        for name in names:
            try:
                total += os.stat(os.path.join(path, name)).st_blocks * 512
            except FileNotFoundError:
                continue  # a temporary one
    return total


def one_series(server, options, percent):
    application = server.submit({"command": command(options, percent), "pods": options.pods})
    wait_for("the programs", lambda: server.text(application).count("ready\n") == options.pods, 300)
    series = []
    for number in range(1, options.checkpoints + 1):
        server.signal_program(application, "rewriter", signal.SIGUSR1)
        wait_for("the change", lambda number=number: server.text(application).count(f"changed {number}\n") == options.pods, 300)
        os.sync()
        before = on_disk(server)
        begun = time.monotonic()
        checkpoint = server.checkpoint(application)
        series.append({"seconds": time.monotonic() - begun, "frozen_ms": checkpoint["timings"]["frozen_ms"],
                       "size_bytes": checkpoint["size_bytes"], "stored_bytes": checkpoint["stored_bytes"],
                       "disk_bytes": on_disk(server) - before})
    server.call("DELETE", "/v1/coordinators/" + application)
    wait_for("its end", lambda: server.gone(application), 300)
    server.applications.remove(application)
    return series


def measure(options, percent, directory):
    """Medians of each checkpoint in turn. A server of its own for each repetition: nothing is stored before."""
    every = []
    for repetition in range(options.repeat):
        place = os.path.join(directory, f"{percent}-{repetition}")
        os.mkdir(place)
        server = Server(place)
        try:
            every.append(one_series(server, options, percent))
        finally:
            server.close()
            shutil.rmtree(place, ignore_errors=True)
    merged = [{name: statistics.median(series[i][name] for series in every) for name in every[0][i]} for i in range(options.checkpoints)]
    pages = options.mib * 256 * percent // 100
    changed = options.pods * (pages * 4096 + options.file_mib * MIB * percent // 100)
    return {"percent": percent, "changed_bytes": changed, "checkpoints": merged, "all": every}


def faults(result, options):
    """What was to hold and does not."""
    later = result["checkpoints"][1:]
    allowed = 1.2 * result["changed_bytes"] + options.pods * 2 * MIB
    found = [f"checkpoint {i + 2} stores {each['stored_bytes'] / MIB:.1f} MiB, to hold: {allowed / MIB:.1f}"
             for i, each in enumerate(later) if each["stored_bytes"] > allowed]
    if len(later) > 1 and later[-1]["seconds"] > 1.25 * later[0]["seconds"] + 0.1:
        found.append(f"the last takes {later[-1]['seconds']:.2f} s, the second took {later[0]['seconds']:.2f} s")
    return [f"{result['percent']} %: {fault}" for fault in found]


def show(result):
    print(f"{result['percent']} % is written anew: {result['changed_bytes'] / MIB:.1f} MiB of all pods")
    for number, each in enumerate(result["checkpoints"], 1):
        print(f"   {number}: {each['seconds']:6.2f} s, frozen {each['frozen_ms']:5.0f} ms, image {each['size_bytes'] / MIB:7.1f} MiB, "
              f"stored {each['stored_bytes'] / MIB:7.1f} MiB ({each['stored_bytes'] / result['changed_bytes']:.2f} of what changed), "
              f"on disk {each['disk_bytes'] / MIB:7.1f} MiB more", flush=True)


def draw(out, results, count):
    times, spaces = {}, {}
    for index, result in enumerate(results):
        colour, name = COLOURS[index % len(COLOURS)], f"{result['percent']} %"
        times[name] = (colour, [each["seconds"] for each in result["checkpoints"]])
        stored = [each["stored_bytes"] / MIB for each in result["checkpoints"]]
        spaces[name] = (colour, [sum(stored[:i + 1]) for i in range(count)])
        spaces[name + ", changed"] = ("#bbbbbb", [stored[0] + i * result["changed_bytes"] / MIB for i in range(count)])
    numbers = list(range(1, count + 1))
    plot_lines(os.path.join(out, "successive-time.svg"), "seconds for each successive checkpoint", numbers, times)
    plot_lines(os.path.join(out, "successive-space.svg"), "MiB stored in all; grey: what changed", numbers, spaces, 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, default=4)
    parser.add_argument("--mib", type=int, default=64)
    parser.add_argument("--file-mib", type=int, default=16)
    parser.add_argument("--percent", default="5,25,100")
    parser.add_argument("--checkpoints", type=int, default=4)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--out", default=os.path.join(ROOT, "build/bench"))
    options = parser.parse_args()
    directory = tempfile.mkdtemp(prefix="cacs-successive-", dir="/tmp")
    results = []
    try:
        for percent in [int(word) for word in options.percent.split(",")]:
            results.append(measure(options, percent, directory))
            show(results[-1])
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    write_result(options.out, "successive", {"pods": options.pods, "mib": options.mib, "file_mib": options.file_mib, "results": results})
    draw(options.out, results, options.checkpoints)
    found = [fault for result in results for fault in faults(result, options)]
    for fault in found:
        print(fault, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
