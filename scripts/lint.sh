#!/usr/bin/env bash
# scripts/lint.sh: clang-format, the rules of scripts/check-layers.sh, shell scripts, clang-tidy. Findings are errors.
# clang-tidy remembers what passed (by the contents of the file, of the project's headers that it includes, of .clang-tidy
# and of its compile command) under ${XDG_CACHE_HOME:-~/.cache}/cacs-tidy, so that a run without changes takes seconds.
# LINT_JOBS is the number of clang-tidy processes at a time, by default one a core.
set -euo pipefail
cd "$(dirname "$0")/.."
failed=0
fail() { echo "lint: $1" >&2; failed=1; }

tracked() { git ls-files --cached --others --exclude-standard -- "$@" | while IFS= read -r path; do [[ -f $path ]] && printf '%s\n' "$path"; done; }

mapfile -t sources < <(tracked '*.h' '*.c' '*.cc' '*.cpp')
clang-format --dry-run -Werror "${sources[@]}" || fail "not formatted: run 'make format'"

scripts/check-layers.sh || fail "the tree's rules are broken"

mapfile -t shells < <(tracked '*.sh' '.ci/run')
for script in "${shells[@]}"; do bash -n "$script" || fail "$script"; done
if command -v shellcheck >/dev/null; then
  shellcheck --severity=warning "${shells[@]}" || fail "shellcheck"
else
  echo "lint: shellcheck is not installed: skipped" >&2
fi

# Up-to-date compile commands. GCC's precompiled header is not for clang, which would take it for one of its own: it gets
# the header that was precompiled, from a place where no such file lies beside it.
scripts/build.sh release cacs_base
mkdir -p build/tidy
cp build/release/src/base/CMakeFiles/cacs_base.dir/cmake_pch.hxx build/tidy/cmake_pch.hxx
sed -E "s|$PWD/build/release/src/[^ ]*/cmake_pch\.hxx\b|$PWD/build/tidy/cmake_pch.hxx|g; s|-Winvalid-pch ||g" \
  build/release/compile_commands.json >build/tidy/compile_commands.json
database=build/tidy/compile_commands.json
cache=${XDG_CACHE_HOME:-$HOME/.cache}/cacs-tidy
mkdir -p "$cache"
find "$cache" -type f -mtime +60 -delete

# "KEY-MATERIAL<tab>FILE" for every source: hashes of all that its findings depend on.
materials() {
  local root=$PWD
  {
    sha256sum "${sources[@]}" | sed 's/^/H /'
    grep -nE '^[[:space:]]*#[[:space:]]*include[[:space:]]+"' "${sources[@]}" | sed 's/^/I /'
    sed "s|$root/||g" "$database" | grep -E '"(command|file)":' | sed 's/^ */C /'
  } | awk '
    $1 == "H" { hash[$3] = $2 }
    $1 == "I" {
      file = $2; sub(/:.*/, "", file); split($0, parts, "\"")
      folder = file; sub(/[^\/]*$/, "", folder)
      edges[file] = edges[file] " src/" parts[2] " " folder parts[2]
    }
    $1 == "C" && /"command":/ { command = $0 }
    $1 == "C" && /"file":/ { split($0, parts, "\""); commands[parts[4]] = command }
    # Every file is taken up once; the order is that of the includes, so it is always the same.
    function closure(file,   queue, first, last, list, count, i, text, names) {
      delete seen
      queue[1] = file; seen[file] = 1; text = ""
      for (first = last = 1; first <= last; first++) {
        text = text hash[queue[first]]
        count = split(edges[queue[first]], names, " ")
        for (i = 1; i <= count; i++)
          if (names[i] in hash && !(names[i] in seen)) { seen[names[i]] = 1; queue[++last] = names[i] }
      }
      return text
    }
    END { for (file in commands) if (file ~ /\.cpp$/ && file in hash) print closure(file) commands[file] "\t" file }'
}

salt=$(clang-tidy --version | sha256sum; git ls-files --cached --others --exclude-standard -- .clang-tidy "*/.clang-tidy" | xargs sha256sum)
todo=()
while IFS=$'\t' read -r material file; do
  key=$(printf '%s%s' "$salt" "$material" | sha256sum | cut -d' ' -f1)
  if [[ -e $cache/$key ]]; then touch "$cache/$key"; else todo+=("$key" "$file"); fi
done < <(materials | sort -t$'\t' -k2)

tidy_one() {
  local output
  if output=$(clang-tidy -p build/tidy --quiet --extra-arg=-Wno-unknown-warning-option \
    --extra-arg=-Wno-ignored-optimization-argument "$3" 2>&1); then
    : >"$1/$2"
  else
    printf '%s\n' "$output"
    return 1
  fi
}
export -f tidy_one
if ((${#todo[@]})); then
  echo "lint: clang-tidy over $((${#todo[@]} / 2)) files" >&2
  printf '%s\0' "${todo[@]}" | xargs -0 -n2 -P"${LINT_JOBS:-$(nproc)}" bash -c 'tidy_one "$0" "$1" "$2"' "$cache" || fail "clang-tidy"
fi
exit "$failed"
