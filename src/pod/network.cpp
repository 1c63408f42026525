#include "pod/network.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/io.h"
#include "base/log.h"
#include "base/text.h"
#include "net/netlink.h"
#include "net/sock_diag.h"

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

/// One of the kernel's hexadecimal addresses, in network byte order within each 32-bit word.
struct Endpoint {
  std::array<std::uint32_t, 4> words{};
  unsigned port = 0;
  bool valid = false;
};

Endpoint parse_endpoint(std::string_view text, bool v6) {
  Endpoint endpoint;
  const std::size_t digits = v6 ? 32 : 8;
  if (text.size() != digits + 5 || text[digits] != ':') return endpoint;
  for (std::size_t i = 0; i < digits / 8; ++i) {
    endpoint.words.at(i) =
        static_cast<std::uint32_t>(std::strtoul(std::string(text.substr(i * 8, 8)).c_str(), nullptr, 16));
  }
  endpoint.port = static_cast<unsigned>(std::strtoul(std::string(text.substr(digits + 1)).c_str(), nullptr, 16));
  endpoint.valid = true;
  return endpoint;
}

std::string show(const Endpoint& endpoint, bool v6) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  ::inet_ntop(v6 ? AF_INET6 : AF_INET, endpoint.words.data(), text.data(), text.size());
  return (v6 ? "[" + std::string(text.data()) + "]" : std::string(text.data())) + ":" + std::to_string(endpoint.port);
}

bool is_inside_v4(std::uint32_t address, std::uint32_t own, int prefix) {
  const std::uint32_t host = ntohl(address);
  if ((host >> 24U) == 127) return true;
  const std::uint32_t mask = ~std::uint32_t{0} << (32U - static_cast<unsigned>(prefix));
  return (host & mask) == (ntohl(own) & mask);
}

bool is_inside(const Endpoint& remote, bool v6, std::uint32_t own, int prefix) {
  if (!v6) return is_inside_v4(remote.words[0], own, prefix);
  const bool mapped = remote.words[0] == 0 && remote.words[1] == 0 && remote.words[2] == htonl(0xffff);
  if (mapped) return is_inside_v4(remote.words[3], own, prefix);
  return remote.words[0] == 0 && remote.words[1] == 0 && remote.words[2] == 0 && remote.words[3] == htonl(1);
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

std::vector<OutsideConnection> parse_outside_connections(const std::string& table, bool v6,
                                                         const std::string& own_address, int prefix) {
  std::vector<OutsideConnection> connections;
  std::uint32_t own = 0;
  ::inet_pton(AF_INET, own_address.c_str(), &own);
  bool heading = true;
  for (const auto& line : split(table, '\n')) {
    if (std::exchange(heading, false)) continue;
    std::vector<std::string> fields;
    for (auto& field : split(line, ' ')) {
      if (!field.empty()) fields.push_back(std::move(field));
    }
    if (fields.size() < 10) continue;
    const auto state = std::strtoul(fields[3].c_str(), nullptr, 16);
    constexpr unsigned long kTimeWait = 6;
    constexpr unsigned long kClose = 7;
    constexpr unsigned long kListen = 10;
    if (state == kListen || state == kTimeWait || state == kClose) continue;
    const Endpoint local = parse_endpoint(fields[1], v6);
    const Endpoint remote = parse_endpoint(fields[2], v6);
    if (!local.valid || !remote.valid || is_inside(remote, v6, own, prefix)) continue;
    connections.push_back(
        {v6 ? "tcp6" : "tcp", show(local, v6), show(remote, v6), std::strtoull(fields[9].c_str(), nullptr, 10)});
  }
  return connections;
}

bool may_have_connections(const std::string& sockstat, const std::string& sockstat6, bool v6) {
  if (v6 && sockstat6.empty()) return false;
  // "TCP: inuse 3 orphan 0 tw 1 alloc 4 mem 1". What waits after its end (tw) may be half-closed and is of both
  // families.
  const auto number = [](const std::string& text, std::string_view line_name, std::string_view key) {
    for (const auto& line : split(text, '\n')) {
      const auto words = split(line, ' ');
      if (words.empty() || words.front() != line_name) continue;
      for (std::size_t i = 1; i + 1 < words.size(); i += 2) {
        if (words[i] == key) return words[i + 1];
      }
    }
    return std::string();
  };
  const std::string used = v6 ? number(sockstat6, "TCP6:", "inuse") : number(sockstat, "TCP:", "inuse");
  return used != "0" || number(sockstat, "TCP:", "tw") != "0";
}

namespace {

/// Of one family, in the network namespace `space`.
Status add_outside(int space, bool v6, const PodSpec& spec, std::vector<OutsideConnection>& found) {
  std::uint32_t own = 0;
  ::inet_pton(AF_INET, spec.address.c_str(), &own);
  std::vector<net::TcpConnection> all;
  CACS_TRY(net::in_network(space, [&]() -> Status {
    CACS_ASSIGN(all, net::tcp_connections(v6));
    return {};
  }));
  const auto endpoint = [](const net::TcpEndpoint& from) {
    return Endpoint{.words = from.words, .port = from.port, .valid = true};
  };
  for (const auto& each : all) {
    const Endpoint remote = endpoint(each.remote);
    if (is_inside(remote, v6, own, spec.prefix)) continue;
    found.push_back({v6 ? "tcp6" : "tcp", show(endpoint(each.local), v6), show(remote, v6), each.inode});
  }
  return {};
}

/// For a kernel that does not answer otherwise.
Result<std::vector<OutsideConnection>> read_tables(const std::string& base, const PodSpec& spec) {
  CACS_ASSIGN(const std::string v4, read_text_file(base + "tcp"));
  auto connections = parse_outside_connections(v4, false, spec.address, spec.prefix);
  if (const auto v6 = read_text_file(base + "tcp6"); v6) {
    for (auto& connection : parse_outside_connections(*v6, true, spec.address, spec.prefix)) {
      connections.push_back(std::move(connection));
    }
  }
  return connections;
}

}  // namespace

Result<std::vector<OutsideConnection>> outside_connections(pid_t init, const PodSpec& spec) {
  const std::string base = "/proc/" + std::to_string(init) + "/net/";
  const auto sockstat = read_text_file(base + "sockstat");
  const auto sockstat6 = read_text_file(base + "sockstat6");
  const bool told = sockstat && (sockstat6 || sockstat6.error().code == ErrorCode::kNotFound);
  const std::string ipv6 = sockstat6 ? *sockstat6 : "";
  const bool v4 = !told || may_have_connections(*sockstat, ipv6, false);
  const bool v6 = !told || may_have_connections(*sockstat, ipv6, true);
  std::vector<OutsideConnection> found;
  if (!v4 && !v6) return found;
  CACS_ASSIGN(const UniqueFd space, open_file("/proc/" + std::to_string(init) + "/ns/net", O_RDONLY));
  Status asked = v4 ? add_outside(space.get(), false, spec, found) : ok_status();
  if (asked && v6) asked = add_outside(space.get(), true, spec, found);
  return asked ? Result<std::vector<OutsideConnection>>(std::move(found)) : read_tables(base, spec);
}

}  // namespace cacs::pod
