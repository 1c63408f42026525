#!/usr/bin/env python3
"""Chroots with servers that are too much for the machine itself: made once with mmdebstrap, kept in build/servers.

The mirror, its keyring and the proxies are those of the machine's own apt. Run as a program, it makes the ones named:
    tests/servers/chroot.py swift moto
"""

import dataclasses
import fcntl
import hashlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent


@dataclasses.dataclass(frozen=True)
class Chroot:
    """What is in a chroot. Another list of packages makes another chroot."""

    name: str
    suite: str
    packages: tuple[str, ...]


KNOWN = {
    chroot.name: chroot
    for chroot in (
        Chroot("swift", "bookworm",
               ("swift-proxy", "swift-account", "swift-container", "swift-object", "memcached")),
        # Debian 12 has no moto.
        Chroot("moto", "trixie", ("python3-moto", "python3-flask", "python3-flask-cors")),
        Chroot("ganesha", "bookworm", ("nfs-ganesha", "nfs-ganesha-vfs")),
        Chroot("ceph", "bookworm", ("ceph-mon", "ceph-osd", "ceph-mgr", "radosgw", "ceph-common")),
    )
}


def cache_folder() -> pathlib.Path:
    return pathlib.Path(os.environ.get("CACS_SERVERS_CACHE", HERE.parent.parent / "build" / "servers"))


def own_mirror() -> tuple[str, str]:
    """URI and keyring (may be empty) of the Debian mirror that this machine's apt uses."""
    codename = ""
    for line in pathlib.Path("/etc/os-release").read_text(encoding="utf-8").splitlines():
        if line.startswith("VERSION_CODENAME="):
            codename = line.partition("=")[2].strip('"')
    targets = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(RELEASE)|$(COMPONENT)|$(REPO_URI)|$(SIGNED_BY)",
         "Created-By: Packages"],
        check=True, capture_output=True, text=True).stdout
    for line in targets.splitlines():
        release, component, uri, keyring = line.split("|", 3)
        if release == codename and component == "main":
            return uri, keyring
    raise RuntimeError(f"no mirror of Debian {codename} main in apt's sources: add one to /etc/apt/sources.list.d")


def own_apt_options() -> list[str]:
    """How this machine's apt reaches its mirror: proxies, certificates, clocks that a frozen mirror does not pass."""
    dump = subprocess.run(["apt-config", "dump", "Acquire"], check=True, capture_output=True, text=True).stdout
    wanted = ("Acquire::http::", "Acquire::https::", "Acquire::Check-Valid-Until ", "Acquire::Check-Date ")
    lines = [line.rstrip(";") for line in dump.splitlines() if line.startswith(wanted) and '""' not in line]
    # A mirror may be a frozen copy whose Release file has expired.
    return ['Acquire::Check-Valid-Until "false"', *lines]


def make(chroot: Chroot, target: pathlib.Path) -> None:
    mirror, keyring = own_mirror()
    command = ["mmdebstrap", "--quiet", "--variant=minbase", "--include=" + ",".join(chroot.packages)]
    command += [f"--aptopt={option}" for option in own_apt_options()]
    command += [f"--dpkgopt=path-exclude={path}/*" for path in ("/usr/share/doc", "/usr/share/man", "/usr/share/locale")]
    if keyring.startswith("/"):  # older versions of apt do not tell; mmdebstrap then takes Debian's own
        command.append(f"--keyring={keyring}")
    result = subprocess.run([*command, chroot.suite, str(target), mirror], stdin=subprocess.DEVNULL,
                            capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"mmdebstrap could not make the chroot of {chroot.name} (root and a mirror with "
                           f"{chroot.suite} are needed):\n{result.stderr[-2000:]}")
    (target / "etc" / "hosts").touch()  # what that of the machine is mounted on


def ensure(name: str) -> pathlib.Path:
    """The chroot's folder, made if it is not there. Whole or not there; two at once make it once."""
    chroot = KNOWN[name]
    digest = hashlib.sha256(repr(chroot).encode()).hexdigest()[:12]
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / f"{name}-{digest}"
    if folder.is_dir():
        return folder
    with open(cache / f"{name}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.is_dir():
            return folder
        for old in cache.glob(f"{name}-*"):  # of another list of packages, or left by a run that was killed
            shutil.rmtree(old)
        new = cache / f"{name}-new"
        started = time.monotonic()
        print(f"making the chroot of {name}, once", file=sys.stderr, flush=True)
        try:
            make(chroot, new)
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise
        new.rename(folder)
        print(f"made {folder} in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return folder


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for wanted in sys.argv[1:]:
        print(ensure(wanted))
