#pragma once

#include <memory>
#include <string>

#include "base/fd.h"
#include "base/json.h"
#include "base/process.h"

namespace cacs::testing {

/// A real server of tests/servers, with its own state, on ports of its own. It ends with this object, and also when
/// this process is killed: it reads its commands from a pipe of ours.
class TestServer {
 public:
  /// `kind`: the name of its file. The first start on a machine makes the server's chroot, which takes a minute.
  static Result<std::unique_ptr<TestServer>> start(const std::string& kind);
  TestServer(const TestServer&) = delete;
  TestServer& operator=(const TestServer&) = delete;
  ~TestServer();

  /// "kill", "stop" (data stays) or "start": returns when it is done.
  Status command(const std::string& command);

  [[nodiscard]] const std::string& kind() const { return kind_; }
  /// What it says of itself.
  [[nodiscard]] const JsonObject& ready() const { return ready_; }

 private:
  TestServer(std::string kind, Child child, UniqueFd commands, UniqueFd answers);
  Result<std::string> read_line();

  std::string kind_;
  Child child_;
  UniqueFd commands_;
  UniqueFd answers_;
  JsonObject ready_;
};

}  // namespace cacs::testing
