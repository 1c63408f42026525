#!/usr/bin/env python3
"""What a further checkpoint costs, against restic, borg and casync in the same run: bytes, time, memory; and its restore.

For each series of process images (bench/image_series.cpp) every tool takes in the first version and the further ones in
alternation, each in a process of its own, and then gives back the last, which is compared byte by byte. Bytes are those of
all files of the repository; times are medians, of the wall clock; caches of the kernel are warm for all. Held to:

  stored    each further version: 1.15 x the changed pages before compression; at 0.1 % the changed pages + 256 KiB
  ingest    4 x faster than the fastest of the three; with 25 % and 100 % changed not slower
  restore   not slower than the fastest
  memory    under 200 MB for an image of 4 GiB; what is told is at least that of this script, from which steps are started

  bench/versions_bench.py [--quick] [--series 0.1,1,5,25,100,heap,ranks] [--tools cacs,restic,borg,casync] [--tuned]
"""
import argparse
import hashlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from harness import ROOT, write_result
from versions_plot import plot_versions
from versions_tools import BINARIES, TOOLS

PAGE = 4096
SERIES = ["0.1", "1", "5", "25", "100", "heap", "ranks"]
STEP_LIMIT_SECONDS = 1800


def measure(command, environment=None, cwd=None):
    """Runs it to its end; seconds, CPU seconds, peak memory (of the largest process) and what it printed."""
    with tempfile.TemporaryFile() as output:
        start = time.monotonic()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                                   env=environment, cwd=cwd, start_new_session=True)
        guard = threading.Timer(STEP_LIMIT_SECONDS, process.kill)
        guard.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.monotonic() - start
            process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            guard.cancel()
            if process.returncode is None:
                process.kill()
                process.wait()
        output.seek(0)
        text = output.read().decode(errors="replace")
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: ended with {process.returncode}: {text.strip()[-2000:]}")
    return {"seconds": seconds, "cpu_seconds": usage.ru_utime + usage.ru_stime, "peak_mb": usage.ru_maxrss * 1024 / 1e6,
            "output": text}


