#!/usr/bin/env python3
"""The real server with one application: what it takes while nothing happens, and how many GETs of that application it answers
with wrk on two cores, over TCP with a token. The peer of the GETs is /healthz of the same server in the same run: the floor.

  bench/server_bench.py [--seconds 20] [--out build/bench]
"""
import argparse
import os
import re
import shutil
import socket
import statistics
import subprocess
import tempfile
import time

from harness import ROOT, Server, plot, wait_for, write_result

TICK = os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def resident_mb(pid):
    with open(f"/proc/{pid}/status") as file:
        return int(re.search(r"VmRSS:\s+(\d+) kB", file.read()).group(1)) / 1000


def requests_a_second(url, token):
    out = subprocess.run(["wrk", "-t2", "-c32", "-d3s", "-H", "Authorization: Bearer " + token, url], check=True,
                         stdout=subprocess.PIPE, text=True).stdout
    if "Non-2xx" in out:
        raise SystemExit(out)
    return float(re.search(r"Requests/sec:\s+([0-9.]+)", out).group(1))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--out", default=os.path.join(ROOT, "build/bench"))
    options = parser.parse_args()
    directory = tempfile.mkdtemp(prefix="cacs-server-", dir="/tmp")
    address = f"http://127.0.0.1:{free_port()}"
    server = Server(directory, address)
    try:
        with open(os.path.join(server.state, "token")) as file:
            token = file.read().strip()
        application = server.submit({"command": ["sleep", "infinity"]})
        target = "/v1/coordinators/" + application
        wait_for("the program", lambda: server.call("GET", target)["state"] == "RUNNING")
        server.checkpoint(application)
        time.sleep(3)
        pids = {"server": server.process.pid}
        agent = subprocess.run(["pgrep", "-P", str(server.process.pid)], stdout=subprocess.PIPE, text=True).stdout.split()
        if agent:
            pids["agent"] = int(agent[0])
        begun = {name: cpu_seconds(pid) for name, pid in pids.items()}
        time.sleep(options.seconds)
        idle = {name: {"cpu_percent": 100 * (cpu_seconds(pid) - begun[name]) / options.seconds,
                       "resident_mb": resident_mb(pid)} for name, pid in pids.items()}
        for name, figures in idle.items():
            print(f"  idle {name}: {figures['resident_mb']:.1f} MB, {figures['cpu_percent']:.2f} % of a core")
        rates = {"/healthz": [], "application": []}
        for _ in range(3):
            rates["/healthz"].append(requests_a_second(address + "/healthz", token))
            rates["application"].append(requests_a_second(address + target, token))
    finally:
        server.close()
        shutil.rmtree(directory, ignore_errors=True)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    print(f"  GET of an application {medians['application']:.0f}/s (to hold: 10000), of /healthz {medians['/healthz']:.0f}/s, "
          f"ratio {medians['application'] / medians['/healthz']:.2f}")
    write_result(options.out, "server", {"idle": idle, "requests_per_second": rates, "medians": medians})
    plot(options.out, "server", "GETs a second", medians, "/s")


if __name__ == "__main__":
    main()
