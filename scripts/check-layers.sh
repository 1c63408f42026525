#!/usr/bin/env bash
# scripts/check-layers.sh: holds what neither compiler nor linter can:
#  - folders of src/ include only folders below them, in the order of src/CMakeLists.txt, and name only such as DEPS
#  - Boost.Asio and Boost.Beast are included in src/net and src/api alone
#  - no source file is longer than 500 lines
#  - nothing tracked names this machine's paths or a package registry's host
# Prints every offence and ends with 1 if there is one.
set -euo pipefail
shopt -s lastpipe  # so that report, at the end of a pipe, can set `failed`
cd "$(dirname "$0")/.."
failed=0

# Each finding on standard input is an offence against the rule that $1 says.
report() {
  local lines
  lines=$(cat)
  [[ -z $lines ]] && return
  printf '%s:\n%s\n' "$1" "$lines" >&2
  failed=1
}

order=$(awk '/^foreach\(component/ {inside = 1; sub(/.*foreach\(component/, "")}
             inside {line = $0; closed = sub(/\).*/, "", line); print line; if (closed) exit}' src/CMakeLists.txt)
[[ -n ${order//[[:space:]]/} ]] || { echo "no list of components found in src/CMakeLists.txt" >&2; exit 1; }

# The interfaces of clouds and agents are implemented below their own folder (agent/client): a layer just above base.
interfaces="src/cloud/cloud.h src/cloud/node_agent.h"

mapfile -t sources < <(git ls-files --cached --others --exclude-standard -- 'src/*.h' 'src/*.c' 'src/*.cc' 'src/*.cpp')
awk -v order="$order" -v interfaces="$interfaces" '
  BEGIN {
    layers = split(order, names)
    for (i = 1; i <= layers; i++) rank[names[i]] = 2 * i
    count = split(interfaces, paths)
    for (i = 1; i <= count; i++) interface[paths[i]] = 1
  }
  # The longest listed component that holds the path: src/agent/client/x.h is of agent/client, not of agent.
  function component(path,   folder) {
    folder = path
    sub(/^src\//, "", folder)
    while (sub(/\/[^\/]*$/, "", folder)) if (folder in rank) return folder
    return ""
  }
  function height(path) { return path in interface ? rank["base"] + 1 : rank[component(path)] }
  /^[ \t]*#[ \t]*include[ \t]+"/ {
    split($0, parts, "\"")
    target = "src/" parts[2]
    from = component(FILENAME); to = component(target)
    if (from == "") { print FILENAME ": its folder is not in the list of src/CMakeLists.txt"; next }
    if (to == "" || (from == to && !(FILENAME in interface))) next
    if (height(target) > height(FILENAME)) print FILENAME ":" FNR ": " from " includes " parts[2] " of " to
  }' "${sources[@]}" | sort -u | report "includes must point downwards"

mapfile -t recipes < <(git ls-files --cached --others --exclude-standard -- 'src/*/CMakeLists.txt')
awk -v order="$order" '
  BEGIN { layers = split(order, names); for (i = 1; i <= layers; i++) { name = names[i]; gsub("/", "_", name); rank[name] = i } }
  FNR == 1 { in_deps = 0; self = "" }
  match($0, /cacs_component\([a-z_]+/) { self = substr($0, RSTART + 15, RLENGTH - 15); in_deps = 0 }
  {
    line = $0; gsub(/[()]/, " ", line); count = split(line, words, /[ \t]+/)
    for (i = 1; i <= count; i++) {
      if (words[i] == "DEPS") { in_deps = 1; continue }
      if (words[i] ~ /^(SOURCES|LIBS|TESTS|THREADED_TESTS)$/) in_deps = 0
      if (in_deps && words[i] in rank && self in rank && rank[words[i]] >= rank[self])
        print FILENAME ":" FNR ": " self " depends on " words[i]
    }
    if ($0 ~ /\)[ \t]*$/) in_deps = 0
  }' "${recipes[@]}" | report "components depend on those above them in src/CMakeLists.txt only"

{ grep -nE '^[[:space:]]*#[[:space:]]*include[[:space:]]*<boost/(asio|beast)' "${sources[@]}" || true; } |
  { grep -vE '^src/(net|api)/' || true; } | report "Boost.Asio and Boost.Beast belong in src/net and src/api"

mapfile -t code < <(git ls-files --cached --others --exclude-standard -- '*.h' '*.c' '*.cc' '*.cpp' '*.sh' '*.cmake' '*.py')
awk 'FNR == 501 { print FILENAME ": longer than 500 lines" }' "${code[@]}" | report "files do one thing and are short"

hosts='pypi\.org|pythonhosted\.org|npmjs\.(org|com)|crates\.io|proxy\.golang\.org|docker\.io|quay\.io|ghcr\.io|artifactory|jfrog'
{ git grep -nIE --untracked "(^|[^[:alnum:]_.-])/work/|$hosts" -- ':!scripts/check-layers.sh' || true; } |
  cut -c1-200 | report "no machine's path and no registry's host belongs in the tree"

exit "$failed"
