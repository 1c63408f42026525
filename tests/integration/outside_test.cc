// Resetting what leads out of a pod's network, in network namespaces with real connections in all their states: those
// to the outside end at once, with an error for whoever waits, and no other notices anything. Needs root.

#include "pod/outside.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <future>
#include <string>
#include <utility>

#include "net/netlink.h"

namespace cacs::pod {

using net::in_network;
using net::Netlink;

namespace {

constexpr const char* kPod = "10.77.0.1";
constexpr const char* kOtherPod = "10.77.0.2";
constexpr const char* kPodOutside = "198.51.100.1";
constexpr const char* kOutside = "198.51.100.2";
constexpr const char* kNobody = "198.51.100.3";
constexpr int kLimitMs = 10'000;

/// IPv4, or mapped into IPv6.
struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

Address address_of(const std::string& address, std::uint16_t port, bool v6) {
  Address made;
  if (v6) {
    auto* const at = reinterpret_cast<sockaddr_in6*>(&made.storage);
    at->sin6_family = AF_INET6;
    at->sin6_port = htons(port);
    EXPECT_EQ(::inet_pton(AF_INET6, ("::ffff:" + address).c_str(), &at->sin6_addr), 1);
    made.size = sizeof(sockaddr_in6);
  } else {
    auto* const at = reinterpret_cast<sockaddr_in*>(&made.storage);
    at->sin_family = AF_INET;
    at->sin_port = htons(port);
    EXPECT_EQ(::inet_pton(AF_INET, address.c_str(), &at->sin_addr), 1);
    made.size = sizeof(sockaddr_in);
  }
  return made;
}

const sockaddr* raw(const Address& address) { return reinterpret_cast<const sockaddr*>(&address.storage); }

/// A connected pair.
struct Pair {
  UniqueFd pod;    ///< the end in the pod
  UniqueFd other;  ///< the end elsewhere, or in the pod too; invalid where it was not accepted
};

bool says(const UniqueFd& from, const UniqueFd& to, const std::string& text) {
  if (::send(from.get(), text.data(), text.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(text.size())) return false;
  std::string got;
  while (got.size() < text.size()) {
    pollfd waiting{to.get(), POLLIN, 0};
    if (::poll(&waiting, 1, kLimitMs) != 1) return false;
    std::array<char, 256> piece{};
    const ssize_t size = ::recv(to.get(), piece.data(), piece.size(), 0);
    if (size <= 0) return false;
    got.append(piece.data(), static_cast<std::size_t>(size));
  }
  return got == text;
}

/// What a read comes to that may wait: an errno, or 0 where something came or the end did.
int read_error(const UniqueFd& fd) {
  pollfd waiting{fd.get(), POLLIN, 0};
  if (::poll(&waiting, 1, kLimitMs) != 1) return ETIMEDOUT;
  char byte = 0;
  return ::recv(fd.get(), &byte, 1, 0) < 0 ? errno : 0;
}

int state_of(const UniqueFd& fd) {
  tcp_info info{};
  socklen_t size = sizeof info;
  EXPECT_EQ(::getsockopt(fd.get(), IPPROTO_TCP, TCP_INFO, &info, &size), 0);
  return info.tcpi_state;
}

/// A pod's network, with a cable to another pod and one to the outside; both of those are in one other namespace.
class OutsideTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    spec_.address = kPod;
    spec_.prefix = 16;
    pod_ = new_network();
    world_ = new_network();
    connect_spaces("pods", kPod, kOtherPod, 16);
    connect_spaces("out", kPodOutside, kOutside, 24);
  }

  static UniqueFd new_network() {
    auto made = net::make_network([](int, int) -> Status {
      CACS_ASSIGN(Netlink links, Netlink::open());
      return links.set_up("lo");
    });
    EXPECT_TRUE(made.ok()) << made.error().to_string();
    return made.ok() ? *std::move(made) : UniqueFd();
  }

  void connect_spaces(const std::string& name, const char* pod, const char* world, int prefix) {
    const Status here = in_network(pod_.get(), [&]() -> Status {
      CACS_ASSIGN(Netlink links, Netlink::open());
      CACS_TRY(
          links.add_veth({.name = name, .peer = name, .peer_namespace = world_.get(), .mtu = 1400, .address = {}}));
      CACS_TRY(links.add_address(name, pod, prefix));
      return links.set_up(name);
    });
    ASSERT_TRUE(here.ok()) << here.error().to_string();
    const Status there = in_network(world_.get(), [&]() -> Status {
      CACS_ASSIGN(Netlink links, Netlink::open());
      CACS_TRY(links.add_address(name, world, prefix));
      return links.set_up(name);
    });
    ASSERT_TRUE(there.ok()) << there.error().to_string();
  }

