#!/usr/bin/env python3
"""How memory and time of a repository grow with what is stored, up to 1 TiB (--gib 1024: about 10 GB of disk and half
an hour): opening it, storing a further version, restoring, collecting half of it; and how long 100,000 checkpoints take
to list. Each step is a process of its own, whose peak of memory is taken. Fails when memory grows by more than 256 KiB
for each GiB stored, or a list takes more than a second."""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TOOL = os.path.join(ROOT, "build/release/bench/scale_tool")
STEPS = ["open", "write", "restore", "collect"]
ALLOWED_KIB = 256


def run(step, where, *number):
    done = subprocess.run([TOOL, step, where, *map(str, number)], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def disk_bytes(directory):
    return sum(os.stat(os.path.join(path, name)).st_size for path, _, names in os.walk(directory) for name in names)


def measure(work, gib):
    where = os.path.join(work, f"repository-{gib}")
    results = {"gib": gib, "fill": run("fill", where, gib), "disk_bytes": disk_bytes(where)}
    for step in STEPS:
        results[step] = run(step, where)
    shutil.rmtree(where)
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gib", type=int, default=256, help="the larger repository (default 256)")
    parser.add_argument("--checkpoints", type=int, default=100000, help="how many to list (0: none)")
    parser.add_argument("--directory", help="where to work (default: a temporary directory)")
    parser.add_argument("--out", default=os.path.join(ROOT, "build/bench"))
    arguments = parser.parse_args()
    os.makedirs(arguments.out, exist_ok=True)
    failed = []
    with tempfile.TemporaryDirectory(prefix="cacs-scale-", dir=arguments.directory) as work:
        small, large = (measure(work, gib) for gib in (max(arguments.gib // 8, 8), arguments.gib))
        report = {"small": small, "large": large, "growth_kib_per_gib": {}}
        print(f"{'step':10}{small['gib']:>10} GiB{large['gib']:>10} GiB{'KiB a GiB':>12}{'seconds':>10}")
        for step in ["fill", *STEPS]:
            growth = (large[step]["peak_kib"] - small[step]["peak_kib"]) / (large["gib"] - small["gib"])
            report["growth_kib_per_gib"][step] = growth
            print(f"{step:10}{small[step]['peak_kib'] / 1024:>10.0f} MiB{large[step]['peak_kib'] / 1024:>10.0f} MiB"
                  f"{growth:>12.0f}{large[step]['seconds']:>10.1f}")
            if growth > ALLOWED_KIB:
                failed.append(f"{step}: memory grows by {growth:.0f} KiB for each GiB stored")
        if arguments.checkpoints:
            where = os.path.join(work, "list")
            run("manifests", where, arguments.checkpoints)
            first = run("list", where)
            times = [run("list", where)["list_seconds"] for _ in range(5)]
            report["list"] = {"checkpoints": first["checkpoints"], "first": first["list_seconds"], "seconds": times}
            median = statistics.median(times)
            print(f"{first['checkpoints']} checkpoints are listed in {median:.2f} s, the first time in "
                  f"{first['list_seconds']:.2f} s")
            if median > 1:
                failed.append(f"{first['checkpoints']} checkpoints take {median:.2f} s to list")
    with open(os.path.join(arguments.out, "scale.json"), "w", encoding="utf-8") as file:
        json.dump(report, file, indent=1)
    for line in failed:
        print(line, file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
