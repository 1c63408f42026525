#include "net/tcp_sockets.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/fd.h"

namespace cacs::net {
namespace {

struct Pair {
  UniqueFd listener;
  UniqueFd client;
  UniqueFd server;
  std::uint16_t port = 0;
};

Pair connect_to_itself() {
  Pair pair;
  pair.listener.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  pair.client.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  EXPECT_EQ(::bind(pair.listener.get(), generic, length), 0);
  EXPECT_EQ(::listen(pair.listener.get(), 1), 0);
  EXPECT_EQ(::getsockname(pair.listener.get(), generic, &length), 0);
  EXPECT_EQ(::connect(pair.client.get(), generic, length), 0);
  pair.server.reset(::accept4(pair.listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  EXPECT_TRUE(pair.server.valid());
  pair.port = ntohs(address.sin_port);
  return pair;
}

std::uint64_t inode_of(int fd) {
  struct stat info {};
  EXPECT_EQ(::fstat(fd, &info), 0);
  return info.st_ino;
}

Result<std::vector<TcpSocket>> list(bool v4, bool v6) {
  CACS_ASSIGN(TcpSockets sockets, TcpSockets::open());
  return sockets.connected(v4, v6);
}

TEST(TcpSockets, BothEndsAreFoundAndNotWhatListens) {
  const Pair pair = connect_to_itself();
  const auto all = list(true, false);
  ASSERT_TRUE(all.ok()) << all.error().to_string();
  const auto of = [&](int fd) {
    return std::find_if(all->begin(), all->end(), [&](const auto& each) { return each.inode == inode_of(fd); });
  };
  const auto client = of(pair.client.get());
  const auto server = of(pair.server.get());
  ASSERT_NE(client, all->end());
  ASSERT_NE(server, all->end());
  EXPECT_EQ(of(pair.listener.get()), all->end());
  EXPECT_EQ(client->remote.port, pair.port);
  EXPECT_EQ(client->remote.address[0], htonl(INADDR_LOOPBACK));
  EXPECT_EQ(server->local.port, pair.port);
  EXPECT_EQ(server->remote.port, client->local.port);
  const auto v6 = list(false, true);
  ASSERT_TRUE(v6.ok()) << v6.error().to_string();
  for (const auto& each : *v6) EXPECT_NE(each.inode, inode_of(pair.client.get()));
}

TEST(TcpSockets, MoreThanOneAnswerHolds) {
  std::vector<Pair> pairs(300);
  for (Pair& pair : pairs) pair = connect_to_itself();
  const auto all = list(true, false);
  ASSERT_TRUE(all.ok()) << all.error().to_string();
  for (const Pair& pair : pairs) {
    const auto inode = inode_of(pair.server.get());
    EXPECT_EQ(std::count_if(all->begin(), all->end(), [&](const auto& each) { return each.inode == inode; }), 1);
  }
}

}  // namespace
}  // namespace cacs::net