  static UniqueFd make_socket(const UniqueFd& space, int family, int type) {
    UniqueFd made;
    const Status done = in_network(space.get(), [&]() -> Status {
      made = UniqueFd(::socket(family, type | SOCK_CLOEXEC, 0));
      return made.valid() ? ok_status() : Status(errno_error(errno, "socket"));
    });
    EXPECT_TRUE(done.ok()) << done.error().to_string();
    return made;
  }

  static UniqueFd listen_at(const UniqueFd& space, const std::string& address, std::uint16_t port, bool v6 = false) {
    UniqueFd fd = make_socket(space, v6 ? AF_INET6 : AF_INET, SOCK_STREAM);
    const int on = 1;
    EXPECT_EQ(::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
    const Address at = address_of(address, port, v6);
    EXPECT_EQ(::bind(fd.get(), raw(at), at.size), 0) << address;
    EXPECT_EQ(::listen(fd.get(), 8), 0);
    return fd;
  }

  static UniqueFd accept_at(const UniqueFd& listener) {
    pollfd waiting{listener.get(), POLLIN, 0};
    EXPECT_EQ(::poll(&waiting, 1, kLimitMs), 1);
    return UniqueFd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  }

  /// From the pod to a listener at this address.
  Pair connect_from_pod(const UniqueFd& listener_space, const char* address, bool v6 = false,
                        const std::string& device = {}) {
    const std::uint16_t port = next_port_++;
    const UniqueFd listener = listen_at(listener_space, address, port, v6);
    Pair pair;
    pair.pod = make_socket(pod_, v6 ? AF_INET6 : AF_INET, SOCK_STREAM);
    if (!device.empty()) {
      const auto size = static_cast<socklen_t>(device.size());
      EXPECT_EQ(::setsockopt(pair.pod.get(), SOL_SOCKET, SO_BINDTODEVICE, device.c_str(), size), 0) << errno;
    }
    const Address at = address_of(address, port, v6);
    EXPECT_EQ(::connect(pair.pod.get(), raw(at), at.size), 0) << address << " " << errno;
    pair.other = accept_at(listener);
    return pair;
  }

  Result<std::size_t> reset() { return reset_outside_connections(pod_.get(), spec_); }

  PodSpec spec_;
  UniqueFd pod_;
  UniqueFd world_;
  std::uint16_t next_port_ = 9000;
};

TEST_F(OutsideTest, ThisKernelCan) {
  const Status can = can_reset_connections(pod_.get());
  EXPECT_TRUE(can.ok()) << can.error().to_string();
}

TEST_F(OutsideTest, WhereThereIsNoneNothingIsReset) {
  const Pair inner = connect_from_pod(pod_, "127.0.0.1");
  const auto count = reset();
  ASSERT_TRUE(count.ok()) << count.error().to_string();
  EXPECT_EQ(*count, 0U);
  EXPECT_TRUE(says(inner.pod, inner.other, "on"));
}

TEST_F(OutsideTest, ConnectionsInsideAreNotTouched) {
  std::vector<Pair> inside;
  inside.push_back(connect_from_pod(pod_, "127.0.0.1"));
  inside.push_back(connect_from_pod(pod_, "127.0.0.1", true));
  inside.push_back(connect_from_pod(pod_, kPod));
  inside.push_back(connect_from_pod(pod_, kPodOutside));
  inside.push_back(connect_from_pod(world_, kOtherPod));
  inside.push_back(connect_from_pod(world_, kOtherPod, true));
  const Pair outside = connect_from_pod(world_, kOutside);
  const auto count = reset();
  ASSERT_TRUE(count.ok()) << count.error().to_string();
  EXPECT_EQ(*count, 1U);
  EXPECT_EQ(read_error(outside.pod), ECONNABORTED);
  for (const auto& pair : inside) {
    EXPECT_TRUE(says(pair.pod, pair.other, "there"));
    EXPECT_TRUE(says(pair.other, pair.pod, "and back"));
  }
}

TEST_F(OutsideTest, WhoeverWaitsIsTold) {
  std::vector<Pair> outside;
  outside.push_back(connect_from_pod(world_, kOutside));
  outside.push_back(connect_from_pod(world_, kOutside, true));
  outside.push_back(connect_from_pod(world_, kOutside, false, "out"));
  std::vector<std::future<int>> readers;
  readers.reserve(outside.size());
  for (const auto& pair : outside) {
    readers.push_back(std::async(std::launch::async, [&pair] {
      char byte = 0;
      return ::recv(pair.pod.get(), &byte, 1, 0) < 0 ? errno : 0;
    }));
  }
  const auto count = reset();
  ASSERT_TRUE(count.ok()) << count.error().to_string();
  EXPECT_EQ(*count, outside.size());
  for (auto& reader : readers) EXPECT_EQ(reader.get(), ECONNABORTED);
  for (const auto& pair : outside) {
    EXPECT_EQ(read_error(pair.other), ECONNRESET);
    // The error is told once; from then on the connection is one that has ended.
    EXPECT_EQ(::send(pair.pod.get(), "x", 1, MSG_NOSIGNAL), -1);
    EXPECT_EQ(errno, EPIPE);
  }
}

TEST_F(OutsideTest, WhatHadComeIsReadBeforeTheError) {
  const Pair pair = connect_from_pod(world_, kOutside);
  ASSERT_EQ(::send(pair.other.get(), "last", 4, MSG_NOSIGNAL), 4);
  pollfd waiting{pair.pod.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&waiting, 1, kLimitMs), 1);
  ASSERT_TRUE(reset().ok());
  std::array<char, 8> text{};
  EXPECT_EQ(::recv(pair.pod.get(), text.data(), text.size(), 0), 4);
  EXPECT_EQ(read_error(pair.pod), ECONNABORTED);
}

TEST_F(OutsideTest, HalfClosedAndHalfOpenOnesCountAsWell) {
  const Pair closing = connect_from_pod(world_, kOutside);
  ASSERT_EQ(::shutdown(closing.pod.get(), SHUT_WR), 0);
  EXPECT_EQ(read_error(closing.other), 0);
  const Pair closed = connect_from_pod(world_, kOutside);
  ASSERT_EQ(::shutdown(closed.other.get(), SHUT_WR), 0);
  EXPECT_EQ(read_error(closed.pod), 0);
  // Nobody answers there: on its way until the kernel gives up.
  const UniqueFd calling = make_socket(pod_, AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
  const Address nobody = address_of(kNobody, 9, false);
  EXPECT_EQ(::connect(calling.get(), raw(nobody), nobody.size), -1);
  ASSERT_EQ(errno, EINPROGRESS);
  EXPECT_THAT(state_of(closing.pod), testing::AnyOf(TCP_FIN_WAIT1, TCP_FIN_WAIT2));  // acknowledged soon or already
  EXPECT_EQ(state_of(closed.pod), TCP_CLOSE_WAIT);
  EXPECT_EQ(state_of(calling), TCP_SYN_SENT);
  const auto count = reset();
  ASSERT_TRUE(count.ok()) << count.error().to_string();
  EXPECT_EQ(*count, 3U);
  for (const auto* fd : {&closing.pod, &closed.pod, &calling}) {
    EXPECT_EQ(state_of(*fd), TCP_CLOSE);
    int error = 0;
    socklen_t size = sizeof error;
    EXPECT_EQ(::getsockopt(fd->get(), SOL_SOCKET, SO_ERROR, &error, &size), 0);
    EXPECT_EQ(error, ECONNABORTED);
  }
}

TEST_F(OutsideTest, OneThatNobodyHasAcceptedYetCountsAndItsListenerListensOn) {
  const UniqueFd listener = listen_at(pod_, "0.0.0.0", 8080);
  const Address at = address_of(kPodOutside, 8080, false);
  const UniqueFd caller = make_socket(world_, AF_INET, SOCK_STREAM);
  ASSERT_EQ(::connect(caller.get(), raw(at), at.size), 0);
  pollfd waiting{listener.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&waiting, 1, kLimitMs), 1);
  const auto count = reset();
  ASSERT_TRUE(count.ok()) << count.error().to_string();
  EXPECT_EQ(*count, 1U);
  EXPECT_EQ(read_error(caller), ECONNRESET);
  EXPECT_EQ(read_error(accept_at(listener)), ECONNABORTED);
  const UniqueFd again = make_socket(world_, AF_INET, SOCK_STREAM);
  ASSERT_EQ(::connect(again.get(), raw(at), at.size), 0);
  const UniqueFd accepted = accept_at(listener);
  EXPECT_TRUE(says(again, accepted, "welcome"));
}

TEST_F(OutsideTest, DatagramsAreLeftAlone) {
  const UniqueFd there = make_socket(world_, AF_INET, SOCK_DGRAM);
  const Address at = address_of(kOutside, 9100, false);
  ASSERT_EQ(::bind(there.get(), raw(at), at.size), 0);
  const UniqueFd here = make_socket(pod_, AF_INET, SOCK_DGRAM);
  ASSERT_EQ(::connect(here.get(), raw(at), at.size), 0);
  const auto count = reset();
  ASSERT_TRUE(count.ok()) << count.error().to_string();
  EXPECT_EQ(*count, 0U);
  EXPECT_TRUE(says(here, there, "datagram"));
}

TEST_F(OutsideTest, ManyAtOnce) {
  std::vector<Pair> outside;
  for (int i = 0; i < 300; ++i) outside.push_back(connect_from_pod(world_, kOutside));
  const auto count = reset();
  ASSERT_TRUE(count.ok()) << count.error().to_string();
  EXPECT_EQ(*count, outside.size());
  for (const auto& pair : outside) EXPECT_EQ(read_error(pair.pod), ECONNABORTED);
}

}  // namespace
}  // namespace cacs::pod
