"""A real server for a test: started in a chroot and namespaces of its own, on ports of 127.0.0.1 that were free.

`serve(server)` is the main program of swift.py and its like. It writes one line of JSON when the server answers:
    {"endpoint": ..., "access_key": ..., "secret_key": ..., "region": ..., "started_ms": ...}
and then obeys lines on standard input, each answered by a line {"done": command}:
    stop    ends the processes with SIGTERM; data and ports stay
    kill    the same with SIGKILL
    start   starts them again
    freeze  stops them where they are (SIGSTOP): they take connections and say nothing
    thaw    lets them go on
At the end of standard input (also when the reader was killed), on SIGTERM and on failure, the processes are ended and
the state is removed. Should this program itself be killed, its servers die with it.
"""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import chroot

READY_SECONDS = 300  # on a machine that is busy with other things
STOP_SECONDS = 10


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that were free a moment ago; all are held until all are chosen."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def state_folder(name: str) -> pathlib.Path:
    """A new folder on a file system with user attributes, which Swift keeps its metadata in."""
    for parent in (None, chroot.cache_folder()):
        folder = pathlib.Path(tempfile.mkdtemp(prefix=f"cacs-{name}-", dir=parent))
        try:
            os.setxattr(folder, "user.cacs", b"1")
            return folder
        except OSError:
            folder.rmdir()
    raise RuntimeError(f"no file system with user attributes for the state of {name}: set TMPDIR to a folder on one")


def descendants(pid: int) -> list[int]:
    """The process and all that it and its children started."""
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return [pid, *(one for child in children for one in descendants(int(child)))]


class Server:
    """To be derived from: what runs, where it listens, what a client needs."""

    name = ""
    config_folder = "-"  # where in the chroot STATE/etc is to be seen

    def __init__(self) -> None:
        self.root = chroot.ensure(self.name)
        self.state = state_folder(self.name)
        self.processes: list[subprocess.Popen[bytes]] = []

    def configure(self) -> None:
        """Writes into self.state what does not change from one start to the next."""

    def commands(self) -> list[list[str]]:
        """What runs in the chroot, where self.state is /srv."""
        raise NotImplementedError

    def health_urls(self) -> list[str]:
        """All of them answer with success when the server is ready."""
        raise NotImplementedError

    def client(self) -> dict[str, object]:
        raise NotImplementedError

    def enter(self, command: list[str]) -> list[str]:
        """The command that runs `command` in the chroot; it dies with us, and whatever it started with it."""
        return ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private", "--pid", "--fork",
                "--kill-child=SIGKILL", str(chroot.HERE / "enter.sh"), str(self.root), str(self.state),
                self.config_folder, *command]

    def run(self, command: list[str]) -> None:
        """Runs something to its end in the chroot."""
        result = subprocess.run(self.enter(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, timeout=READY_SECONDS, check=False)
        if result.returncode != 0:
            raise RuntimeError(f"{self.name}: {command}: exit code {result.returncode}:\n{result.stdout[-2000:]}")

    def start(self) -> None:
        for number, command in enumerate(self.commands()):
            with open(self.state / f"log.{number}", "ab") as log:
                self.processes.append(subprocess.Popen(self.enter(command), stdin=subprocess.DEVNULL, stdout=log,
                                                       stderr=log, start_new_session=True))
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        for url in self.health_urls():
            while not self.answers(url, deadline):
                time.sleep(0.05)  # a health check has no event to wait for

    def fail_if_ended(self) -> None:
        if any(process.poll() is not None for process in self.processes):
            raise RuntimeError(f"{self.name} ended while it started:\n{self.logs()}")

    def answers(self, url: str, deadline: float) -> bool:
        self.fail_if_ended()
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=2):
                return True
        except OSError as error:  # refused, reset, an HTTP status of failure
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} does not answer at {url}: {error}\n{self.logs()}") from error
            return False

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Ends every process, each with its whole group."""
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
        deadline = time.monotonic() + STOP_SECONDS
        for process in self.processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.processes.clear()

    def signal_all(self, number: int) -> None:
        """To every process in the namespaces, also such as have left our group."""
        for process in self.processes:
            for pid in descendants(process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.state, ignore_errors=True)

    def logs(self) -> str:
        texts = [path.read_text(encoding="utf-8", errors="replace")[-1500:] for path in sorted(self.state.glob("log.*"))]
        return "\n".join(texts)


def obey(server: Server, command: str) -> None:
    if command == "stop":
        server.stop()
    elif command == "kill":
        server.stop(signal.SIGKILL)
    elif command == "start":
        server.start()
    elif command == "freeze":
        server.signal_all(signal.SIGSTOP)
    elif command == "thaw":
        server.signal_all(signal.SIGCONT)
    else:
        raise RuntimeError(f"unknown command: {command!r}")
    print(json.dumps({"done": command}), flush=True)


def serve(kind: type[Server]) -> None:
    """The main program. Exit code 0 once standard input has ended."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, _: sys.exit(128 + received))
    server = kind()
    try:
        server.configure()
        started = time.monotonic()
        server.start()
        ready = {**server.client(), "started_ms": round(1000 * (time.monotonic() - started))}
        print(json.dumps(ready), flush=True)
        for line in sys.stdin:
            obey(server, line.strip())
    except RuntimeError as error:
        sys.exit(str(error))
    finally:
        server.remove()
