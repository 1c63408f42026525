#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "repository/storage.h"

namespace cacs::repository {

/// For tests: a storage in memory that knows which bytes and names were synced, can fail at any operation, and can
/// crash. The disk outlives the Storage objects on it, as a machine's disk outlives processes.
class ForgetfulDisk {
 public:
  /// What a crash does to what was not synced.
  enum class Crash {
    kKeepAll,   ///< the process dies, the machine lives: everything written is there
    kLoseAll,   ///< power loss: nothing unsynced is there
    kLoseSome,  ///< power loss: each name and each file's tail may or may not be there, the tail perhaps as garbage
  };

  struct File {
    std::string data;
    std::size_t synced = 0;  ///< bytes of `data` that are durable
  };
  using Names = std::map<std::string, std::shared_ptr<File>>;
  struct Directory {
    Names now;
    Names durable;
  };

  [[nodiscard]] std::unique_ptr<Storage> mount(const std::shared_ptr<ForgetfulDisk>& self);
  /// A deep copy, with no failure planned.
  [[nodiscard]] std::shared_ptr<ForgetfulDisk> clone() const;
  /// Ends all Storage objects (their operations fail from now on) and applies the crash.
  void crash(Crash how, std::uint64_t seed);

  /// The n-th changing operation from now on (1: the next) fails with no effect. `for_ever`: and so do all after it.
  void fail_at(std::uint64_t n, bool for_ever);
  [[nodiscard]] bool failed() const { return failed_; }

  /// All files, for tests that damage them.
  std::map<std::string, Directory>& directories() { return directories_; }
  [[nodiscard]] std::vector<std::string> file_names() const;
  std::string& contents(const std::string& name);

 private:
  friend class ForgetfulStorage;
  friend class ForgetfulWriter;
  Status step(const std::string& what);

  std::mutex mutex_;
  std::map<std::string, Directory> directories_;
  std::uint64_t epoch_ = 0;  ///< rises at each crash
  std::uint64_t steps_until_failure_ = 0;
  bool failing_for_ever_ = false;
  bool failed_ = false;
  int shared_locks_ = 0;
  bool exclusive_lock_ = false;
};

}  // namespace cacs::repository
