#!/usr/bin/env bash
# The demo: LAMMPS' Lennard-Jones melt as an application of CACS, killed at about two thirds and brought back by itself.
# Its final thermodynamic lines must equal those of an undisturbed run to the last digit.
set -euo pipefail
cd "$(dirname "$0")/.."
cacs=$PWD/build/release/bin/cacs
export CACS_CRIU=$PWD/build/engine/criu/bin/criu
steps=${CACS_DEMO_STEPS:-40000}
interval=${CACS_DEMO_INTERVAL:-5s}

work=$(mktemp -d /tmp/cacs-demo-XXXXXX)
server=
cleanup() {
  status=$?
  trap - EXIT INT TERM
  if [ -n "$server" ]; then
    [ -z "${app:-}" ] || "$cacs" delete "$app" >/dev/null 2>&1 || true
    kill "$server" 2>/dev/null && wait "$server" 2>/dev/null || true
  fi
  # The agent outlives its server on purpose; this one's work is over, and with its last pod gone it unmounts its files.
  agent=$(sed -n 's/.*"pid": *\([0-9]*\).*/\1/p' "$work/state/nodes/local-0/agent.pid" 2>/dev/null || true)
  [ -z "$agent" ] || kill "$agent" 2>/dev/null || true
  for _ in $(seq 100); do mountpoint -q "$work/state/nodes/local-0/delta" || break; sleep 0.1; done
  mountpoint -q "$work/state/nodes/local-0/delta" && umount "$work/state/nodes/local-0/delta"
  [ "$status" -eq 0 ] || tail -n 20 "$work/server.log" 2>/dev/null || true
  rm -rf "$work"
  exit "$status"
}
trap cleanup EXIT INT TERM
say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

cat >"$work/in.melt" <<MELT
units           lj
atom_style      atomic
lattice         fcc 0.8442
region          box block 0 10 0 10 0 10
create_box      1 box
create_atoms    1 box
mass            1 1.0
velocity        all create 3.0 87287
pair_style      lj/cut 2.5
pair_coeff      1 1 1.0 1.0 2.5
neighbor        0.3 bin
neigh_modify    every 20 delay 0 check no
fix             1 all nve
thermo          500
thermo_modify   flush yes
run             $steps
MELT

say "1. The undisturbed run, for comparison"
mkdir "$work/plain"
cp "$work/in.melt" "$work/plain/"
(cd "$work/plain" && time -p env OMP_NUM_THREADS=1 lmp -in in.melt -log none >out.txt) 2>&1 | sed -n 's/^real/   took (seconds):/p'

say "2. A server on embedded defaults"
"$cacs" server --state "$work/state" --listen "unix:$work/cacs.sock" >"$work/server.log" 2>&1 &
server=$!
export CACS_SERVER=unix:$work/cacs.sock
for _ in $(seq 100); do [ -S "$work/cacs.sock" ] && "$cacs" ls >/dev/null 2>&1 && break; sleep 0.1; done
"$cacs" version

say "3. The same run as an application, saved every $interval"
python3 - "$work/in.melt" "$interval" >"$work/asr.json" <<'PYTHON'
import json, sys
print(json.dumps({
    "name": "lj-melt",
    "command": ["lmp", "-in", "in.melt", "-log", "none"],
    "files": [{"path": "/job/in.melt", "content": open(sys.argv[1]).read()}],
    "workdir": "/job", "env": {"OMP_NUM_THREADS": "1"},
    "checkpoint": {"interval": sys.argv[2], "keep": 3},
}))
PYTHON
app=$("$cacs" submit -f "$work/asr.json" -o json | python3 -c 'import json, sys; print(json.load(sys.stdin)["id"])')
"$cacs" ls

steps_done() {
  "$cacs" logs "$app" 2>/dev/null | awk '$1 ~ /^[0-9]+$/ && NF == 6 {last = $1} END {print last + 0}'
}
state() { "$cacs" show "$app" -o json | python3 -c 'import json, sys; print(json.load(sys.stdin)["state"])'; }
committed() { "$cacs" checkpoints "$app" -o json | python3 -c 'import json, sys; print(sum(c["state"] == "AVAILABLE" for c in json.load(sys.stdin)["items"]))'; }

while [ "$(steps_done)" -lt $((steps * 2 / 3)) ] || [ "$(committed)" -lt 1 ]; do
  case $(state) in COMPLETED | ERROR) "$cacs" show "$app"; echo "it ended before it could be killed" >&2; exit 1 ;; esac
  sleep 0.3
done
"$cacs" checkpoints "$app"

say "4. kill -9 of the program at step $(steps_done) of $steps"
victim=
for candidate in $(pgrep -x lmp); do
  if tr '\0' '\n' <"/proc/$candidate/environ" 2>/dev/null | grep -qx "CACS_APPLICATION=$app"; then victim=$candidate; fi
done
[ -n "$victim" ] || { echo "the program was not found" >&2; exit 1; }
kill -9 "$victim"

say "5. It comes back by itself and finishes"
while :; do
  now=$(state)
  case $now in COMPLETED) break ;; ERROR) "$cacs" show "$app"; exit 1 ;; esac
  printf '   %-11s step %s\n' "$now" "$(steps_done)"
  sleep 1.5
done
"$cacs" show "$app"

say "6. The thermodynamic lines of both runs"
thermo() { awk '$1 ~ /^[0-9]+$/ && NF == 6' "$1"; }
"$cacs" logs "$app" >"$work/out.txt"
thermo "$work/plain/out.txt" >"$work/expected"
thermo "$work/out.txt" >"$work/got"
tail -n 3 "$work/expected" | sed 's/^/   undisturbed: /'
tail -n 3 "$work/got" | sed 's/^/   brought back: /'
incarnation=$("$cacs" show "$app" -o json | python3 -c 'import json, sys; print(json.load(sys.stdin)["incarnation"])')
[ "$incarnation" -gt 1 ] || { echo "it was never restored" >&2; exit 1; }
[ -s "$work/expected" ] && cmp "$work/expected" "$work/got"
say "All $(wc -l <"$work/got") lines are equal to the last digit (incarnation $incarnation)."
"$cacs" delete "$app"
app=
