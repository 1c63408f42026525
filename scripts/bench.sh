#!/usr/bin/env bash
# The benchmarks, each against a peer in the same run; medians and ratios. JSON and plots go to build/bench.
set -euo pipefail
cd "$(dirname "$0")/.."
export CACS_CRIU=$PWD/build/engine/criu/bin/criu
scripts/build.sh release cacs programs delta_bench image_series versions_tool scale_tool compression_bench
mkdir -p build/bench
work=$(mktemp -d /tmp/cacs-bench-XXXXXX)
trap 'rm -rf "$work"' EXIT
section() { printf '\n== %s\n' "$1"; }

section "How long a checkpoint freezes a program, against bare criu dump"
bench/frozen_bench.py --mib 512
bench/frozen_bench.py --mib 512 --shm-mib 1024
bench/frozen_bench.py --mib 512 --delta-files 20000
section "What storing a checkpoint costs the program, against itself before"
bench/thaw_bench.py
section "The server, idle and asked, against its own floor"
bench/server_bench.py
section "What a further checkpoint costs, against restic, borg and casync"
bench/versions_bench.py --tuned
section "Compressing by the rule, against always and never (Goiri et al., Figure 5)"
build/release/bench/compression_bench "$work" | tee build/bench/compression.txt
section "How a repository grows, and a long list"
bench/scale_bench.py
section "Capturing the delta, XFS image against copying"
build/release/src/delta/delta_bench "$work" | tee build/bench/delta.txt
