#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <stop_token>
#include <string>

#include "base/result.h"

namespace cacs::repository {

enum class GateMode {
  kShared,     ///< writers: many at once
  kExclusive,  ///< the collector: alone
};
enum class GateWait { kBlock, kFail };

/// For how long a collector that waits keeps new writers out, so that those inside come to an end. A writer that is
/// kept out may be the one that another inside waits for: so a turn ends, the writers go in, and after a pause of the
/// same length comes the next turn, twice as long.
struct GateTurns {
  std::chrono::milliseconds first{1000};
  std::chrono::milliseconds longest{120000};
};

/// Passage through a gate; given back by the destructor, and by the system when the process dies.
class GatePass {
 public:
  virtual ~GatePass() = default;
};

/// Keeps the collector away from writers: while one works, nothing that a writer has seen disappears. A collector that
/// waits gets in though writers come without an end (GateTurns). Any thread.
class Gate {
 public:
  virtual ~Gate() = default;
  /// kUnavailable when someone is in the way and `wait` is kFail; kUnsupported where nothing may be collected;
  /// kAborted when `stop` was asked
  /// for while it waited (collectors only: writers wait on).
  virtual Result<std::unique_ptr<GatePass>> enter(GateMode mode, GateWait wait, const std::stop_token& stop = {}) = 0;
};

/// flock(2) on the files `lock` and `turn` in a directory of this machine. Who writes holds `lock` shared, who collects
/// holds it alone; everybody passes through `turn` before, where a collector that waits keeps the others back.
std::unique_ptr<Gate> make_file_gate(const std::filesystem::path& directory, GateTurns turns = {});
/// Within one process: for a store that only it uses.
std::unique_ptr<Gate> make_process_gate(GateTurns turns = {});
/// For a store that others may write to without our knowing: everybody may write, nobody may collect.
std::unique_ptr<Gate> make_open_gate();

}  // namespace cacs::repository
