#!/usr/bin/env python3
"""moto: S3's and the metadata service's protocol in memory. Signatures and payload hashes are not checked by it."""

import server


class Moto(server.Server):
    name = "moto"

    def __init__(self) -> None:
        super().__init__()
        (self.port,) = server.free_ports(1)

    def commands(self) -> list[list[str]]:
        return [["moto_server", "-H", "127.0.0.1", "-p", str(self.port)]]

    def health_urls(self) -> list[str]:
        return [f"http://127.0.0.1:{self.port}/moto-api/"]

    def client(self) -> dict[str, object]:
        return {"endpoint": f"http://127.0.0.1:{self.port}", "region": "us-east-1", "access_key": "AKTEST",
                "secret_key": "SKTEST"}


if __name__ == "__main__":
    server.serve(Moto)
