#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <string>

#include "base/fd.h"
#include "base/process.h"

namespace cacs::e2e {

/// An address of the loopback device that a pod takes for one outside: its way there leads through its gateway.
class OutsideAddress {
 public:
  OutsideAddress() { EXPECT_TRUE(change("add")); }
  OutsideAddress(const OutsideAddress&) = delete;
  OutsideAddress& operator=(const OutsideAddress&) = delete;
  ~OutsideAddress() { EXPECT_TRUE(change("del")); }
  static constexpr const char* kAddress = "198.51.100.77";  // of those kept for documentation

 private:
  static bool change(const char* how) {
    const auto done = run_command({.argv = {"ip", "address", how, std::string(kAddress) + "/32", "dev", "lo"}},
                                  std::chrono::seconds(10));
    return done.ok() && done->status.success();
  }
};

/// A server at it: takes connections when it is told to.
class OutsideServer {
 public:
  explicit OutsideServer(int backlog = 16) {
    listener_ = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    address_.sin_family = AF_INET;
    EXPECT_EQ(::inet_pton(AF_INET, OutsideAddress::kAddress, &address_.sin_addr), 1);
    EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address_), sizeof(address_)), 0);
    EXPECT_EQ(::listen(listener_.get(), backlog), 0);
    socklen_t length = sizeof(address_);
    EXPECT_EQ(::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address_), &length), 0);
  }

  [[nodiscard]] std::string port() const { return std::to_string(ntohs(address_.sin_port)); }
  /// "198.51.100.77:PORT"
  [[nodiscard]] std::string name() const { return std::string(OutsideAddress::kAddress) + ":" + port(); }
  [[nodiscard]] const sockaddr_in& address() const { return address_; }

  [[nodiscard]] UniqueFd accept() const {
    pollfd waiting{listener_.get(), POLLIN, 0};
    EXPECT_EQ(::poll(&waiting, 1, kLimitMs), 1) << "nobody calls " << name();
    return UniqueFd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  }
  /// What comes over a connection until it is `text`, or until nothing more does.
  static std::string receive(const UniqueFd& connection, const std::string& text) {
    std::string got;
    while (got.size() < text.size()) {
      pollfd waiting{connection.get(), POLLIN, 0};
      if (::poll(&waiting, 1, kLimitMs) != 1) break;
      std::array<char, 4096> piece{};
      const ssize_t size = ::recv(connection.get(), piece.data(), piece.size(), 0);
      if (size <= 0) break;
      got.append(piece.data(), static_cast<std::size_t>(size));
    }
    return got;
  }
  static bool send(const UniqueFd& connection, const std::string& text) {
    return ::send(connection.get(), text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
  }

 private:
  static constexpr int kLimitMs = 60'000;
  UniqueFd listener_;
  sockaddr_in address_{};
};

}  // namespace cacs::e2e
