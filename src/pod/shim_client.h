#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "base/fd.h"
#include "base/json.h"
#include "base/result.h"
#include "pod/layout.h"

namespace cacs::pod {

/// The agent's end of the connection to one shim (verbs and events in shim.h). Calls may come from any thread; events
/// are handed, in order, to the handler, on a thread of this object's own. The handler must not make calls on this
/// object.
class ShimClient {
 public:
  using EventHandler = std::function<void(const JsonObject&)>;

  /// `on_event` also gets {"event": "lost"} once, when the shim has gone away.
  static Result<std::unique_ptr<ShimClient>> connect(const PodLayout& layout, EventHandler on_event);
  ~ShimClient();
  ShimClient(const ShimClient&) = delete;
  ShimClient& operator=(const ShimClient&) = delete;

  /// Sends `message` (with `op`) and waits for the answer. The shim's error becomes ours; kUnavailable when it has
  /// gone.
  Result<JsonObject> call(JsonObject message, std::chrono::milliseconds limit = std::chrono::seconds(30));

 private:
  ShimClient(UniqueFd fd, EventHandler on_event);
  void read_loop();

  UniqueFd fd_;
  EventHandler on_event_;
  std::mutex mutex_;
  std::condition_variable answered_;
  std::map<std::int64_t, std::optional<JsonObject>> waiting_;  ///< by seq; filled when the answer has come
  std::int64_t next_seq_ = 1;
  bool lost_ = false;
  std::thread reader_;
};

}  // namespace cacs::pod
