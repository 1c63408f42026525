#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "application/fake_node.h"
#include "application/manager.h"

namespace cacs::application {

/// A manager with a real database, in a directory of its own, over a cloud of two nodes in memory.
class ManagerFixture : public ::testing::Test {
 protected:
  ManagerFixture() {
    std::string name = "/tmp/cacs-manager-XXXXXX";
    directory_ = ::mkdtemp(name.data());
    start();
  }
  ~ManagerFixture() override {
    stop();
    std::filesystem::remove_all(directory_);
  }

  /// The server ends and comes again: stop(), start().
  void start() {
    auto database = database::open_sqlite(directory_ / "cacs.db");
    ASSERT_TRUE(database.ok()) << database.error().to_string();
    database_ = *std::move(database);
    auto manager = Manager::start(*database_, {{"local", &cloud_}}, options_);
    ASSERT_TRUE(manager.ok()) << manager.error().to_string();
    manager_ = *std::move(manager);
  }
  void stop() {
    manager_.reset();
    database_.reset();
  }

  template <typename Condition>
  static bool wait_until(Condition condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return true;
  }
  /// The incarnation, or a later one, of the application in that state.
  bool wait_state(const std::string& id, const std::string& wanted, int incarnation = 0) {
    return wait_until([&] {
      const auto view = manager_->get({}, id);
      return view.ok() && (*view)->state == wanted && (*view)->incarnation >= incarnation;
    });
  }
  FakeNode& node(std::size_t index = 0) { return cloud_.node(index); }
  static std::string uid(const std::string& id) { return id + ".pod-0"; }

  ManagerOptions options_{.workers = 4,
                          .poll_wait = std::chrono::milliseconds(50),
                          .reconnect_wait = std::chrono::milliseconds(5),
                          .time_limit_margin = std::chrono::milliseconds(200)};
  std::filesystem::path directory_;
  FakeCloud cloud_;
  std::unique_ptr<database::Database> database_;
  std::unique_ptr<Manager> manager_;
};

}  // namespace cacs::application
