#!/usr/bin/env python3
"""Submission, checkpoint and restart against the number of pods, in phases, with sizes: the form of the CACS paper's
Figure 3 and Table 2.

Each pod runs tests/programs/memory.c with so many MiB. The first is the command's; it launches in the others, as mpirun
does. Times are medians over rounds, as the server's own events and the cut tell them; the wall clock of whoever asks is
beside them. Needs root and the engine. Nothing is held to a bar here: one machine with few processors is no cluster.

  bench/pods_bench.py [--pods 1,2,4,8,16,32] [--nodes 1] [--mib 16] [--rounds 3] [--out build/bench]
"""
import argparse
import datetime
import os
import shutil
import statistics
import tempfile
import time

from harness import PROGRAMS, ROOT, Server, plot_lines, wait_for, write_result

MEMORY = os.path.join(PROGRAMS, "memory")
CUT_PHASES = ["presync_ms", "lock_ms", "dump_ms", "snapshot_ms", "barrier_ms", "frozen_ms", "store_ms"]


def command(pods, mib):
    launches = "".join(f"/.cacs/cacs-rsh -n pod-{i} {MEMORY} {mib} 0 >/tmp/{i} & " for i in range(1, pods))
    return ["sh", "-c", f"{launches}exec {MEMORY} {mib} 0"]


def when(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def state_changes(server, application):
    """[(state, time)] of the application's life, oldest first."""
    events = server.call("GET", f"/v1/coordinators/{application}")["events"]
    changes = [(event["message"].split(":")[0], when(event["time"])) for event in events if event["kind"] == "application.state"]
    return sorted(changes, key=lambda change: change[1])


def phases_of(changes):
    """Milliseconds in each state, from the first change of the list to the last."""
    spent = {}
    for (state, begun), (_, ended) in zip(changes, changes[1:]):
        spent[state] = spent.get(state, 0) + 1000 * (ended - begun)
    return spent


def wait_incarnation(server, application, incarnation):
    def there():
        view = server.call("GET", f"/v1/coordinators/{application}")
        if view["state"] == "ERROR":
            raise SystemExit(f"{application}: {view['reason']}")
        return view["state"] == "RUNNING" and view["incarnation"] >= incarnation

    wait_for("RUNNING", there, 600)


def one_round(server, pods, options):
    began = time.monotonic()
    application = server.submit({"command": command(pods, options.mib), "pods": pods, "nodes": {"count": min(options.nodes, pods)},
                                 "env": {"OMP_NUM_THREADS": "1"}})
    wait_incarnation(server, application, 1)
    result = {"submit": {"wall_ms": 1000 * (time.monotonic() - began), "phases": phases_of(state_changes(server, application))}}
    # All are up when all processes are there; what the others print goes to files in the first pod.
    wait_for("the program", lambda: "ready" in server.text(application), 300)
    began = time.monotonic()
    checkpoint = server.checkpoint(application)
    result["checkpoint"] = {"wall_ms": 1000 * (time.monotonic() - began),
                            "phases": {name: checkpoint["timings"].get(name, 0) for name in CUT_PHASES}}
    result["size_bytes"] = checkpoint["size_bytes"]
    result["stored_bytes"] = checkpoint["stored_bytes"]
    before = len(state_changes(server, application))
    began = time.monotonic()
    server.call("POST", f"/v1/coordinators/{application}/checkpoints/{checkpoint['id']}", {})
    wait_incarnation(server, application, 2)
    result["restart"] = {"wall_ms": 1000 * (time.monotonic() - began),
                         "phases": phases_of(state_changes(server, application)[before:])}
    server.call("DELETE", "/v1/coordinators/" + application)
    wait_for("its end", lambda: server.gone(application), 300)
    server.applications.remove(application)
    return result


def medians(rounds):
    def middle(values):
        return statistics.median(values)

    merged = {name: middle([each[name] for each in rounds]) for name in ("size_bytes", "stored_bytes")}
    for act in ("submit", "checkpoint", "restart"):
        names = {name for each in rounds for name in each[act]["phases"]}
        merged[act] = {"wall_ms": middle([each[act]["wall_ms"] for each in rounds]),
                       "phases": {name: middle([each[act]["phases"].get(name, 0) for each in rounds]) for name in sorted(names)}}
    return merged


def plot(path, results):
    """Seconds against pods: a line for each act."""
    counts = sorted(results)
    acts = {"submit": "#22aa77", "checkpoint": "#cc6622", "restart": "#3366cc"}
    plot_lines(path, "seconds against pods", counts,
               {act: (colour, [results[count][act]["wall_ms"] / 1000 for count in counts]) for act, colour in acts.items()})


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pods", default="1,2,4,8,16,32")
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--mib", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", default=os.path.join(ROOT, "build/bench"))
    options = parser.parse_args()
    directory = tempfile.mkdtemp(prefix="cacs-pods-", dir="/tmp")
    server = Server(directory, nodes=options.nodes)
    results = {}
    try:
        for count in [int(word) for word in options.pods.split(",")]:
            results[count] = medians([one_round(server, count, options) for _ in range(options.rounds)])
            told = results[count]
            print(f"{count:3} pods on {min(options.nodes, count)} nodes: "
                  f"image {told['size_bytes'] / 1e6:.0f} MB, stored {told['stored_bytes'] / 1e6:.0f} MB", flush=True)
            for act in ("submit", "checkpoint", "restart"):
                phases = ", ".join(f"{name} {ms:.0f}" for name, ms in told[act]["phases"].items() if ms >= 1)
                print(f"      {act:10} {told[act]['wall_ms']:7.0f} ms   ({phases})", flush=True)
    finally:
        server.close()
        shutil.rmtree(directory, ignore_errors=True)
    name = f"pods-{options.nodes}"
    write_result(options.out, name, {"mib": options.mib, "rounds": options.rounds, "pods": results})
    plot(os.path.join(options.out, name + ".svg"), results)


if __name__ == "__main__":
    main()
