#!/usr/bin/env bash
# Installs what building, testing and running CACS needs from Debian 12 main. With everything there it takes no time and
# touches nothing: the list is compared with dpkg's own first.
set -euo pipefail

packages=(
  # building
  g++ cmake ninja-build ccache pkg-config git
  libboost1.81-dev libboost-json1.81-dev libboost-url1.81-dev libspdlog-dev libfmt-dev libcli11-dev libtomlplusplus-dev
  libsqlite3-dev libssl-dev libzstd-dev liblz4-dev libcurl4-openssl-dev libexpat1-dev libfuse3-dev libnl-route-3-dev prometheus-cpp-dev protobuf-compiler libprotobuf-dev
  # testing and checking
  libgtest-dev libgmock-dev libbenchmark-dev librapidcheck-dev clang clang-tidy clang-format libclang-rt-14-dev liburing-dev
  libnfs-dev
  wrk python3 procps libns3-dev
  # measuring against
  restic borgbackup casync
  # running: the engine's fetcher and what pods are made with
  mmdebstrap ca-certificates iproute2 nftables slirp4netns xfsprogs util-linux lammps openmpi-bin
  # MPI jobs of the tests
  hpcc mpich libmpich-dev
)

missing=()
for package in "${packages[@]}"; do
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -ne 0 ]; then
  echo "These packages are missing: ${missing[*]}" >&2
  echo "Install them as root (apt-get install ${missing[*]}) and run this again." >&2
  exit 1
fi
echo "Installing ${#missing[@]} packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
