#include "pod/network.h"

#include <gtest/gtest.h>

#include <string>

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

}  // namespace
}  // namespace cacs::pod
