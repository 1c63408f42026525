#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "base/result.h"

namespace cacs::repository {

enum class GateMode {
  kShared,     ///< writers: many at once
  kExclusive,  ///< the collector: alone
};
enum class GateWait { kBlock, kFail };

/// Passage through a gate; given back by the destructor, and by the system when the process dies.
class GatePass {
 public:
  virtual ~GatePass() = default;
};

/// Keeps the collector away from writers: while one works, nothing that a writer has seen disappears. Any thread.
class Gate {
 public:
  virtual ~Gate() = default;
  /// kUnavailable when someone is in the way and `wait` is kFail; kUnsupported where nothing may be collected.
  virtual Result<std::unique_ptr<GatePass>> enter(GateMode mode, GateWait wait) = 0;
};

/// flock(2) on the file `lock` in a directory of this machine.
std::unique_ptr<Gate> make_file_gate(const std::filesystem::path& directory);
/// Within one process: for a store that only it uses.
std::unique_ptr<Gate> make_process_gate();
/// For a store that others may write to without our knowing: everybody may write, nobody may collect.
std::unique_ptr<Gate> make_open_gate();

}  // namespace cacs::repository
