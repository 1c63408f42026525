#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include "repository/backend/backend.h"
#include "repository/backend/memory_backend.h"

/// For tests: one store, and processes (threads, really) that take turns on it, operation by operation, as a seed says:
/// killed anywhere, with operations that fail, answers that are lost, changes that come late, and late listings.
namespace cacs::repository {

/// What goes wrong; all of it follows from the seed.
struct SimChaos {
  unsigned failures = 0;   ///< of a thousand operations: nothing happens, or the answer is lost, or it happens later
  unsigned kills = 0;      ///< of ten thousand operations: before it, the process is killed
  std::uint64_t lag = 0;   ///< of listings, in changes of the store
  bool conditions = true;  ///< Overwrite::kNo is honoured
};

class SimStage {
 public:
  SimStage(std::uint64_t seed, const SimChaos& chaos);

  /// Another process; its thread calls leave() at its end.
  int add(bool reliable);
  void leave(int process);
  /// The process's thread, after it was killed: it is another from here on. Its number of lives.
  std::uint64_t life(int process);
  void reborn(int process);
  [[nodiscard]] bool is_dead(int process);

  /// Gives turns until every process has left. Kills all after `turns`.
  void run(std::uint64_t turns);
  /// No more failures; what was to come late comes now.
  void calm();

  /// The store as one life of a process sees it.
  std::unique_ptr<Backend> backend(int process);
  /// Without turns and failures.
  std::unique_ptr<Backend> reliable_backend();
  [[nodiscard]] const std::shared_ptr<MemoryStore>& objects() const { return objects_; }
  [[nodiscard]] std::uint64_t kills() const { return kills_; }
  [[nodiscard]] std::uint64_t failures() const { return failed_; }

 private:
  friend class SimBackend;
  friend class SimWriter;
  enum class Verdict : std::uint8_t { kGo, kFail, kLost, kLate, kDead };
  struct Process {
    bool reliable = false;
    bool left = false;
    bool dead = false;
    bool granted = false;
    Verdict verdict = Verdict::kGo;
    std::uint64_t life = 1;
    std::size_t waiting = 0;
  };
  struct Effect {
    std::string name;
    MemoryStore::Object object;  ///< null: a removal
    Overwrite overwrite = Overwrite::kYes;
  };
  Verdict enter(int process, std::uint64_t life, bool changes);
  Status change(Verdict verdict, Effect effect);
  Status apply(const Effect& effect);
  std::vector<ObjectInfo> list(const std::string& prefix);
  bool chance(unsigned of, unsigned out_of) { return random_() % out_of < of; }
  [[nodiscard]] bool settled() const;
  void land_one();

  std::mutex mutex_;
  std::condition_variable turn_;     ///< a process waits for a turn, or has left
  std::condition_variable granted_;  ///< somebody was given one
  std::mt19937_64 random_;
  SimChaos chaos_;
  std::shared_ptr<MemoryStore> objects_ = std::make_shared<MemoryStore>();
  std::vector<Process> processes_;
  std::vector<Effect> late_;
  struct Changed {
    std::uint64_t version = 0;
    std::uint64_t size = 0;
  };
  std::map<std::string, Changed> changed_;
  std::uint64_t version_ = 0;
  std::uint64_t kills_ = 0;
  std::uint64_t failed_ = 0;
};

}  // namespace cacs::repository
