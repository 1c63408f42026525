#!/usr/bin/env python3
"""Ceph with its S3 gateway (RGW). On request only (scripts/conformance.sh ceph): its chroot takes minutes to make."""

import shutil

import chroot
import server


class Ceph(server.Server):
    name = "ceph"

    def __init__(self) -> None:
        super().__init__()
        self.mon, self.rgw = server.free_ports(2)

    def configure(self) -> None:
        shutil.copy(chroot.HERE / "ceph_run.sh", self.state)

    def commands(self) -> list[list[str]]:
        return [["bash", "/srv/ceph_run.sh", str(self.mon), str(self.rgw)]]

    def health_urls(self) -> list[str]:
        return [f"http://127.0.0.1:{self.rgw}/"]

    def client(self) -> dict[str, object]:
        return {"endpoint": f"http://127.0.0.1:{self.rgw}", "region": "us-east-1", "access_key": "AKTEST",
                "secret_key": "SKTEST"}


if __name__ == "__main__":
    server.serve(Ceph)
