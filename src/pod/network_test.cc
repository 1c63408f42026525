#include "pod/network.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <string>

#include "base/fd.h"
#include "base/io.h"

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

TEST(OutsideConnections, LinesThatAreNoConnectionsArePassedOver) {
  EXPECT_TRUE(parse_outside_connections("", false, "10.77.0.1", 16).empty());
  EXPECT_TRUE(parse_outside_connections("heading\nrubbish\n0: x y z\n", false, "10.77.0.1", 16).empty());
}

TEST(OutsideConnections, AreNotLookedForWhereNoSocketCanBeOne) {
  const std::string none = "sockets: used 11\nTCP: inuse 0 orphan 0 tw 0 alloc 7 mem 0\nUDP: inuse 3 mem 0\n";
  const std::string none6 = "TCP6: inuse 0\nUDP6: inuse 2\n";
  EXPECT_FALSE(may_have_connections(none, none6));
  EXPECT_FALSE(may_have_connections(none, ""));  // a kernel without IPv6
  EXPECT_TRUE(may_have_connections("TCP: inuse 1 orphan 0 tw 0 alloc 1 mem 0\n", none6));
  EXPECT_TRUE(may_have_connections("TCP: inuse 0 orphan 0 tw 2 alloc 1 mem 0\n", none6));
  EXPECT_TRUE(may_have_connections(none, "TCP6: inuse 10\n"));
  EXPECT_TRUE(may_have_connections(none, "UDP6: inuse 0\n"));
  EXPECT_TRUE(may_have_connections("", none6));
  EXPECT_TRUE(may_have_connections("TCP: inuse\n", none6));
}

TEST(OutsideConnections, AreFoundInThisVeryNamespace) {
  const UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  const auto read = [](const char* name) { return read_text_file(std::string("/proc/self/net/") + name).value(); };
  EXPECT_TRUE(may_have_connections(read("sockstat"), read("sockstat6")));
}

}  // namespace
}  // namespace cacs::pod
