// The switches of an application's pods, in real network namespaces: who hears whom, on one node and over two, open and
// closed. Needs root.

#include "pod/switch.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <optional>
#include <string>
#include <thread>

#include "base/io.h"
#include "net/netlink.h"

namespace cacs::pod {

using net::in_network;
using net::Netlink;

namespace {

UniqueFd new_network() {
  auto made = net::make_network([](int, int) { return ok_status(); });
  EXPECT_TRUE(made.ok()) << made.error().to_string();
  return made.ok() ? *std::move(made) : UniqueFd();
}

UniqueFd duplicate(const UniqueFd& fd) { return UniqueFd(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 3)); }

/// As one node sees it: a network namespace that its switch is made from.
class Node {
 public:
  Node() : space_(new_network()) {}
  [[nodiscard]] int space() const { return space_.get(); }

  /// A cable to another, with an address at each end.
  void connect(const Node& other, const std::string& address, const std::string& others) const {
    const Status connected = in_network(space(), [&]() -> Status {
      CACS_ASSIGN(Netlink links, Netlink::open());
      CACS_TRY(links.add_veth(
          {.name = "node", .peer = "node", .peer_namespace = other.space(), .mtu = 1500, .address = {}}));
      CACS_TRY(links.add_address("node", address, 24));
      return links.set_up("node");
    });
    EXPECT_TRUE(connected.ok()) << connected.error().to_string();
    const Status answered = in_network(other.space(), [&]() -> Status {
      CACS_ASSIGN(Netlink links, Netlink::open());
      CACS_TRY(links.add_address("node", others, 24));
      return links.set_up("node");
    });
    EXPECT_TRUE(answered.ok()) << answered.error().to_string();
  }

  [[nodiscard]] UniqueFd make(const std::optional<Underlay>& underlay = {}) const {
    UniqueFd made;
    const Status done = in_network(space(), [&]() -> Status {
      CACS_ASSIGN(made, make_switch(underlay));
      return {};
    });
    EXPECT_TRUE(done.ok()) << done.error().to_string();
    return made;
  }

 private:
  UniqueFd space_;
};

/// A pod's end: a network namespace with eth0 at the switch, and a datagram socket in it.
class End {
 public:
  End(const UniqueFd& space, const std::string& pod, const std::string& address)
      : space_(new_network()), port_(duplicate(space), pod) {
    const Status made = in_network(space_.get(), [&]() -> Status {
      CACS_TRY(port_.connect(address, 16));
      socket_ = UniqueFd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
      const sockaddr_in own = at(address);
      if (::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&own), sizeof own) != 0) {
        return errno_error(errno, "bind " + address);
      }
      return {};
    });
    EXPECT_TRUE(made.ok()) << made.error().to_string();
  }

  SwitchPort& port() { return port_; }

  void send(const std::string& address, const std::string& text) {
    const sockaddr_in to = at(address);
    ::sendto(socket_.get(), text.data(), text.size(), 0, reinterpret_cast<const sockaddr*>(&to), sizeof to);
  }
  /// What comes within the limit; empty: nothing.
  std::string receive(int limit_ms) {
    pollfd waiting{socket_.get(), POLLIN, 0};
    if (::poll(&waiting, 1, limit_ms) != 1) return {};
    std::array<char, 2000> text{};
    const ssize_t got = ::recv(socket_.get(), text.data(), text.size(), 0);
    return got > 0 ? std::string(text.data(), static_cast<std::size_t>(got)) : std::string();
  }

 private:
  static sockaddr_in at(const std::string& address) {
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_port = htons(9000);
    ::inet_pton(AF_INET, address.c_str(), &where.sin_addr);
    return where;
  }

  UniqueFd space_;
  SwitchPort port_;
  UniqueFd socket_;
};

constexpr const char* kFirst = "10.77.0.1";
constexpr const char* kSecond = "10.77.0.2";
constexpr int kSoon = 5000;
constexpr int kNever = 300;

class SwitchTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  }
  static void open(End& end) {
    const Status opened = end.port().open();
    ASSERT_TRUE(opened.ok()) << opened.error().to_string();
  }
  static void close(End& end) {
    const Status closed = end.port().close();
    ASSERT_TRUE(closed.ok()) << closed.error().to_string();
  }
};

TEST_F(SwitchTest, APortIsClosedUntilItIsOpened) {
  const Node node;
  const UniqueFd space = node.make();
  End first(space, "pod-0", kFirst);
  End second(space, "pod-1", kSecond);
  EXPECT_FALSE(*first.port().is_open());
  open(first);
  first.send(kSecond, "one");
  EXPECT_EQ(second.receive(kNever), "");
  open(second);
  EXPECT_TRUE(*second.port().is_open());
  first.send(kSecond, "two");
  EXPECT_NE(second.receive(kSoon), "");
  // Both ways, and again.
  close(second);
  while (!second.receive(0).empty()) {
  }
  first.send(kSecond, "three");
  second.send(kFirst, "four");
  EXPECT_EQ(second.receive(kNever), "");
  EXPECT_EQ(first.receive(kNever), "");
  open(second);
  second.send(kFirst, "five");
  EXPECT_EQ(first.receive(kSoon), "five");
}

TEST_F(SwitchTest, ThoseOfOneNetworkHearEachOtherOverTwoNodesAndNobodyElseDoes) {
  const Node one;
  const Node other;
  one.connect(other, "192.0.2.1", "192.0.2.2");
  const auto near = [](std::uint32_t id) {
    return Underlay{.network_id = id, .local = "192.0.2.1", .peers = {"192.0.2.2"}};
  };
  const auto far = [](std::uint32_t id) {
    return Underlay{.network_id = id, .local = "192.0.2.2", .peers = {"192.0.2.1"}};
  };
  const UniqueFd here = one.make(near(7));
  const UniqueFd there = other.make(far(7));
  const UniqueFd next = other.make(far(8));  // the application's next incarnation: the same addresses
  End first(here, "pod-0", kFirst);
  End second(there, "pod-1", kSecond);
  End copy(next, "pod-1", kSecond);
  for (End* each : {&first, &second, &copy}) open(*each);
  first.send(kSecond, "hello");
  EXPECT_EQ(second.receive(kSoon), "hello");
  second.send(kFirst, std::string(1300, 'x'));
  EXPECT_EQ(first.receive(kSoon), std::string(1300, 'x'));
  copy.send(kFirst, "an old copy");
  EXPECT_EQ(first.receive(kNever), "");
  EXPECT_EQ(copy.receive(0), "");
}

TEST_F(SwitchTest, APortThatIsMadeAgainTakesThePlaceOfTheOldOne) {
  const Node node;
  const UniqueFd space = node.make();
  End first(space, "pod-0", kFirst);
  open(first);
  std::optional<End> second;
  for (int round = 0; round < 3; ++round) {
    second.emplace(space, "pod-1", kSecond);
    open(*second);
    first.send(kSecond, "hello");
    EXPECT_EQ(second->receive(kSoon), "hello") << round;
  }
}

TEST_F(SwitchTest, BadUnderlaysAreRefused) {
  const Node node;
  const Status refused = in_network(node.space(), [&]() -> Status {
    CACS_TRY(make_switch(Underlay{.network_id = 7, .local = "not an address", .peers = {}}));
    return {};
  });
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace cacs::pod
