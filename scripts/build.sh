#!/usr/bin/env bash
# scripts/build.sh KIND [TARGET...]: configures and builds build/KIND. Kinds: release, asan, tsan, fuzz.
set -euo pipefail
cd "$(dirname "$0")/.."
kind=${1:?usage: scripts/build.sh release|asan|tsan|fuzz [target...]}
shift
case $kind in
  # Unit tests run with sanitizers: without them they are built only when somebody names them.
  release) options=(-DCMAKE_BUILD_TYPE=RelWithDebInfo -DCACS_UNIT_TESTS=OFF) ;;
  asan) options=(-DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS=-Og -DCACS_SANITIZE=address) ;;
  tsan) options=(-DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS=-Og -DCACS_SANITIZE=thread) ;;
  fuzz) options=(-DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++ -DCACS_FUZZ=ON -DCACS_TESTS=OFF) ;;
  *) echo "unknown kind of build: $kind" >&2; exit 2 ;;
esac
log=build/$kind/configure.log
mkdir -p "build/$kind"
if ! cmake -S . -B "build/$kind" -G Ninja "${options[@]}" >"$log" 2>&1; then
  cat "$log" >&2
  exit 1
fi
# Precompiled headers and ccache need this to share objects between builds and between clones.
export CCACHE_SLOPPINESS=pch_defines,time_macros CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
exec ninja -C "build/$kind" --quiet "$@"
