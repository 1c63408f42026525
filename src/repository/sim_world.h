#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "repository/backend/fake_clock.h"
#include "repository/repository.h"
#include "repository/sim_stage.h"

/// For tests: writers, collectors, somebody who deletes and somebody who reads, each with a repository of its own on
/// one simulated store; and what has to be true whatever happens to them.
namespace cacs::repository {

struct SimCounts {
  std::uint64_t committed = 0;
  std::uint64_t refused = 0;  ///< fenced
  std::uint64_t unknown = 0;  ///< killed, or an answer was lost
  std::uint64_t deleted = 0;
  std::uint64_t read = 0;
  std::uint64_t packs_removed = 0;
  std::uint64_t packs_written = 0;
  std::uint64_t kills = 0;
};

class SimWorld {
 public:
  SimWorld(std::uint64_t seed, SessionFault fault);

  /// Chaos, then calm. The first thing found wrong, if any.
  std::optional<std::string> run();
  [[nodiscard]] const SimCounts& counts() const { return counts_; }

 private:
  enum class Fate { kUnknown, kCommitted, kRefused, kDeleting, kDeleted };
  using Contents = std::map<std::string, std::string>;  ///< by entry
  struct Expected {
    Fate fate = Fate::kUnknown;
    Contents contents;
  };
  struct Actor {
    SimWorld& world;
    int process;
    std::mt19937_64 random;
    std::string memory = {};  ///< of a writer
    std::vector<BlobRef> parents = {};
    [[nodiscard]] std::uint64_t pick(std::uint64_t below) { return random() % below; }
  };

  [[nodiscard]] Place place(std::unique_ptr<Backend> backend, std::uint64_t gone_percent) const;
  void live(Actor actor, int turns, Status (SimWorld::*act)(Actor&, Repository&));
  Status write(Actor& actor, Repository& repository);
  Status commit(Actor& actor, Repository& repository, const std::string& id, Contents& contents);
  Status collect(Actor& actor, Repository& repository);
  Status remove(Actor& actor, Repository& repository);
  Status read(Actor& actor, Repository& repository);
  static Result<std::string> pages(Actor& actor, Writer& writer, std::vector<Entry>& entries);
  std::optional<std::string> any_committed(Actor& actor);
  std::optional<std::string> await_committed(Actor& actor, Repository& repository);
  void verify(Repository& repository, const std::string& when);
  void settle(Repository& repository);
  void wrong(std::string what);

  std::uint64_t seed_;
  SessionFault fault_;
  SimChaos chaos_;
  SimStage stage_;
  std::mutex mutex_;
  std::map<std::string, Expected> model_;
  std::optional<std::string> wrong_;
  SimCounts counts_;
};

}  // namespace cacs::repository
