#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace cacs::pod {

/// The shim's connection to the pod's init (init/protocol.h). Open while the pod runs, closed in good order before a
/// cut. One thread at a time.
class InitLink {
 public:
  /// Connects through /proc/PID/root and greets.
  static Result<InitLink> connect(pid_t init, std::chrono::milliseconds limit);

  [[nodiscard]] int fd() const { return fd_.get(); }
  Status send(const std::string& line) const;
  /// A command to run in the pod (verb `exec`). Strings must not hold NUL.
  Status send_exec(std::uint64_t id, const std::string& user, const std::string& cwd,
                   const std::vector<std::string>& env, const std::vector<std::string>& argv) const;
  /// The complete lines that have come; `closed` is set when init has gone away.
  Result<std::vector<std::string>> receive(bool& closed);
  /// Says `quiesce` and waits until init has let go, so that nothing in the pod refers to us.
  Status quiesce(std::chrono::milliseconds limit);

 private:
  UniqueFd fd_;
  std::string pending_;
};

}  // namespace cacs::pod
