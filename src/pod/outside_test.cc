#include "pod/outside.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "base/fd.h"

namespace cacs::pod {
namespace {

// As the kernel writes it (a little-endian machine): 10.77.0.1:22 listens; it is connected with 10.77.0.2, with
// 127.0.0.1, with 192.0.2.7 (half open), and has been with 192.0.2.8.
const std::string kTable =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    "   0: 01004D0A:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 100 1 0 100 0 0 10 0\n"
    "   1: 01004D0A:0400 02004D0A:0016 01 00000000:00000000 00:00000000 00000000     0        0 101 1 0 100 0 0 10 0\n"
    "   2: 0100007F:0401 0100007F:0016 01 00000000:00000000 00:00000000 00000000     0        0 102 1 0 100 0 0 10 0\n"
    "   3: 6402000A:0402 070200C0:0050 02 00000000:00000000 00:00000000 00000000     0        0 103 1 0 100 0 0 10 0\n"
    "   4: 6402000A:0403 080200C0:0050 06 00000000:00000000 00:00000000 00000000     0        0 104 1 0 100 0 0 10 0\n";

TEST(OutsideConnections, AreThoseWhoseOtherEndIsInNoPodOfTheApplication) {
  const auto found = parse_outside_connections(kTable, false, "10.77.0.1", 16);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].protocol, "tcp");
  EXPECT_EQ(found[0].local, "10.0.2.100:1026");
  EXPECT_EQ(found[0].remote, "192.0.2.7:80");
  EXPECT_EQ(found[0].inode, 103U);
  EXPECT_EQ(parse_outside_connections(kTable, false, "10.77.0.1", 32).size(), 2U);
}

// Of IPv6: [::1] with itself; sockets of both families that are connected with 10.77.0.2, 127.0.0.1 and 192.0.2.7, all
// three mapped; [2001:db8::1]; and one that has not been accepted yet, with 192.0.2.9.
const std::string kTable6 =
    "  sl  local_address remote_address st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    "   0: 00000000000000000000000001000000:0400 00000000000000000000000001000000:0016 01 "
    "00000000:00000000 00:00000000 00000000     0        0 200 1 0 20 4 0 10 -1\n"
    "   1: 0000000000000000FFFF000001004D0A:0401 0000000000000000FFFF000002004D0A:0016 01 "
    "00000000:00000000 00:00000000 00000000     0        0 201 1 0 20 4 0 10 -1\n"
    "   2: 0000000000000000FFFF00000100007F:0402 0000000000000000FFFF00000100007F:0016 01 "
    "00000000:00000000 00:00000000 00000000     0        0 202 1 0 20 4 0 10 -1\n"
    "   3: 0000000000000000FFFF00006402000A:0403 0000000000000000FFFF0000070200C0:0050 08 "
    "00000000:00000000 00:00000000 00000000     0        0 203 1 0 20 4 0 10 -1\n"
    "   4: B80D0120000000000000000002000000:0404 B80D0120000000000000000001000000:0050 01 "
    "00000000:00000000 00:00000000 00000000     0        0 204 1 0 20 4 0 10 -1\n"
    "   5: 0000000000000000FFFF00006402000A:0050 0000000000000000FFFF0000090200C0:9C40 01 "
    "00000000:00000000 00:00000000 00000000     0        0 0 1 0 20 4 0 10 -1\n";

TEST(OutsideConnections, OfIpv6AreJudgedByTheAddressThatIsMeant) {
  const auto found = parse_outside_connections(kTable6, true, "10.77.0.1", 16);
  ASSERT_EQ(found.size(), 3U);
  EXPECT_EQ(found[0].protocol, "tcp6");
  EXPECT_EQ(found[0].local, "[::ffff:10.0.2.100]:1027");
  EXPECT_EQ(found[0].remote, "[::ffff:192.0.2.7]:80");
  EXPECT_EQ(found[0].inode, 203U);
  EXPECT_EQ(found[1].remote, "[2001:db8::1]:80");
  EXPECT_EQ(found[2].remote, "[::ffff:192.0.2.9]:40000");
}

net::TcpEnd end(const char* address, bool v6 = false) {
  net::TcpEnd made;
  EXPECT_EQ(::inet_pton(v6 ? AF_INET6 : AF_INET, address, made.address.data()), 1) << address;
  made.port = 80;
  return made;
}

bool outside(const char* local, const char* remote, int prefix = 16) {
  return is_outside(false, end(local), end(remote), "10.77.0.1", prefix);
}

bool outside6(const char* local, const char* remote) {
  return is_outside(true, end(local, true), end(remote, true), "10.77.0.1", 16);
}

