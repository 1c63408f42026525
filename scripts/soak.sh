#!/usr/bin/env bash
# The long soak: 200 rounds of random kills over several seeds (tests/e2e/soak_test.cc) and 300 of an MPI job over two
# nodes (tests/e2e/distributed_soak_test.cc), then one line that sums them up.
# scripts/soak.sh [SEED...]; CACS_SOAK_ROUNDS, CACS_SOAK_JOB_ROUNDS: rounds in all.
set -euo pipefail
cd "$(dirname "$0")/.."
export CACS_CRIU=${CACS_CRIU:-$PWD/build/engine/criu/bin/criu}
total=${CACS_SOAK_ROUNDS:-200}
job_total=${CACS_SOAK_JOB_ROUNDS:-300}
seeds=("$@")
[ ${#seeds[@]} -gt 0 ] || seeds=(1 2 3 4 5)
scripts/build.sh release cacs e2e_test
log=build/soak.log
: >"$log"
violations=0
# soak TEST ROUNDS: a share of the rounds with each seed.
soak() {
  local seed rounds=$((($2 + ${#seeds[@]} - 1) / ${#seeds[@]}))
  for seed in "${seeds[@]}"; do
    CACS_SOAK_SEED=$seed CACS_SOAK_ROUNDS=$rounds build/release/tests/e2e/e2e_test --gtest_filter="$1.*" \
      >"$log.$seed" 2>&1 || violations=$((violations + 1))
    grep -E '^SOAK|Failure' "$log.$seed" || true
    cat "$log.$seed" >>"$log"
    rm "$log.$seed"
  done
}
soak SoakTest "$total"
soak DistributedSoakTest "$job_total"
# One line a seed becomes one for all: numbers behind the same name are added.
awk -v violations="$violations" '
  /^SOAK/ {
    for (i = 2; i <= NF; ++i) {
      if ($i == "rounds") rounds += $(i + 1)
      if ($i == "kills") in_kills = 1
      if (split($i, part, "=") == 2) kills[part[1]] += part[2]
    }
  }
  END {
    printf "%d rounds;", rounds
    for (kind in kills) printf " %s %d,", kind, kills[kind]
    printf " violations in %d seeds\n", violations
  }' "$log"
scripts/build.sh release repository_test
# some FILTER: those tests, of which there has to be at least one.
some() {
  build/release/src/repository/repository_test --gtest_filter="$1" --gtest_list_tests | grep -q '^  ' ||
    { echo "no test is called $1" >&2; return 1; }
  build/release/src/repository/repository_test --gtest_filter="$1" --gtest_brief=1
}
# Every single bit and every length of a small repository (make test takes a part of them).
CACS_DAMAGE_ALL=1 some '*DamageTest*'
# Writers and collectors beside each other on a simulated store.
CACS_SIM_ROUNDS=${CACS_SIM_ROUNDS:-2000} some 'SessionRepository.*'
# The same with real processes that are killed.
CACS_KILL_ROUNDS=${CACS_KILL_ROUNDS:-1000} some '*KillTest*'
[ "$violations" -eq 0 ] || { echo "the whole story is in $log" >&2; exit 1; }
