#!/usr/bin/env python3
"""How long the coordination of a checkpoint takes: the cut over n pods with an engine that does nothing
(bench/null_engine.c), real server, agents, shims and, between nodes, TLS.

The time is the server's own (`coordination_ms`): from its first command until every pod was told to go on, and has. It is
to stay under 10 ms + 2 ms * log2(n). Beside it: how much of it passed until all were frozen, the whole checkpoint, the
processor time that server, agents and shims took for it, and what it takes on this machine to start as many processes as
there are engines. With --scripts the engine speaks through the action script, as CRIU does: a process for each of four
actions more. Needs root.

  bench/cut_bench.py [--pods 1,2,4,8,16,32] [--nodes 1,2,4] [--rounds 15] [--scripts] [--prefer] [--out build/bench]
"""
import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from harness import ROOT, Server, plot_lines, wait_for, write_result

ENGINE = os.path.join(ROOT, "build/release/bench/null_engine")
COLOURS = ["#22aa77", "#cc6622", "#3366cc", "#aa33aa"]


def bar_ms(pods):
    return 10 + 2 * math.log2(pods)


def processor_ms(pid):
    """What a process has used until now, with the threads that have ended."""
    try:
        return 1000 * time.clock_gettime((~pid << 3) | 2)  # its clock of processor time, as clock_getcpuclockid(3) says
    except OSError:
        return 0.0


def pids_below(directory, name):
    pids = []
    for path, _, files in os.walk(directory):
        if name in files:
            with open(os.path.join(path, name)) as file:
                pids.append(json.load(file)["pid"])
    return pids


class Meter:
    """The processor time of the service's processes, by what they are."""

    def __init__(self, server):
        nodes = os.path.join(server.state, "nodes")
        self.pids = {"server": [server.process.pid], "agents": pids_below(nodes, "agent.pid"), "shims": pids_below(nodes, "shim.json")}

    def prefer(self, wanted):
        """Before whatever else runs on the machine, or no longer: pods cannot be made meanwhile."""
        policy, priority = (os.SCHED_RR, 1) if wanted else (os.SCHED_OTHER, 0)
        for pid in [pid for pids in self.pids.values() for pid in pids]:
            for thread in os.listdir(f"/proc/{pid}/task"):
                try:
                    os.sched_setscheduler(int(thread), policy, os.sched_param(priority))
                except ProcessLookupError:
                    continue  # it has ended

    def read(self):
        return {name: sum(processor_ms(pid) for pid in pids) for name, pids in self.pids.items()}


def starts_ms(engine, count):
    """Until so many processes have started and ended, all at once."""
    times = [float(subprocess.run([engine, "start", str(count)], stdout=subprocess.PIPE, check=True).stdout) for _ in range(9)]
    return statistics.median(times)


def measure(server, engine, pods, options):
    application = server.submit({"command": ["sleep", "100000"], "pods": pods, "nodes": {"count": min(server.nodes, pods)}})
    wait_for("RUNNING", lambda: server.call("GET", f"/v1/coordinators/{application}")["state"] == "RUNNING", 600)
    for _ in range(2):
        server.checkpoint(application)  # the first one reads everything
    meter = Meter(server)
    if options.prefer:
        meter.prefer(True)
    rounds = []
    for _ in range(options.rounds):
        time.sleep(0.3)
        before = meter.read()
        begun = time.monotonic()
        checkpoint = server.checkpoint(application)
        wall = 1000 * (time.monotonic() - begun)
        after = meter.read()
        rounds.append({"checkpoint_ms": wall, "timings": checkpoint["timings"], "processor_ms": {name: after[name] - before[name] for name in after}})
    if options.prefer:
        meter.prefer(False)
    server.call("DELETE", "/v1/coordinators/" + application)
    wait_for("its end", lambda: server.gone(application), 300)
    server.applications.remove(application)

    def median(of):
        return statistics.median(of(each) for each in rounds)

    return {"pods": pods, "nodes": min(server.nodes, pods), "bar_ms": bar_ms(pods),
            "coordination_ms": median(lambda each: each["timings"]["coordination_ms"]),
            "prepare_ms": median(lambda each: each["timings"]["prepare_ms"]),
            "frozen_ms": median(lambda each: each["timings"]["frozen_ms"]),
            "checkpoint_ms": median(lambda each: each["checkpoint_ms"]),
            "processor_ms": {name: median(lambda each, name=name: each["processor_ms"][name]) for name in meter.pids},
            "starts_ms": starts_ms(engine, pods), "rounds": rounds}


def show(result):
    used = result["processor_ms"]
    held = "" if result["coordination_ms"] <= result["bar_ms"] else "   NOT HELD"
    print(f"{result['pods']:5}{result['nodes']:6}{result['coordination_ms']:11.1f}{result['bar_ms']:7.1f}{result['prepare_ms']:10.1f}"
          f"{result['frozen_ms']:8.0f}{result['checkpoint_ms']:12.0f}{result['starts_ms']:8.1f}"
          f"{used['server']:9.1f}{used['agents']:8.1f}{used['shims']:8.1f}{held}", flush=True)


def draw(path, results):
    counts = sorted({each["pods"] for each in results})
    series = {}
    for index, nodes in enumerate(sorted({each["asked_nodes"] for each in results})):
        found = {each["pods"]: each["coordination_ms"] for each in results if each["asked_nodes"] == nodes}
        series[f"{nodes} node{'s' if nodes > 1 else ''}"] = (COLOURS[index % len(COLOURS)], [found.get(count) for count in counts])
    series["to hold"] = ("#cc2222", [bar_ms(count) for count in counts])
    plot_lines(path, "coordination of a checkpoint, ms against pods", counts, series, 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", default="1,2,4,8,16,32")
    parser.add_argument("--nodes", default="1,2,4")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--scripts", action="store_true", help="the engine starts a process for each action, as CRIU does")
    parser.add_argument("--prefer", action="store_true", help="the service goes before others: for a machine that is not idle")
    parser.add_argument("--out", default=os.path.join(ROOT, "build/bench"))
    options = parser.parse_args()
    counts = [int(word) for word in options.pods.split(",")]
    results = []
    directory = tempfile.mkdtemp(prefix="cacs-cut-", dir="/tmp")
    engine = os.path.join(directory, "null_engine" + ("-scripts" if options.scripts else ""))
    try:
        shutil.copy(ENGINE, engine)
        print(" pods nodes  coord. ms    bar  prepared  frozen  checkpoint  starts   processor ms: server, agents, shims")
        for nodes in [int(word) for word in options.nodes.split(",")]:
            place = os.path.join(directory, str(nodes))
            os.mkdir(place)
            server = Server(place, nodes=nodes, engine=engine)
            try:
                for pods in [count for count in counts if nodes == 1 or count >= nodes]:
                    results.append(dict(measure(server, engine, pods, options), asked_nodes=nodes))
                    show(results[-1])
            finally:
                server.close()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    name = "cut-scripts" if options.scripts else "cut"
    write_result(options.out, name, {"rounds": options.rounds, "processors": os.cpu_count(), "results": results})
    draw(os.path.join(options.out, name + ".svg"), results)
    missed = [each for each in results if each["coordination_ms"] > each["bar_ms"]]
    for each in missed:
        print(f"{each['pods']} pods on {each['nodes']} nodes: {each['coordination_ms']:.1f} ms, to hold: {each['bar_ms']:.1f}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