TEST(OutsideConnections, TheNetworkOfThePodsEndsWhereItsPrefixSays) {
  EXPECT_FALSE(outside("10.77.0.1", "10.77.0.2"));
  EXPECT_FALSE(outside("10.77.0.1", "10.77.255.255"));
  EXPECT_TRUE(outside("10.0.2.100", "10.78.0.0"));
  EXPECT_TRUE(outside("10.0.2.100", "10.76.255.255"));
  EXPECT_TRUE(outside("10.77.0.1", "10.77.1.0", 24));
  EXPECT_FALSE(outside("10.77.0.1", "10.77.0.255", 24));
  EXPECT_FALSE(outside("127.0.0.1", "127.255.255.254"));
  EXPECT_TRUE(outside("10.0.2.100", "128.0.0.1"));
  EXPECT_TRUE(outside("10.0.2.100", "10.0.2.2"));
}

TEST(OutsideConnections, APrefixThatIsNoneMakesNothingInside) {
  for (const int prefix : {-1, 0, 33}) {
    EXPECT_TRUE(outside("10.77.0.1", "10.77.0.2", prefix)) << prefix;
    EXPECT_FALSE(outside("127.0.0.1", "127.0.0.1", prefix)) << prefix;
  }
  EXPECT_TRUE(is_outside(false, end("10.77.0.1"), end("10.77.0.2"), "no address", 16));
}

TEST(OutsideConnections, WhoIsConnectedWithItsOwnAddressIsInsideWhateverItIs) {
  EXPECT_FALSE(outside("10.0.2.100", "10.0.2.100"));
  EXPECT_FALSE(outside6("fe80::1", "fe80::1"));
  EXPECT_TRUE(outside6("fe80::1", "fe80::2"));
  EXPECT_FALSE(outside6("::1", "::1"));
  EXPECT_TRUE(outside6("2001:db8::1", "::2"));
}

TEST(OutsideConnections, LinesThatAreNoConnectionsArePassedOver) {
  EXPECT_TRUE(parse_outside_connections("", false, "10.77.0.1", 16).empty());
  EXPECT_TRUE(parse_outside_connections("heading\nrubbish\n0: x y z\n", false, "10.77.0.1", 16).empty());
  // A table of the one family read as that of the other.
  EXPECT_TRUE(parse_outside_connections(kTable, true, "10.77.0.1", 16).empty());
  EXPECT_TRUE(parse_outside_connections(kTable6, false, "10.77.0.1", 16).empty());
}

TEST(OutsideConnections, AreNotLookedForWhereNoSocketCanBeOne) {
  const std::string none = "sockets: used 11\nTCP: inuse 0 orphan 0 tw 0 alloc 7 mem 0\nUDP: inuse 3 mem 0\n";
  const std::string none6 = "TCP6: inuse 0\nUDP6: inuse 2\n";
  const std::string some = "TCP: inuse 1 orphan 0 tw 0 alloc 1 mem 0\n";
  const std::string ended = "TCP: inuse 0 orphan 0 tw 2 alloc 1 mem 0\n";
  for (const bool v6 : {false, true}) {
    EXPECT_FALSE(may_have_connections(none, none6, v6));
    EXPECT_TRUE(may_have_connections(ended, none6, v6));
    EXPECT_TRUE(may_have_connections("", none6, v6));
    EXPECT_TRUE(may_have_connections("TCP: inuse\n", none6, v6));
  }
  EXPECT_TRUE(may_have_connections(some, none6, false));
  EXPECT_FALSE(may_have_connections(some, none6, true));
  EXPECT_TRUE(may_have_connections(none, "TCP6: inuse 10\n", true));
  EXPECT_TRUE(may_have_connections(none, "UDP6: inuse 0\n", true));
  EXPECT_FALSE(may_have_connections(some, "", true));  // a kernel without IPv6
}

/// A connection of this process to itself is outside of a pod of another network, and inside where loopback always is.
TEST(OutsideConnections, OfAProcessAreFound) {
  const UniqueFd listener(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!listener.valid()) GTEST_SKIP() << "the kernel has no IPv6";
  const auto lists = [] { return outside_connections(::getpid(), {.address = "10.77.0.1", .prefix = 16}); };
  const auto before = lists();
  ASSERT_TRUE(before.ok()) << before.error().to_string();
  const UniqueFd half(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr_in far{};
  far.sin_family = AF_INET;
  far.sin_port = htons(9);
  ::inet_pton(AF_INET, "192.0.2.7", &far.sin_addr);
  if (::connect(half.get(), reinterpret_cast<const sockaddr*>(&far), sizeof far) != 0 && errno != EINPROGRESS) {
    GTEST_SKIP() << "there is no route to anywhere";
  }
  const auto after = lists();
  ASSERT_TRUE(after.ok()) << after.error().to_string();
  EXPECT_EQ(after->size(), before->size() + 1);
  const auto is_ours = [](const OutsideConnection& each) {
    return each.protocol == "tcp" && each.remote == "192.0.2.7:9" && each.inode != 0;
  };
  EXPECT_TRUE(std::any_of(after->begin(), after->end(), is_ours));
}

}  // namespace
}  // namespace cacs::pod
