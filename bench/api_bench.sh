#!/usr/bin/env bash
# Requests a second for GET of one application, and of /healthz as the floor of the same server, in the same run; the
# memory of the idle server before. bench/api_bench.sh [SECONDS]; needs wrk and the target api_bench_server.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-5}
runs=3
server=build/release/src/api/api_bench_server
[ -x "$server" ] || scripts/build.sh release api_bench_server

coproc SERVER { exec "$server"; }
pid=$SERVER_PID
# shellcheck disable=SC2034  # used as {input} below
input=${SERVER[1]}
trap 'exec {input}>&-; wait "$pid" 2>/dev/null || true' EXIT
read -r url <&"${SERVER[0]}"
base=${url%/coordinators/*}
rss_kb=$(awk '/^VmRSS/ {print $2}' "/proc/$pid/status")

rate() { # URL: median of the runs
  for _ in $(seq "$runs"); do
    wrk -t1 -c32 -d"${seconds}s" "$1" | awk '/^Requests\/sec/ {print $2} /Non-2xx/ {print "errors: " $0 > "/dev/stderr"; exit 1}'
  done | sort -n | sed -n "$(((runs + 1) / 2))p"
}
application=$(rate "$url")
floor=$(rate "$base/healthz")
ratio=$(awk -v a="$application" -v b="$floor" 'BEGIN {printf "%.2f", a / b}')
echo "idle server:              $rss_kb kB"
echo "GET one application:      $application requests/s (median of $runs runs of $seconds s, 32 connections)"
echo "GET /healthz (the floor): $floor requests/s; ratio $ratio"
mkdir -p build/bench
printf '{"bench": "api", "idle_rss_kb": %s, "get_application_per_s": %s, "healthz_per_s": %s, "ratio": %s}\n' \
  "$rss_kb" "$application" "$floor" "$ratio" >build/bench/api.json
