"""A server of its own for a benchmark: started in a directory, driven over its unix socket, ended with all it made."""
import http.client
import json
import os
import signal
import socket
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CACS = os.path.join(ROOT, "build/release/bin/cacs")
PROGRAMS = os.path.join(ROOT, "build/release/programs")
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


class Server:
    """`cacs server` with its state below `directory`; `listen` is one more address for it, `nodes` how many it has,
    `engine` what it saves programs with."""

    def __init__(self, directory, listen=None, nodes=1, engine=CRIU):
        self.nodes = nodes
        self.state = os.path.join(directory, "state")
        self.socket = os.path.join(directory, "api.sock")
        self.log = open(os.path.join(directory, "server.log"), "wb")
        addresses = ["--listen", "unix:" + self.socket] + (["--listen", listen] if listen else [])
        self.process = subprocess.Popen([CACS, "server", "--state", self.state, "--local-nodes", str(nodes)] + addresses, stdout=self.log,
                                        stderr=self.log, env=dict(os.environ, CACS_CRIU=engine))
        wait_for("the server", lambda: os.path.exists(self.socket))
        self.applications = []

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

    def submit(self, asr):
        self.applications.append(self.call("POST", "/v1/coordinators", asr)["id"])
        return self.applications[-1]

    def text(self, application):
        text = ""
        while True:
            more = self.call("GET", f"/v1/coordinators/{application}/logs?offset={len(text)}")
            if not more:
                return text
            text += more

    def checkpoint(self, application):
        """Takes one; its representation once it is committed."""
        operation = self.call("POST", f"/v1/coordinators/{application}/checkpoints", {})
        target = "/v1/operations/" + operation["id"]
        wait_for("the checkpoint", lambda: self.call("GET", target)["state"] != "RUNNING", 600)
        done = self.call("GET", target)
        if done["state"] != "SUCCEEDED":
            raise SystemExit(json.dumps(done))
        return self.call("GET", f"/v1/coordinators/{application}/checkpoints/{done['checkpoint']}")

    def signal_program(self, application, comm, number):
        for name in os.listdir("/proc"):
            if not name.isdigit():
                continue
            try:
                with open(f"/proc/{name}/environ", "rb") as environ, open(f"/proc/{name}/comm") as told:
                    if told.read().strip() == comm and f"CACS_APPLICATION={application}".encode() in environ.read():
                        os.kill(int(name), number)
            except OSError:
                continue

    def gone(self, application):
        connection = UnixConnection(self.socket)
        connection.request("GET", "/v1/coordinators/" + application)
        return connection.getresponse().status == 404

    def close(self):
        for application in self.applications:
            self.call("DELETE", "/v1/coordinators/" + application)
        for application in self.applications:
            wait_for("the application's end", lambda: self.gone(application))
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        for node in range(self.nodes):
            directory = os.path.join(self.state, f"nodes/local-{node}")
            try:
                with open(os.path.join(directory, "agent.pid")) as file:
                    os.kill(json.load(file)["pid"], signal.SIGTERM)
            except (OSError, ValueError):
                pass
            wait_for("the agent's end", lambda: not os.path.ismount(os.path.join(directory, "delta")), 30)
        self.log.close()


def write_result(out, name, result):
    os.makedirs(out, exist_ok=True)
    with open(os.path.join(out, name + ".json"), "w") as file:
        json.dump(dict({"bench": name}, **result), file, indent=1)


def plot(out, name, title, medians, unit):
    """A bar for each side, as SVG."""
    top = max(medians.values())
    bars = ""
    for i, (side, value) in enumerate(medians.items()):
        width = 400 * value / top
        bars += (f'<text x="10" y="{62 + 50 * i}">{side}</text>'
                 f'<rect x="130" y="{45 + 50 * i}" width="{width:.0f}" height="26" fill="{["#888", "#2a7"][i % 2]}"/>'
                 f'<text x="{138 + width:.0f}" y="{63 + 50 * i}">{value:.0f} {unit}</text>')
    with open(os.path.join(out, name + ".svg"), "w") as file:
        file.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="640" height="150" font-family="sans-serif" font-size="14">'
                   f'<text x="10" y="24" font-weight="bold">{title}</text>{bars}</svg>\n')


def plot_lines(path, title, counts, series, digits=1):
    """A line for each of `series`, {name: (colour, [a value for each of `counts`, or None])}, as SVG; what is counted
    is spaced evenly."""
    width, height, left, right, top = 640, 360, 70, 150, 40
    highest = max(value for _, values in series.values() for value in values if value is not None)

    def place(index, value):
        x = left + (width - left - right) * (index / max(1, len(counts) - 1))
        return x, top + (height - top - 50) * (1 - value / highest)

    parts = []
    for step in range(6):
        _, y = place(0, highest * step / 5)
        parts.append(f'<line x1="{left}" x2="{width - right}" y1="{y:.0f}" y2="{y:.0f}" stroke="#ddd"/>'
                     f'<text x="{left - 8}" y="{y + 4:.0f}" text-anchor="end">{highest * step / 5:.{digits}f}</text>')
    for index, count in enumerate(counts):
        x, y = place(index, 0)
        parts.append(f'<text x="{x:.0f}" y="{y + 20:.0f}" text-anchor="middle">{count}</text>')
    for name, (colour, values) in series.items():
        points = [place(index, value) for index, value in enumerate(values) if value is not None]
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="' +
                     " ".join(f"{x:.1f},{y:.1f}" for x, y in points) + '"/>')
        parts.append(f'<text x="{points[-1][0] + 10:.0f}" y="{points[-1][1] + 4:.0f}" fill="{colour}">{name}</text>')
    with open(path, "w") as file:
        file.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="13">'
                   f'<rect width="100%" height="100%" fill="#fff"/><text x="{left}" y="20" font-weight="bold">{title}</text>'
                   f'{"".join(parts)}</svg>\n')
