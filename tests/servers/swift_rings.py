"""Makes Swift's three rings, one device each; runs in the chroot. Arguments: FOLDER ACCOUNT_PORT CONTAINER_PORT OBJECT_PORT"""

import sys

from swift.common.ring import RingBuilder

folder, *ports = sys.argv[1:]
for name, port in zip(("account", "container", "object"), ports):
    builder = RingBuilder(part_power=2, replicas=1, min_part_hours=0)
    builder.add_dev({"region": 1, "zone": 1, "ip": "127.0.0.1", "port": int(port), "replication_ip": "127.0.0.1",
                     "replication_port": int(port), "device": "d1", "weight": 1.0, "meta": ""})
    builder.rebalance(seed=1)
    builder.get_ring().save(f"{folder}/{name}.ring.gz")
