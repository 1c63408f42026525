#!/usr/bin/env bash
# Everything that must hold, from the cheapest to the dearest: rules of the tree, unit tests under ASan and UBSan, threaded
# ones under TSan, fuzzers for a few seconds each, then the real thing: pods, engine and programs, as root.
# Steps can be named: scripts/test.sh lint unit threaded fuzz integration
set -euo pipefail
cd "$(dirname "$0")/.."
jobs=$(nproc)
steps=${*:-lint unit threaded fuzz integration}
export CACS_CRIU=$PWD/build/engine/criu/bin/criu
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1 TSAN_OPTIONS=halt_on_error=1
started=$SECONDS

step() { printf '\n== %s (%d s)\n' "$1" $((SECONDS - started)); }
run_ctest() { ctest --test-dir "$1" --output-on-failure --timeout 600 -j "$jobs" "${@:2}"; }

for name in $steps; do
  case $name in
    lint)
      step "Rules of the tree, formatting, clang-tidy"
      scripts/build.sh release
      scripts/lint.sh
      ;;
    unit)
      step "Unit tests under ASan and UBSan"
      scripts/build.sh asan
      run_ctest build/asan -L unit
      ;;
    threaded)
      step "Threaded tests under TSan"
      mkdir -p build/tsan
      scripts/build.sh tsan -t targets all >build/targets.txt
      mapfile -t targets < <(sed -n '/^cmake_object/d; s/^\([a-z0-9_]*_threaded_test\): .*/\1/p' build/targets.txt)
      [ ${#targets[@]} -gt 0 ] || { echo "no threaded tests found" >&2; exit 1; }
      scripts/build.sh tsan "${targets[@]}"
      for target in "${targets[@]}"; do
        # With address randomisation at its widest, TSan of GCC 12 does not find room for its shadow.
        setarch -R "$(find build/tsan/src -name "$target" -type f -executable)" --gtest_brief=1
      done
      ;;
    fuzz)
      step "Fuzzers, ${CACS_FUZZ_SECONDS:=5} seconds each"
      mkdir -p build/fuzz
      scripts/build.sh fuzz -t targets all >build/targets.txt
      mapfile -t targets < <(sed -n '/^cmake_object/d; s/^\([a-z0-9_]*_fuzz\): .*/\1/p' build/targets.txt)
      scripts/build.sh fuzz "${targets[@]}"
      for target in "${targets[@]}"; do
        mkdir -p "build/fuzz/corpus/$target"
        echo "  $target"
        "$(find build/fuzz -name "$target" -type f -executable)" -max_total_time="$CACS_FUZZ_SECONDS" -verbosity=0 \
          -artifact_prefix="build/fuzz/" "build/fuzz/corpus/$target" 2>build/fuzz/log || { cat build/fuzz/log; exit 1; }
      done
      ;;
    integration)
      step "Integration tests with the real engine and real programs"
      scripts/build.sh release
      run_ctest build/release -L integration
      scripts/test-install.sh
      ;;
    *) echo "unknown step: $name" >&2; exit 2 ;;
  esac
done
step "All passed"
