#pragma once

#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/io.h"
#include "base/json.h"
#include "base/process.h"
#include "net/http_server.h"

namespace cacs::cli {

inline constexpr const char* kApp = "0193a4f2-7c3e-7000-8000-000000000001";
inline constexpr const char* kCheckpoint = "0193a4f2-7c3e-7000-8000-0000000000c1";
inline constexpr const char* kOperation = "0193a4f2-7c3e-7000-8000-0000000000e1";

/// A directory that is gone at the end.
class ScratchDir {
 public:
  ScratchDir() {
    std::string pattern = std::filesystem::temp_directory_path() / "cacs-cli-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) std::abort();
    path_ = pattern;
  }
  ScratchDir(const ScratchDir&) = delete;
  ScratchDir& operator=(const ScratchDir&) = delete;
  ~ScratchDir() { [[maybe_unused]] const Status gone = remove_tree(path_); }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// The API on a unix socket in this process, by net::HttpServer: answers as docs/api-resources.md has them, and
/// remembers what was asked.
class TestServer {
 public:
  TestServer();
  TestServer(const TestServer&) = delete;
  TestServer& operator=(const TestServer&) = delete;
  ~TestServer() { release_logs(); }

  [[nodiscard]] std::string address() const { return "unix:" + (dir_.path() / "server.sock").string(); }
  [[nodiscard]] const std::filesystem::path& dir() const { return dir_.path(); }

  /// Answers "METHOD path" (without the query) from now on.
  void answer(const std::string& what, int status, const std::string& body, const std::string& location = {});
  /// Answers one after the other; the last one stays.
  void answers(const std::string& what, std::vector<std::string> bodies);
  /// What a follower of the log gets, one stream for each connection; the last one stays.
  void logs(std::vector<std::vector<std::string>> streams) {
    const std::scoped_lock lock(mutex_);
    log_streams_ = std::move(streams);
  }
  /// Log streams stay open after their records until release_logs().
  void hold_logs() { held_ = true; }
  void release_logs();

  /// "METHOD target" of every request so far, in order.
  std::vector<std::string> requests();
  /// The whole of the last request that began with `what`.
  net::Request last(const std::string& what);
  /// Waits until `count` requests that begin with `what` have come.
  bool wait_for(const std::string& what, std::ptrdiff_t count = 1);

  /// Runs the program under test against this server.
  Captured run(std::vector<std::string> arguments, std::vector<std::string> more_env = {});
  /// argv and environment for it.
  Command command(std::vector<std::string> arguments, std::vector<std::string> more_env = {}) const;

 private:
  struct Canned {
    int status = 200;
    std::vector<std::string> bodies;
    std::string location;
  };
  net::Response serve(const net::Request& request);
  void serve_logs(const net::Request& request, net::ResponseStream& stream);
  void remember(const net::Request& request);

  ScratchDir dir_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, Canned> canned_;
  std::vector<net::Request> requests_;
  std::vector<std::vector<std::string>> log_streams_;
  std::size_t log_connections_ = 0;
  bool held_ = false;
  std::unique_ptr<net::HttpServer> server_;  // last: it ends before what its handlers use
};

/// Log records as server-sent events.
std::string output_event(std::uint64_t offset, const std::string& base64, const std::string& stream = "stdout");
/// The record as an event with an id.
std::string with_id(const std::string& id, const std::string& event);
std::string rollback_event(std::uint64_t offset);
std::string end_event(const std::string& exit);

}  // namespace cacs::cli
