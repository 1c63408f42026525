#!/usr/bin/env python3
"""NFS-Ganesha, an NFS server that is a process: NFSv4 of a folder on disk. On request (scripts/conformance.sh ganesha)."""

import socket
import time

import server

CONFIG = """
NFS_CORE_PARAM {{ NFS_Port = {port}; Bind_addr = 127.0.0.1; Protocols = 4; Enable_NLM = false; Enable_RQUOTA = false;
  Enable_UDP = false; }}
NFSV4 {{ Graceless = true; RecoveryRoot = /srv/recovery; }}
EXPORT {{ Export_Id = 1; Path = /srv/export; Pseudo = /export; Access_Type = RW; Squash = No_Root_Squash;
  SecType = sys; Transports = TCP; Protocols = 4; FSAL {{ Name = VFS; }} }}
"""


class Ganesha(server.Server):
    name = "ganesha"

    def __init__(self) -> None:
        super().__init__()
        (self.port,) = server.free_ports(1)

    def configure(self) -> None:
        for folder in ("export", "recovery"):
            (self.state / folder).mkdir()
        (self.state / "ganesha.conf").write_text(CONFIG.format(port=self.port), encoding="utf-8")

    def commands(self) -> list[list[str]]:
        return [["sh", "-c", "mkdir -p /run/ganesha; ln -sfn /proc/self/mounts /etc/mtab; exec ganesha.nfsd -F "
                 "-f /srv/ganesha.conf -L STDERR -p /srv/pid -N NIV_EVENT"]]

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + server.READY_SECONDS
        while True:
            self.fail_if_ended()
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=2):
                    return
            except OSError as error:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{self.name} does not answer: {error}\n{self.logs()}") from error
                time.sleep(0.05)  # there is no event to wait for

    def client(self) -> dict[str, object]:
        return {"endpoint": f"nfs://127.0.0.1/export?version=4&nfsport={self.port}"}


if __name__ == "__main__":
    server.serve(Ganesha)
