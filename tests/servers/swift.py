#!/usr/bin/env python3
"""OpenStack Swift with its S3 API: proxy, account, container and object server, one replica. Checks signatures."""

import shutil

import chroot
import server

STORAGE = """[DEFAULT]
devices = /srv/node
mount_check = false
disable_fallocate = true
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = root
log_level = WARNING
log_address = /srv/no-syslog
recon_cache_path = /srv/cache
[pipeline:main]
pipeline = healthcheck {kind}-server
[filter:healthcheck]
use = egg:swift#healthcheck
[app:{kind}-server]
use = egg:swift#{kind}
"""

PROXY = """[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = root
log_level = WARNING
log_address = /srv/no-syslog
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck cache bulk s3api tempauth copy slo dlo versioned_writes symlink proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:{cache}
[filter:bulk]
use = egg:swift#bulk
[filter:copy]
use = egg:swift#copy
[filter:symlink]
use = egg:swift#symlink
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_object_versioning = true
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
s3_acl = false
min_segment_size = 5242880
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
"""

SWIFT = """[swift-hash]
swift_hash_path_suffix = cacs
[storage-policy:0]
name = gold
default = yes
"""


class Swift(server.Server):
    name = "swift"
    config_folder = "/etc/swift"

    def __init__(self) -> None:
        super().__init__()
        self.proxy, self.cache, *self.storage = server.free_ports(5)

    def configure(self) -> None:
        etc = self.state / "etc"
        etc.mkdir()
        (self.state / "node" / "d1").mkdir(parents=True)
        (self.state / "cache").mkdir()
        (etc / "swift.conf").write_text(SWIFT)
        (etc / "proxy.conf").write_text(PROXY.format(port=self.proxy, cache=self.cache))
        for kind, port in zip(("account", "container", "object"), self.storage):
            (etc / f"{kind}.conf").write_text(STORAGE.format(kind=kind, port=port))
        shutil.copy(chroot.HERE / "swift_rings.py", self.state)
        self.run(["python3", "/srv/swift_rings.py", "/etc/swift", *map(str, self.storage)])

    def commands(self) -> list[list[str]]:
        servers = [[f"swift-{kind}-server", f"/etc/swift/{kind}.conf"]
                   for kind in ("account", "container", "object", "proxy")]
        # s3api makes buckets only with a memcached.
        return [["memcached", "-l", "127.0.0.1", "-p", str(self.cache), "-u", "root"], *servers]

    def health_urls(self) -> list[str]:
        return [f"http://127.0.0.1:{port}/healthcheck" for port in (*self.storage, self.proxy)]

    def client(self) -> dict[str, object]:
        return {"endpoint": f"http://127.0.0.1:{self.proxy}", "region": "us-east-1", "access_key": "test:tester",
                "secret_key": "testing"}


if __name__ == "__main__":
    server.serve(Swift)
