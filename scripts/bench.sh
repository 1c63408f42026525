#!/usr/bin/env bash
# The benchmarks, each against a peer in the same run; medians and ratios. JSON and plots go to build/bench.
set -euo pipefail
cd "$(dirname "$0")/.."
export CACS_CRIU=$PWD/build/engine/criu/bin/criu
scripts/build.sh release cacs programs delta_bench image_series versions_tool scale_tool compression_bench \
  repository_bench null_engine rewriter
mkdir -p build/bench
work=$(mktemp -d /tmp/cacs-bench-XXXXXX)
trap 'rm -rf "$work"' EXIT
section() { printf '\n== %s\n' "$1"; }
# A bar that is not held does not keep the others from being measured.
failed=()
measure() { "$@" || failed+=("$*"); }

section "How long a checkpoint freezes a program, against bare criu dump"
measure bench/frozen_bench.py --mib 512
measure bench/frozen_bench.py --mib 512 --shm-mib 1024
measure bench/frozen_bench.py --mib 512 --delta-files 20000
section "Submission, checkpoint and restart against the number of pods (CACS, Figure 3 and Table 2)"
measure bench/pods_bench.py
measure bench/pods_bench.py --nodes 2 --pods 2,4,8,16
section "The coordination of a checkpoint, with an engine that does nothing, against 10 ms + 2 ms * log2(pods)"
measure bench/cut_bench.py
section "Four successive checkpoints (BlobCR, Figure 5)"
measure bench/successive_bench.py
section "HPL with and without checkpoints (Okorafor, VI)"
measure bench/hpl_bench.py
section "What storing a checkpoint costs the program, against itself before"
measure bench/thaw_bench.py
section "The server, idle and asked, against its own floor"
measure bench/server_bench.py
section "What a further checkpoint costs, against restic, borg and casync"
measure bench/versions_bench.py --tuned
section "Compressing by the rule, against always and never (Goiri et al., Figure 5)"
measure build/release/bench/compression_bench "$work" >build/bench/compression.txt
cat build/bench/compression.txt
section "What the sizes in the repository cost and bring"
measure build/release/bench/repository_bench "$work" >build/bench/repository.md
cat build/bench/repository.md
section "How a repository grows, and a long list"
measure bench/scale_bench.py
section "Capturing the delta, XFS image against copying"
measure build/release/src/delta/delta_bench "$work" >build/bench/delta.txt
cat build/bench/delta.txt
if ((${#failed[@]})); then
  printf 'failed, or a bar was not held: %s\n' "${failed[@]}" >&2
  exit 1
fi
