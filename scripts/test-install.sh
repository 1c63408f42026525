#!/usr/bin/env bash
# What `make install` puts below a directory works from there, with nothing of the build tree.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
make --silent install DESTDIR="$root" PREFIX=/usr >"$root/log" 2>&1 || { cat "$root/log" >&2; exit 1; }

fail() { echo "make install: $1" >&2; exit 1; }
cacs() { env -i PATH="$PATH" HOME="$root" "$root/usr/bin/cacs" "$@"; }

[[ $(cacs version) == "cacs "* ]] || fail "the installed cacs does not tell its version"
# Its exit code is about this machine; what counts here are engine and init.
checked=$(cacs check || true)
for line in "ok .*program: cacs-init .*$root/usr/lib/cacs/cacs-init" \
            "ok .*engine: criu .*$root/usr/lib/cacs/engine/criu/bin/criu" \
            "ok .*engine: saves and restores a process with a TCP connection"; do
  grep -q "^$line" <<<"$checked" || { echo "$checked" >&2; fail "not there: $line"; }
done

bash -c 'source "$1/usr/share/bash-completion/completions/cacs"
  COMP_WORDS=(cacs checkp) COMP_CWORD=1
  _cacs && [[ "${COMPREPLY[*]}" == *checkpoint* ]]' - "$root" || fail "the completion for bash does not complete"
head -n 1 "$root/usr/share/zsh/site-functions/_cacs" | grep -q "^#compdef cacs" || fail "no completion for zsh"
grep -q "^complete -c cacs" "$root/usr/share/fish/vendor_completions.d/cacs.fish" || fail "no completion for fish"
grep -q "^ExecStart=/usr/bin/cacs server" "$root/usr/lib/systemd/system/cacs-server.service" || fail "no unit"
[ -f "$root/usr/share/doc/cacs/docs/operations.md" ] || fail "no documents"
echo "  make install: cacs, engine, completions, unit and documents work from $(du -sh "$root/usr" | cut -f 1)"
