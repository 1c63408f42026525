// The network of the local cloud's nodes, in real namespaces: who reaches whom, what is found again, and that nothing
// is left. Needs root.

#include "cloud/local/local_network.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <filesystem>

#include "base/held_fd.h"
#include "base/io.h"
#include "base/process.h"
#include "net/netlink.h"

namespace cacs::cloud {
namespace {

std::uint64_t inode(int fd) {
  struct stat info {};
  EXPECT_EQ(::fstat(fd, &info), 0);
  return info.st_ino;
}

/// A datagram socket in a network.
UniqueFd socket_in(int network, const std::string& address, std::uint16_t port) {
  UniqueFd made;
  const Status done = net::in_network(network, [&]() -> Status {
    made.reset(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_in own{};
    own.sin_family = AF_INET;
    own.sin_port = htons(port);
    ::inet_pton(AF_INET, address.c_str(), &own.sin_addr);
    if (::bind(made.get(), reinterpret_cast<const sockaddr*>(&own), sizeof own) != 0) return errno_error(errno, "bind");
    return {};
  });
  EXPECT_TRUE(done.ok()) << done.error().to_string();
  return made;
}

bool say(int from, const std::string& to, std::uint16_t port) {
  sockaddr_in other{};
  other.sin_family = AF_INET;
  other.sin_port = htons(port);
  ::inet_pton(AF_INET, to.c_str(), &other.sin_addr);
  return ::sendto(from, "x", 1, 0, reinterpret_cast<const sockaddr*>(&other), sizeof other) == 1;
}

/// Whether something is heard within `ms`.
bool hears(int fd, int ms) {
  const timeval limit{ms / 1000, ms % 1000 * 1000};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  std::array<char, 8> data{};
  return ::recv(fd, data.data(), data.size(), 0) > 0;
}

class LocalNetworkTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    std::string name = (std::filesystem::temp_directory_path() / "cacs-network-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    nodes_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(nodes_); }

  std::unique_ptr<LocalNetwork> open(int count) {
    auto opened = LocalNetwork::open(nodes_, count);
    EXPECT_TRUE(opened.ok()) << opened.error().to_string();
    return *std::move(opened);
  }

  /// Somebody who holds a node's network, as its agent does, written down in `file`.
  Child holder(const LocalNetwork& network, int index, const std::filesystem::path& file) {
    auto child =
        spawn({.argv = {"sleep", "1000"},
               .fds = {{network.node(index), LocalNetwork::kNodeFd}, {network.router(), LocalNetwork::kRouterFd}},
               .die_with_parent = true});
    EXPECT_TRUE(child.ok());
    const auto identity = identify_process(child->pid());
    EXPECT_TRUE(make_directories(file.parent_path()).ok());
    EXPECT_TRUE(write_file_durably(file, boost::json::serialize(identity_to_json(*identity))).ok());
    return *std::move(child);
  }

  std::filesystem::path nodes_;
};

TEST_F(LocalNetworkTest, NodesReachEachOtherAndTheServerReachesThem) {
  const auto network = open(3);
  const UniqueFd first = socket_in(network->node(0), LocalNetwork::address(0), 5000);
  const UniqueFd last = socket_in(network->node(2), LocalNetwork::address(2), 5000);
  ASSERT_TRUE(say(first.get(), LocalNetwork::address(2), 5000));
  EXPECT_TRUE(hears(last.get(), 5000));
  const UniqueFd server = socket_in(network->router(), "0.0.0.0", 5001);
  ASSERT_TRUE(say(server.get(), LocalNetwork::address(0), 5000));
  EXPECT_TRUE(hears(first.get(), 5000));
}

TEST_F(LocalNetworkTest, TheMachineDoesNotReachThemNorTheyTheMachine) {
  const auto network = open(1);
  const UniqueFd node = socket_in(network->node(0), "0.0.0.0", 5000);
  const UniqueFd machine(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  say(machine.get(), LocalNetwork::address(0), 5000);  // to whoever has that address out there: nobody here
  EXPECT_FALSE(hears(node.get(), 200));
  EXPECT_FALSE(say(node.get(), "192.0.2.1", 5000) && hears(node.get(), 100));
}

TEST_F(LocalNetworkTest, ANodeWhoseCableIsOutIsCutOffFromAll) {
  const auto network = open(2);
  const UniqueFd first = socket_in(network->node(0), LocalNetwork::address(0), 5000);
  const UniqueFd second = socket_in(network->node(1), LocalNetwork::address(1), 5000);
  const auto set = [&](bool up) {
    return net::in_network(network->router(), [&]() -> Status {
      CACS_ASSIGN(net::Netlink links, net::Netlink::open());
      return up ? links.set_up("local-1") : links.set_down("local-1");
    });
  };
  ASSERT_TRUE(set(false).ok());
  say(first.get(), LocalNetwork::address(1), 5000);
  EXPECT_FALSE(hears(second.get(), 200));
  ASSERT_TRUE(set(true).ok());
  bool heard = false;
  for (int round = 0; round < 50 && !heard; ++round) {
    say(first.get(), LocalNetwork::address(1), 5000);
    heard = hears(second.get(), 100);
  }
  EXPECT_TRUE(heard);
}

TEST_F(LocalNetworkTest, WhatSomebodyHoldsIsFoundAgainAndTheRestMadeAnew) {
  auto network = open(3);
  const std::uint64_t router = inode(network->router());
  const std::uint64_t first = inode(network->node(0));
  const std::uint64_t second = inode(network->node(1));
  const std::uint64_t third = inode(network->node(2));
  const UniqueFd kept(::fcntl(network->node(2), F_DUPFD_CLOEXEC, 3));  // so that its number is not given again
  const Child agent = holder(*network, 0, nodes_ / "local-0" / "agent.pid");
  const Child shim = holder(*network, 1, nodes_ / "local-1" / "pods" / "some-pod" / "shim.json");
  network.reset();
  network = open(3);
  EXPECT_EQ(inode(network->router()), router);
  EXPECT_EQ(inode(network->node(0)), first);
  EXPECT_EQ(inode(network->node(1)), second);
  EXPECT_NE(inode(network->node(2)), third) << "nobody held it";
  const UniqueFd old = socket_in(network->node(1), LocalNetwork::address(1), 5000);
  const UniqueFd made = socket_in(network->node(2), LocalNetwork::address(2), 5000);
  ASSERT_TRUE(say(made.get(), LocalNetwork::address(1), 5000));
  EXPECT_TRUE(hears(old.get(), 5000)) << "it is behind the same router";
}

TEST_F(LocalNetworkTest, AHolderThatIsGoneIsNoHolder) {
  auto network = open(1);
  const std::uint64_t before = inode(network->node(0));
  const UniqueFd kept(::fcntl(network->node(0), F_DUPFD_CLOEXEC, 3));  // so that its number is not given again
  { const Child agent = holder(*network, 0, nodes_ / "local-0" / "agent.pid"); }
  network.reset();
  network = open(1);
  EXPECT_NE(inode(network->node(0)), before);
}

}  // namespace
}  // namespace cacs::cloud
