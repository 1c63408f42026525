#!/bin/bash
# ceph_run.sh MON_PORT RGW_PORT: a Ceph of one monitor, manager, OSD (in memory) and S3 gateway; runs in the chroot, with
# its state in /srv, until it is told to end. See ceph.py.
set -eu
mon_port=$1 rgw_port=$2
d=/srv/ceph
export CEPH_CONF=$d/ceph.conf
until_true() { until "$@" >/dev/null 2>&1; do sleep 0.2; done; }
osd_is_up() { timeout 5 ceph osd stat | grep -q '1 up'; }

mkdir -p $d/{mon,osd,mgr,run,log}
cat >$CEPH_CONF <<CONF
[global]
fsid = 11111111-2222-3333-4444-555555555555
mon host = [v2:127.0.0.1:$mon_port/0]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
auth allow insecure global id reclaim = false
keyring = $d/keyring
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
mon allow pool size one = true
osd crush chooseleaf type = 0
osd crush update on start = true
run dir = $d/run
admin socket = $d/run/\$name.asok
log file = $d/log/\$name.log
mon cluster log file = $d/log/cluster.log
mon data = $d/mon
mgr data = $d/mgr
osd data = $d/osd
mgr modules =
mgr initial modules =
mon data avail crit = 1
osd objectstore = memstore
memstore device bytes = 2147483648
rgw frontends = beast endpoint=127.0.0.1:$rgw_port
rgw thread pool size = 32
CONF
ceph-authtool $d/keyring --create-keyring --gen-key -n mon. --cap mon 'allow *' >/dev/null
for name in client.admin osd.0 mgr.x client.rgw; do
  ceph-authtool $d/keyring --gen-key -n $name --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *' >/dev/null
done
monmaptool --create --clobber --fsid 11111111-2222-3333-4444-555555555555 --addv a "[v2:127.0.0.1:$mon_port/0]" \
  $d/monmap >/dev/null
ceph-mon --mkfs -i a --monmap $d/monmap --keyring $d/keyring
ceph-mon -f -i a &
until_true timeout 5 ceph mon stat
ceph-mgr -f -i x &
uuid=$(cat /proc/sys/kernel/random/uuid)
ceph osd new "$uuid" >/dev/null
ceph auth import -i $d/keyring >/dev/null 2>&1
ceph-osd -i 0 --mkfs --osd-uuid "$uuid" >$d/log/mkfs.out 2>&1
ceph-osd -f -i 0 &
until_true osd_is_up
# Before the gateway, so that the user is there once it answers.
radosgw-admin user create --uid=t --display-name=t --access-key=AKTEST --secret-key=SKTEST >/dev/null 2>$d/log/user.err
radosgw -f -n client.rgw &
wait
