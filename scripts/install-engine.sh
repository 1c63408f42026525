#!/usr/bin/env bash
# scripts/install-engine.sh DIR: puts a CRIU that passes its self-test into DIR, without touching the system.
#
# Debian 12's own CRIU does not work on current kernels (docs/engine.md), and which version works is a property of the
# kernel, not of a number: so candidates are tried in turn and judged by what they can do. Each is extracted into a private
# prefix with its libraries and run through its own loader.
set -euo pipefail
dir=${1:?usage: scripts/install-engine.sh DIR}
suites=${CACS_ENGINE_SUITES:-sid trixie}

selftest() { "$1/bin/criu" check >/dev/null 2>&1; }

if [ -x "$dir/bin/criu" ] && selftest "$dir"; then exit 0; fi
if [ "$(id -u)" -ne 0 ]; then
  echo "Installing the checkpoint engine needs root: run this again as root." >&2
  exit 1
fi

# The mirror is whatever this machine's own apt uses.
mirror=$(sed -n 's/^URIs: *\([^ ]*\).*/\1/p; s/^deb \(\[[^]]*\] \)\?\([^ ]*\) .*/\2/p' \
  /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null | grep -v security | head -n 1 || true)
[ -n "$mirror" ] || { echo "No Debian mirror found in apt's sources." >&2; exit 1; }

mkdir -p "$(dirname "$dir")"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for suite in $suites; do
  rm -rf "$dir.new"
  echo "Fetching CRIU from Debian $suite into $dir"
  # A mirror may be a frozen copy whose Release file has expired.
  if ! mmdebstrap --quiet --variant=extract --include=criu --aptopt='Acquire::Check-Valid-Until "false"' \
      "$suite" "$dir.new" "$mirror" >"$log" 2>&1; then
    echo "  could not be fetched:" >&2
    tail -n 3 "$log" >&2
    continue
  fi
  mkdir -p "$dir.new/bin"
  cat >"$dir.new/bin/criu" <<'WRAPPER'
#!/bin/sh
# Runs this CRIU with the libraries it came with, wherever the folder is.
root=$(cd "$(dirname "$0")/.." && pwd)
lib=$(echo "$root"/usr/lib/*-linux-gnu)
exec "$lib"/ld-linux-*.so.2 --library-path "$lib" "$root/usr/sbin/criu" "$@"
WRAPPER
  chmod 755 "$dir.new/bin/criu"
  if selftest "$dir.new"; then
    rm -rf "$dir"
    mv "$dir.new" "$dir"
    echo "  $("$dir/bin/criu" --version | head -n 1) works on this kernel"
    exit 0
  fi
  echo "  $("$dir.new/bin/criu" --version | head -n 1) does not work on this kernel" >&2
done
rm -rf "$dir.new"
echo "No CRIU that works on kernel $(uname -r) was found in: $suites" >&2
exit 1
