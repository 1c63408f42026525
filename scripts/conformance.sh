#!/usr/bin/env bash
# scripts/conformance.sh SERVER...: what every backend has to pass, against real S3 servers: swift, moto, ceph. `make test`
# has the first two; Ceph's chroot takes minutes to make.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || { echo "usage: scripts/conformance.sh swift|moto|ceph..." >&2; exit 2; }
for server in "$@"; do
  [ -x "tests/servers/$server.py" ] || { echo "no such server: $server" >&2; exit 2; }
done
scripts/build.sh release s3_integration_test
tests/servers/chroot.py "$@"
for server in "$@"; do
  echo "== $server"
  CACS_S3_SERVER=$server build/release/tests/integration/s3_integration_test
done
