#!/usr/bin/env python3
"""HPL with and without checkpoints, in the form of Okorafor's evaluation (VMCR, VI), and the bounds of their model.

High-Performance Linpack (of Debian's `hpcc`, two ranks, each in a pod of its own) solves a problem of the same size again
and again, for as long as asked; pairs of runs, one of them saved at the interval, in alternating order. The time is that
which HPL itself reports. The overhead is to stay under 3 %.

Their model: with n checkpoints T_mpi + n * T_mg <= T <= T_mpi + n * T_cp. T_mpi: without checkpoints. T_cp, the upper
bound: what a checkpoint takes in all, as if nothing went on meanwhile. T_mg, the lower one, is a live migration there: the
task stands still for the last piece only. Here it is the time for which the program stands still (`frozen_ms`); there is no
migration. Only checkpoints while HPL was at work are counted: hpcc has other parts. Needs root, the engine and hpcc.

  bench/hpl_bench.py [--n 5000] [--seconds 200] [--interval 60] [--pairs 2] [--out build/bench]
"""
import argparse
import datetime
import math
import os
import re
import shutil
import statistics
import sys
import tempfile

from harness import ROOT, Server, plot, wait_for, write_result

HELD = 3.0
ROW = re.compile(r"^W[RC]\S+\s+\d+\s+\d+\s+\d+\s+\d+\s+([0-9.]+)\s+\S+$", re.MULTILINE)
INPUT = """HPLinpack benchmark input file
Innovative Computing Laboratory, University of Tennessee
HPL.out
8       device out
{times}       problem sizes
{sizes}    Ns
1       NBs
80      NBs
0       PMAP
1       grids
1       Ps
2       Qs
16.0    threshold
1       panel fact
2       PFACTs
1       NBMINs
4       NBMINs
1       panels in recursion
2       NDIVs
1       recursive panel fact
1       RFACTs
1       broadcast
1       BCASTs
1       lookahead
1       DEPTHs
2       SWAP
64      swapping threshold
0       L1
0       U
1       equilibration
8       alignment
##### ignored ######
0       problem sizes for PTRANS
{first}
0       blocking sizes for PTRANS
40
"""
# How far it is is told by a file; the time of day goes with it.
SCRIPT = """touch hpccoutf.txt
tail ---disable-inotify -s 0.2 -n +1 -F hpccoutf.txt 2>/dev/null | while read -r line; do
  case $line in Begin*HPL*|End*HPL*) echo "$(date +%s.%N) $line";; esac
done &
mpirun -np 2 hpcc && sleep 1 && cat hpccoutf.txt"""


def when(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def run(server, options, times, interval):
    """One run: the seconds that HPL took, and the checkpoints during it."""
    text = INPUT.format(times=times, sizes=" ".join([str(options.n)] * times), first=options.n)
    asr = {"command": ["sh", "-c", SCRIPT], "pods": 2, "workdir": "/job",
           "env": {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}, "files": [{"path": "/job/hpccinf.txt", "content": text}]}
    if interval:
        asr["checkpoint"] = {"interval": f"{interval}s", "keep": 100}
    application = server.submit(asr)
    view = {}

    def ended():
        view.update(server.call("GET", f"/v1/coordinators/{application}"))
        return view["state"] in ("COMPLETED", "ERROR")

    wait_for("HPL", ended, 60 * options.seconds + 3600)
    said = server.text(application)
    rows = [float(seconds) for seconds in ROW.findall(said)]
    if view["state"] != "COMPLETED" or "Success=1" not in said or len(rows) != times or view["incarnation"] != 1:
        raise SystemExit(f"HPL did not run as it should: {view['state']}, {view.get('reason')}, {len(rows)} of {times} results")
    begun, done = (float(re.search(rf"^([0-9.]+) {word} of HPL", said, re.MULTILINE).group(1)) for word in ("Begin", "End"))
    taken = []
    for each in server.call("GET", f"/v1/coordinators/{application}/checkpoints")["items"]:
        if each["state"] == "AVAILABLE" and begun <= when(each["created_at"]) < done:
            taken.append({"seconds": when(each["available_at"]) - when(each["created_at"]),
                          "frozen_seconds": each["timings"]["frozen_ms"] / 1000, "stored_bytes": each["stored_bytes"]})
    server.call("DELETE", "/v1/coordinators/" + application)
    wait_for("its end", lambda: server.gone(application), 300)
    server.applications.remove(application)
    return sum(rows), taken


def bounds(result):
    """The model's, of a pair's measured parts."""
    taken = result["checkpoints"]
    if not taken:
        return {}
    t_mg = statistics.mean(each["frozen_seconds"] for each in taken)
    t_cp = statistics.mean(each["seconds"] for each in taken)
    n = len(taken)
    return {"n": n, "t_mg": t_mg, "t_cp": t_cp, "lower": result["without"] + n * t_mg, "upper": result["without"] + n * t_cp,
            "cost": (result["with"] - result["without"]) / n}


def show(number, result):
    print(f"pair {number}: without {result['without']:.1f} s, with {result['with']:.1f} s, overhead {result['overhead']:.2f} %")
    model = result["model"]
    if model:
        place = "within" if model["t_mg"] <= model["cost"] <= model["t_cp"] else "outside"
        print(f"   {model['n']} checkpoints; T_mg {model['t_mg']:.2f} s, T_cp {model['t_cp']:.2f} s: "
              f"{model['lower']:.1f} s <= T = {result['with']:.1f} s <= {model['upper']:.1f} s; each costs "
              f"{model['cost']:.2f} s, {place} the bounds", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=5000, help="the size of the problem")
    parser.add_argument("--seconds", type=int, default=200, help="how long HPL is to be at work in each run")
    parser.add_argument("--interval", type=int, default=60, help="seconds from one checkpoint to the next")
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--out", default=os.path.join(ROOT, "build/bench"))
    options = parser.parse_args()
    if shutil.which("hpcc") is None:
        print("hpcc is not installed: HPL is not measured")
        return 0
    directory = tempfile.mkdtemp(prefix="cacs-hpl-", dir="/tmp")
    server = Server(directory)
    pairs = []
    try:
        once, _ = run(server, options, 1, 0)
        times = max(1, math.ceil(options.seconds / once))
        print(f"HPL of {options.n} takes {once:.1f} s; {times} of them a run, saved every {options.interval} s", flush=True)
        for number in range(options.pairs):
            told = {}
            for saved in ((False, True) if number % 2 == 0 else (True, False)):
                told[saved] = run(server, options, times, options.interval if saved else 0)
            result = {"without": told[False][0], "with": told[True][0], "checkpoints": told[True][1]}
            result["overhead"] = 100 * (result["with"] / result["without"] - 1)
            result["model"] = bounds(result)
            pairs.append(result)
            show(number + 1, result)
    finally:
        server.close()
        shutil.rmtree(directory, ignore_errors=True)
    overhead = statistics.median(each["overhead"] for each in pairs)
    print(f"overhead {overhead:.2f} % (to hold: {HELD:.0f} %)")
    write_result(options.out, "hpl", {"n": options.n, "times": times, "interval_s": options.interval, "overhead_percent": overhead, "pairs": pairs})
    plot(options.out, "hpl", f"HPL, saved every {options.interval} s or not",
         {"without": statistics.median(each["without"] for each in pairs), "with": statistics.median(each["with"] for each in pairs)}, "s")
    return 1 if overhead > HELD else 0


if __name__ == "__main__":
    sys.exit(main())
