#!/usr/bin/env python3
"""How long a checkpoint freezes a program, against bare `criu dump` of the same program to the same file system.

With shared memory bare criu saves it only where it has no name (a file in /dev/shm belongs to the host), so that is what
its side gets: both sides save the same bytes. Before each measurement dirty pages are written back, for both sides.

The program (tests/programs/memory.c) watches the clock itself: the longest time it did not run is the time it was frozen.
Rounds alternate, A B A B, and the medians are compared, because the machine may be shared. Needs root and the engine.

  bench/frozen_bench.py [--mib 512] [--shm-mib 0] [--delta-files 0] [--rounds 5] [--out build/bench]
"""
import argparse
import http.client
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CACS = os.path.join(ROOT, "build/release/bin/cacs")
MEMORY = os.path.join(ROOT, "build/release/programs/memory")
CRIU = os.environ.get("CACS_CRIU", os.path.join(ROOT, "build/engine/criu/bin/criu"))


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=300)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(300)
        self.sock.connect(self.path)


def wait_for(what, done, limit=120):
    end = time.monotonic() + limit
    while not done():
        if time.monotonic() > end:
            raise SystemExit(f"waited in vain for {what}")
        time.sleep(0.05)


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
        self.state = os.path.join(directory, "state")
        self.socket = os.path.join(directory, "api.sock")
        self.log = open(os.path.join(directory, "server.log"), "wb")
        self.server = subprocess.Popen([CACS, "server", "--state", self.state, "--listen", "unix:" + self.socket],
                                       stdout=self.log, stderr=self.log, env=dict(os.environ, CACS_CRIU=CRIU))
        wait_for("the server", lambda: os.path.exists(self.socket))
        command = [MEMORY, str(options.mib), str(options.shm_mib)]
        if options.delta_files > 0:
            # A delta of many files, of which a few change and one large one grows before every checkpoint.
            script = (f"mkdir /many && cd /many && for d in $(seq 1 {options.delta_files // 100}); do mkdir $d; "
                      f"for f in $(seq 1 100); do head -c 102400 /dev/urandom > $d/$f; done; done; "
                      f"head -c {2 << 30} /dev/urandom > /large; exec {' '.join(command)}")
            command = ["bash", "-c", script]
        self.id = self.call("POST", "/v1/coordinators", {"command": command})["id"]
        wait_for("the program", lambda: "ready" in self.text(), 600)
        self.delta_files = options.delta_files
        self.timings = []

    def call(self, method, target, body=None):
        connection = UnixConnection(self.socket)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        connection.request(method, target, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        if answer.status >= 400:
            raise SystemExit(f"{method} {target}: {answer.status} {data.decode()}")
        return json.loads(data) if answer.getheader("Content-Type", "").startswith("application/json") else data.decode()

    def text(self):
        text = ""
        while True:
            more = self.call("GET", f"/v1/coordinators/{self.id}/logs?offset={len(text)}")
            if not more:
                return text
            text += more

    def save(self):
        time.sleep(1.1)
        before = len(self.text())
        operation = self.call("POST", f"/v1/coordinators/{self.id}/checkpoints", {})
        wait_for("the checkpoint", lambda: self.call("GET", "/v1/operations/" + operation["id"])["state"] != "RUNNING", 600)
        done = self.call("GET", "/v1/operations/" + operation["id"])
        if done["state"] != "SUCCEEDED":
            raise SystemExit(json.dumps(done))
        wait_for("the next gap", lambda: self.text()[before:].count("gap ") >= 2)
        checkpoint = self.call("GET", f"/v1/coordinators/{self.id}/checkpoints/{done['checkpoint']}")
        self.timings.append(dict(checkpoint["timings"], size=checkpoint["size_bytes"], stored=checkpoint["stored_bytes"]))
        return longest_gap(self.text(), before)

    def touch(self):
        for name in os.listdir("/proc"):
            if not name.isdigit():
                continue
            try:
                with open(f"/proc/{name}/environ", "rb") as environ, open(f"/proc/{name}/comm") as comm:
                    if comm.read().strip() == "memory" and f"CACS_APPLICATION={self.id}".encode() in environ.read():
                        os.kill(int(name), signal.SIGUSR1)
            except OSError:
                continue
        if self.delta_files > 0:
            script = ("cd /many && for d in 1 2; do for f in $(seq 1 100); do head -c 102400 /dev/urandom > $d/$f; done; done; "
                      "head -c 1048576 /dev/urandom >> /large")
            self.call("POST", f"/v1/coordinators/{self.id}/exec", {"command": ["bash", "-c", script], "timeout_ms": 120000})

    def close(self):
        self.call("DELETE", "/v1/coordinators/" + self.id)

        def gone():
            connection = UnixConnection(self.socket)
            connection.request("GET", "/v1/coordinators/" + self.id)
            return connection.getresponse().status == 404
        wait_for("the application's end", gone)
        self.server.send_signal(signal.SIGTERM)
        self.server.wait()
        try:
            with open(os.path.join(self.state, "nodes/local-0/agent.pid")) as file:
                os.kill(json.load(file)["pid"], signal.SIGTERM)
        except (OSError, ValueError):
            pass
        mount = os.path.join(self.state, "nodes/local-0/delta")
        wait_for("the agent's end", lambda: not os.path.ismount(mount), 30)
        self.log.close()


def plot(path, title, medians):
    """A bar for each side, as SVG."""
    top = max(medians.values())
    bars = ""
    for i, (name, value) in enumerate(medians.items()):
        width = 400 * value / top
        bars += (f'<text x="10" y="{62 + 50 * i}">{name}</text>'
                 f'<rect x="110" y="{45 + 50 * i}" width="{width:.0f}" height="26" fill="{["#888", "#2a7"][i % 2]}"/>'
                 f'<text x="{118 + width:.0f}" y="{63 + 50 * i}">{value:.0f} ms</text>')
    with open(path, "w") as out:
        out.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="620" height="150" font-family="sans-serif" font-size="14">'
                  f'<text x="10" y="24" font-weight="bold">{title}</text>{bars}</svg>\n')


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
    os.makedirs(options.out, exist_ok=True)
    with open(os.path.join(options.out, name + ".json"), "w") as out:
        json.dump({"bench": name, "gaps_ms": gaps, "medians_ms": medians, "ratio": ratio, "phases": sides[1].timings}, out, indent=1)
    plot(os.path.join(options.out, name + ".svg"), title, medians)


main()
