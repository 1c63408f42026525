#include "pod/network.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>

#include "base/io.h"
#include "base/log.h"
#include "net/netlink.h"

namespace cacs::pod {

namespace {

/// In the new namespace, `fd`.
Status configure_links(const PodSpec& spec, int fd, std::optional<SwitchPort>& port) {
  CACS_ASSIGN(net::Netlink links, net::Netlink::open());
  CACS_TRY(links.set_up("lo"));
  if (port) return port->connect(spec.address, spec.prefix);
  CACS_TRY(links.add_veth({.name = "eth0", .peer = "eth0-peer", .peer_namespace = fd, .mtu = kPodMtu, .address = {}}));
  CACS_TRY(links.add_address("eth0", spec.address, spec.prefix));
  CACS_TRY(links.set_up("eth0-peer"));
  return links.set_up("eth0");
}

Result<std::uint64_t> inode_of(int fd) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return errno_error(errno, "stat a network namespace");
  return static_cast<std::uint64_t>(info.st_ino);
}

}  // namespace

Result<PodNetwork> PodNetwork::create(const PodSpec& spec, UniqueFd switch_space) {
  CACS_ASSIGN(const UniqueFd before, open_file("/proc/self/ns/net", O_RDONLY));
  if (::unshare(CLONE_NEWNET) != 0) return errno_error(errno, "make a network namespace");
  PodNetwork network;
  if (switch_space.valid()) network.port_.emplace(std::move(switch_space), spec.pod);
  auto opened = open_file("/proc/self/ns/net", O_RDONLY);
  const Status configured = opened ? configure_links(spec, opened->get(), network.port_) : Status(opened.error());
  if (::setns(before.get(), CLONE_NEWNET) != 0) return errno_error(errno, "return to the machine's network namespace");
  CACS_TRY(configured);
  network.fd_ = *std::move(opened);
  CACS_ASSIGN(network.inode_, inode_of(network.fd_.get()));
  return network;
}

Result<PodNetwork> PodNetwork::adopt(const PodSpec& spec, pid_t init, UniqueFd switch_space) {
  PodNetwork network;
  if (switch_space.valid()) network.port_.emplace(std::move(switch_space), spec.pod);
  CACS_ASSIGN(network.fd_, open_file("/proc/" + std::to_string(init) + "/ns/net", O_RDONLY));
  CACS_ASSIGN(network.inode_, inode_of(network.fd_.get()));
  return network;
}

Status PodNetwork::close() { return port_ ? port_->close() : ok_status(); }
Status PodNetwork::open() { return port_ ? port_->open() : ok_status(); }

Status PodNetwork::start_egress() {
  constexpr int kNamespaceFd = 9;
  constexpr int kReadyFd = 8;
  std::array<int, 2> ready{};
  if (::pipe2(ready.data(), O_CLOEXEC) != 0) return errno_error(errno, "pipe");
  const UniqueFd read_end(ready[0]);
  UniqueFd write_end(ready[1]);
  Command command;
  command.argv = {"slirp4netns",
                  "--configure",
                  "--mtu=1400",
                  "--disable-host-loopback",
                  "--ready-fd",
                  std::to_string(kReadyFd),
                  "--netns-type=path",
                  "/proc/self/fd/" + std::to_string(kNamespaceFd),
                  "tap0"};
  command.fds = {{fd_.get(), kNamespaceFd}, {write_end.get(), kReadyFd}};
  command.die_with_parent = true;
  CACS_ASSIGN(Child child, spawn(command));
  write_end.reset();
  std::array<std::byte, 1> byte{};
  CACS_ASSIGN(const std::size_t got, read_full(read_end.get(), byte));
  if (got == 0) return make_error(ErrorCode::kUnavailable, "slirp4netns ended at once: the pod has no network outside");
  egress_ = std::move(child);
  egress_since_ = std::chrono::steady_clock::now();
  return {};
}

void PodNetwork::on_egress_end() {
  if (!egress_) return;
  const auto ended = egress_->wait();
  egress_.reset();
  spdlog::warn("slirp4netns ended with {}", ended ? ended->to_string() : ended.error().to_string());
  if (std::chrono::steady_clock::now() - egress_since_ < std::chrono::seconds(1)) return;
  if (const auto status = start_egress(); !status) spdlog::warn("no egress: {}", status.error().to_string());
}

}  // namespace cacs::pod
