#include "pod/outside.h"

#include <arpa/inet.h>
#include <fcntl.h>

#include <array>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <utility>

#include "base/io.h"
#include "base/text.h"
#include "net/netlink.h"

namespace cacs::pod {

using net::TcpEnd;
using net::TcpSocket;
using net::TcpSockets;

namespace {

/// "0100007F:1F90": the words of the address in hexadecimal, each as the kernel has it in memory, and the port.
std::optional<TcpEnd> parse_end(std::string_view text, bool v6) {
  const std::size_t digits = v6 ? 32 : 8;
  if (text.size() != digits + 5 || text[digits] != ':') return std::nullopt;
  TcpEnd end;
  for (std::size_t i = 0; i < digits / 8; ++i) {
    end.address.at(i) =
        static_cast<std::uint32_t>(std::strtoul(std::string(text.substr(i * 8, 8)).c_str(), nullptr, 16));
  }
  end.port = static_cast<std::uint16_t>(std::strtoul(std::string(text.substr(digits + 1)).c_str(), nullptr, 16));
  return end;
}

std::string show(const TcpEnd& end, bool v6) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  ::inet_ntop(v6 ? AF_INET6 : AF_INET, end.address.data(), text.data(), text.size());
  return (v6 ? "[" + std::string(text.data()) + "]" : std::string(text.data())) + ":" + std::to_string(end.port);
}

/// The IPv4 address that an IPv6 one stands for.
std::optional<std::uint32_t> mapped(const TcpEnd& end) {
  if (end.address[0] != 0 || end.address[1] != 0 || end.address[2] != htonl(0xffff)) return std::nullopt;
  return end.address[3];
}

bool is_inside_v4(std::uint32_t address, const std::string& own_address, int prefix) {
  const std::uint32_t host = ntohl(address);
  if ((host >> 24U) == 127) return true;
  in_addr own{};
  if (prefix < 1 || prefix > 32 || ::inet_pton(AF_INET, own_address.c_str(), &own) != 1) return false;
  const std::uint32_t mask = ~std::uint32_t{0} << (32U - static_cast<unsigned>(prefix));
  return (host & mask) == (ntohl(own.s_addr) & mask);
}

Result<std::vector<TcpSocket>> outside_sockets(TcpSockets& sockets, const PodSpec& spec, bool v4 = true,
                                               bool v6 = true) {
  CACS_ASSIGN(std::vector<TcpSocket> all, sockets.connected(v4, v6));
  std::erase_if(all, [&](const TcpSocket& each) {
    return !is_outside(each.v6, each.local, each.remote, spec.address, spec.prefix);
  });
  return all;
}

Result<std::size_t> reset_all(TcpSockets& sockets, const PodSpec& spec) {
  // A connection that was half-open while they were listed may stand under another name after it.
  constexpr int kRounds = 3;
  std::size_t count = 0;
  Status problem;
  for (int round = 0; round < kRounds; ++round) {
    CACS_ASSIGN(const auto outside, outside_sockets(sockets, spec));
    if (outside.empty()) return count;
    if (round == 0) count = outside.size();
    for (const auto& each : outside) {
      // One that has ended by itself meanwhile is not in the next list.
      if (const Status reset = sockets.reset(each); !reset) {
        problem = reset.error().with_context(show(each.local, each.v6) + " to " + show(each.remote, each.v6));
      }
    }
  }
  CACS_ASSIGN(const auto left, outside_sockets(sockets, spec));
  if (left.empty()) return count;
  CACS_TRY(problem);
  return make_error(ErrorCode::kInternal, "the connection " + show(left.front().local, left.front().v6) + " to " +
                                              show(left.front().remote, left.front().v6) +
                                              " is there after it was reset");
}

}  // namespace

bool is_outside(bool v6, const TcpEnd& local, const TcpEnd& remote, const std::string& own_address, int prefix) {
  if (local.address == remote.address) return false;
  if (!v6) return !is_inside_v4(remote.address[0], own_address, prefix);
  if (const auto v4 = mapped(remote)) return !is_inside_v4(*v4, own_address, prefix);
  const std::array<std::uint32_t, 4> loopback{0, 0, 0, htonl(1)};
  return remote.address != loopback;
}

std::vector<OutsideConnection> parse_outside_connections(const std::string& table, bool v6,
                                                         const std::string& own_address, int prefix) {
  std::vector<OutsideConnection> connections;
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
    const auto local = parse_end(fields[1], v6);
    const auto remote = parse_end(fields[2], v6);
    if (!local || !remote || !is_outside(v6, *local, *remote, own_address, prefix)) continue;
    connections.push_back(
        {v6 ? "tcp6" : "tcp", show(*local, v6), show(*remote, v6), std::strtoull(fields[9].c_str(), nullptr, 10)});
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
  const Status asked = net::in_network(space.get(), [&]() -> Status {
    CACS_ASSIGN(TcpSockets sockets, TcpSockets::open());
    CACS_ASSIGN(const auto outside, outside_sockets(sockets, spec, v4, v6));
    for (const TcpSocket& each : outside) {
      found.push_back({each.v6 ? "tcp6" : "tcp", show(each.local, each.v6), show(each.remote, each.v6), each.inode});
    }
    return {};
  });
  return asked ? Result<std::vector<OutsideConnection>>(std::move(found)) : read_tables(base, spec);
}

Status can_reset_connections(int network) {
  return net::in_network(network, []() -> Status {
    CACS_ASSIGN(TcpSockets sockets, TcpSockets::open());
    return sockets.can_reset();
  });
}

Result<std::size_t> reset_outside_connections(int network, const PodSpec& spec) {
  std::size_t count = 0;
  CACS_TRY(net::in_network(network, [&]() -> Status {
    CACS_ASSIGN(TcpSockets sockets, TcpSockets::open());
    CACS_ASSIGN(count, reset_all(sockets, spec));
    return {};
  }));
  return count;
}

}  // namespace cacs::pod
