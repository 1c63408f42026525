#!/usr/bin/env bash
# scripts/conformance.sh SERVER...: what every backend has to pass, against real servers: S3 (swift, moto, ceph) and NFS
# (ganesha). `make test` has the first two; Ceph's chroot takes minutes to make.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || { echo "usage: scripts/conformance.sh swift|moto|ceph|ganesha..." >&2; exit 2; }
for server in "$@"; do
  [ -x "tests/servers/$server.py" ] || { echo "no such server: $server" >&2; exit 2; }
done
scripts/build.sh release s3_integration_test nfs_integration_test
tests/servers/chroot.py "$@"
for server in "$@"; do
  echo "== $server"
  if [ "$server" = ganesha ]; then
    build/release/tests/integration/nfs_integration_test
  else
    CACS_S3_SERVER=$server build/release/tests/integration/s3_integration_test
  fi
done
