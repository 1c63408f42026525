#!/bin/sh
# enter.sh ROOT STATE CONFIG COMMAND...: runs COMMAND in the chroot ROOT with STATE at /srv and, unless CONFIG is "-",
# STATE/etc at CONFIG. To be started in mount and pid namespaces of its own (see server.py): the mounts made here are
# seen by nobody else and go with the last process, so that several runs share one chroot.
set -eu
root=$1 state=$2 config=$3
shift 3
mount --bind "$state" "$root/srv"
[ "$config" = - ] || mount --bind "$state/etc" "$root$config"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount --bind /etc/hosts "$root/etc/hosts"
# This shell is the first process of its pid namespace: what it is told to end, all others are, whatever session they
# have gone into.
trap 'kill -TERM -1 || true' TERM
chroot "$root" "$@" &
code=0
wait "$!" || code=$?
wait
exit "$code"