class Images:
    """The current version of a series, in `directory`/image; always at the same path, as a node's agent would have it."""

    def __init__(self, directory, series, options):
        self.directory, self.series, self.options = directory, series, options
        self.path = os.path.join(directory, "image")

    def write(self, version):
        """Replaces the version before; bytes of the pages that are new in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        told = measure([os.path.join(BINARIES, "image_series"), self.series, str(self.options.mib), str(version),
                        str(self.options.seed), self.path])
        return json.loads(told["output"])["changed_pages"] * PAGE

    def page_hashes(self):
        """Of all pages that are not zeros, each once."""
        hashes = set()
        for name in sorted(os.listdir(self.path)):
            if not name.startswith("pages-"):
                continue
            with open(os.path.join(self.path, name), "rb") as file:
                while page := file.read(PAGE):
                    if page.count(0) != PAGE:
                        hashes.add(hashlib.blake2b(page, digest_size=12).digest())
        return hashes


def ingest(tool, version):
    before = tool.stored()
    os.sync()
    step = measure(tool.ingest(version), tool.environment, tool.directory)
    del step["output"]
    return dict(step, stored_bytes=tool.stored() - before)


def restore(tool, images, version):
    target = os.path.join(tool.directory, "restored")
    os.mkdir(target)
    try:
        os.sync()
        step = measure(tool.restore(version, target), tool.environment, tool.restore_directory(target))
        del step["output"]
        measure(["diff", "--recursive", "--brief", images.path, os.path.join(target, tool.restored)])
    finally:
        shutil.rmtree(target)
    return step


def middle(steps, what):
    return statistics.median(step[what] for step in steps)


def summary(first, further, restores):
    return {"first": first, "further": further, "restores": restores,
            "ingest_s": middle(further, "seconds"), "ingest_cpu_s": middle(further, "cpu_seconds"),
            "stored_bytes": middle(further, "stored_bytes"), "stored_bytes_most": max(s["stored_bytes"] for s in further),
            "restore_s": middle(restores, "seconds"), "restore_cpu_s": middle(restores, "cpu_seconds"),
            "peak_mb": max(step["peak_mb"] for step in [first, *further, *restores])}


def run_series(directory, name, options):
    tools = [TOOLS[tool](directory) for tool in options.tools]
    images = Images(directory, name, options)
    steps = {tool.name: [] for tool in tools}
    restores = {tool.name: [] for tool in tools}
    changed = []
    known = set()
    try:
        for tool in tools:
            command = tool.init()
            if command:
                measure(command, tool.environment, directory)
        for version in range(options.versions + 1):
            changed.append(images.write(version))
            if options.quick:  # the count that the bars are computed from is checked while that takes no time
                hashes = images.page_hashes()
                if len(hashes - known) * PAGE != changed[-1]:
                    raise SystemExit(f"series {name}, version {version}: {len(hashes - known)} pages are new, not as told")
                known |= hashes
            for turn in range(len(tools)):
                tool = tools[(turn + version) % len(tools)]
                steps[tool.name].append(ingest(tool, version))
        for turn in range(options.restores * len(tools)):
            tool = tools[(turn + turn // len(tools)) % len(tools)]
            restores[tool.name].append(restore(tool, images, options.versions))
    finally:
        for tool in tools:
            tool.remove()
        shutil.rmtree(images.path, ignore_errors=True)
    return {"series": name, "mib": options.mib, "changed_bytes": changed[1:], "first_bytes": changed[0], "load": os.getloadavg()[0],
            "tools": {key: summary(steps[key][0], steps[key][1:], restores[key]) for key in steps}}


def bar(what, value, limit, unit):
    return {"what": what, "value": value, "limit": limit, "unit": unit, "held": value <= limit}


def bars(result):
    """What ours is held to in this series, as far as it and peers took part."""
    ours = result["tools"].get("cacs")
    if not ours:
        return []
    found = []
    allowed = [size + (256 << 10) if result["series"] == "0.1" else 1.15 * size for size in result["changed_bytes"]]
    worst = max(range(len(allowed)), key=lambda i: ours["further"][i]["stored_bytes"] / allowed[i])
    found.append(bar("stored", ours["further"][worst]["stored_bytes"] / 1e6, allowed[worst] / 1e6, "MB"))
    peers = {name: tool for name, tool in result["tools"].items() if TOOLS[name].peer}
    if peers:
        factor = 1 if result["series"] in ("25", "100") else 4
        found.append(bar("ingest", ours["ingest_s"], min(tool["ingest_s"] for tool in peers.values()) / factor, "s"))
        found.append(bar("restore", ours["restore_s"], min(tool["restore_s"] for tool in peers.values()), "s"))
    return found


def show(result):
    print(f"\nseries {result['series']}: {result['mib']} MiB, {statistics.median(result['changed_bytes']) / 1e6:.1f} MB of pages new in"
          f" each further version; load {result['load']:.1f}")
    print(f"  {'':<11} {'ingest':>8} {'CPU':>7} {'stored':>9} {'restore':>8} {'CPU':>7} {'memory':>8} {'first':>7} {'stored':>9}")
    for name, tool in result["tools"].items():
        print(f"  {name:<11} {tool['ingest_s']:6.2f} s {tool['ingest_cpu_s']:5.2f} s {tool['stored_bytes'] / 1e6:6.2f} MB"
              f" {tool['restore_s']:6.2f} s {tool['restore_cpu_s']:5.2f} s {tool['peak_mb']:5.0f} MB"
              f" {tool['first']['seconds']:5.1f} s {tool['first']['stored_bytes'] / 1e6:6.1f} MB")
    for held in result["bars"]:
        print(f"  {held['what']:<8} {held['value']:.3f} {held['unit']}, at most {held['limit']:.3f}:"
              f" {'held' if held['held'] else 'NOT HELD'}")
    sys.stdout.flush()


def run_memory(directory, options):
    """Only ours: a first version, a further one and a restore of an image that is large."""
    large = argparse.Namespace(**dict(vars(options), mib=options.memory_mib, tools=["cacs"], versions=1, restores=1))
    result = run_series(directory, "5", large)
    result.update(series="memory", bars=[bar("memory", result["tools"]["cacs"]["peak_mb"], 200, "MB")])
    return result


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, help="size of the image (512; quick: 64)")
    parser.add_argument("--versions", type=int, help="further versions (4; quick: 2)")
    parser.add_argument("--restores", type=int, help="of the last version, by each tool (3; quick: 1)")
    parser.add_argument("--memory-mib", type=int, help="size of the image for the bar of memory (4096; quick: 0, which is none)")
    parser.add_argument("--series", type=lambda text: text.split(","), default=SERIES)
    parser.add_argument("--tools", type=lambda text: text.split(","), default=["cacs", "restic", "borg", "casync"])
    parser.add_argument("--tuned", action="store_true", help="also borg with chunks of a page, beside the bars")
    parser.add_argument("--quick", action="store_true", help="small, and with the generator checked")
    parser.add_argument("--require", choices=["nothing", "stored", "all"], default="nothing", help="bars that must be held")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", default="/tmp", help="where the images and repositories are made, on a real disk")
    parser.add_argument("--out", default=os.path.join(ROOT, "build/bench"))
    options = parser.parse_args()
    defaults = {"mib": (512, 64), "versions": (4, 2), "restores": (3, 1), "memory_mib": (4096, 0)}
    for key, values in defaults.items():
        if getattr(options, key) is None:
            setattr(options, key, values[options.quick])
    if options.tuned:
        options.tools.append("borg-fixed")
    return options


def check_options(options):
    for tool in options.tools:
        if tool not in TOOLS:
            raise SystemExit(f"no tool is called {tool}: there are {', '.join(TOOLS)}")
        if not shutil.which(TOOLS[tool].program):
            raise SystemExit(f"{TOOLS[tool].program} is not installed: run scripts/install-deps.sh and, for our own programs, "
                             "scripts/build.sh release image_series versions_tool")
    needed = (len(options.tools) * (options.versions + 1) + 2) * max(options.mib, options.memory_mib // 4) << 20
    free = shutil.disk_usage(options.work).free
    if free < needed:
        raise SystemExit(f"{options.work} has {free >> 20} MiB free and {needed >> 20} are needed: give another --work or a smaller --mib")


def main():
    options = parse_options()
    check_options(options)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))
    directory = tempfile.mkdtemp(prefix="cacs-versions-", dir=options.work)
    results = []
    try:
        for name in options.series:
            result = run_series(directory, name, options)
            result["bars"] = bars(result)
            results.append(result)
            show(result)
            write_result(options.out, "versions", {"results": results})  # what there is, should a later series fail
        if options.memory_mib and "cacs" in options.tools:
            results.append(run_memory(directory, options))
            show(results[-1])
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    write_result(options.out, "versions", {"results": results})
    plot_versions(options.out, [result for result in results if result["series"] != "memory"])
    missed = [f"{result['series']}: {held['what']}" for result in results for held in result["bars"] if not held["held"]]
    print(f"\nnot held: {', '.join(missed) or 'none'}")
    if [miss for miss in missed if options.require == "all" or (options.require == "stored" and miss.endswith("stored"))]:
        sys.exit(1)


if __name__ == "__main__":
    main()
