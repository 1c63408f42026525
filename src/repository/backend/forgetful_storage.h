#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "repository/backend/storage.h"

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
    std::size_t synced = 0;     ///< bytes of `data` that are durable
    std::weak_ptr<void> owner;  ///< who creates it; alive only with its process:
    std::uint64_t owner_epoch = 0;
  };
  using Names = std::map<std::string, std::shared_ptr<File>>;
  struct Directory {
    Names now;
    Names durable;
    bool named_durably = false;  ///< its own name, in its parent
  };

  ForgetfulDisk() { directories_[""].named_durably = true; }

  [[nodiscard]] std::unique_ptr<Storage> mount(const std::shared_ptr<ForgetfulDisk>& self);
  /// A deep copy, with no failure planned.
  [[nodiscard]] std::shared_ptr<ForgetfulDisk> clone() const;
  /// Ends all Storage objects (their operations fail from now on) and applies the crash.
  void crash(Crash how, std::uint64_t seed);

  /// The n-th changing operation from now on (1: the next) fails with no effect. `for_ever`: and so do all after it.
  void fail_at(std::uint64_t n, bool for_ever);
  [[nodiscard]] bool failed() const { return failed_; }
  /// No more than that many bytes in all files together: then kNoSpace, after what fits was written.
  void set_capacity(std::uint64_t bytes) { capacity_ = bytes; }
  /// Whether it passes for a file system that other hosts have mounted, and as which start of which host we see it. Of
  /// Storage objects mounted from now on.
  void set_host(bool shared, std::string boot_id);
  /// Without, as FAT: link() is kUnsupported.
  void set_hard_links(bool supported) { hard_links_ = supported; }

  /// All files, for tests that damage them.
  std::map<std::string, Directory>& directories() { return directories_; }
  [[nodiscard]] std::vector<std::string> file_names() const;
  std::string& contents(const std::string& name);

 private:
  friend class ForgetfulStorage;
  friend class ForgetfulWriter;
  friend class ForgetfulReader;
  Status step(const std::string& what);
  [[nodiscard]] FileInfo info_of(const std::shared_ptr<File>& file) const;
  [[nodiscard]] std::uint64_t bytes() const;
  void lose_directories(Crash how, std::mt19937_64& random);

  mutable std::mutex mutex_;
  std::map<std::string, Directory> directories_;
  std::uint64_t epoch_ = 0;  ///< rises at each crash
  std::uint64_t steps_until_failure_ = 0;
  std::uint64_t capacity_ = std::numeric_limits<std::uint64_t>::max();
  std::string boot_id_ = "00000000-0000-4000-8000-000000000000";
  bool shared_ = false;
  bool hard_links_ = true;
  bool failing_for_ever_ = false;
  bool failed_ = false;
};

}  // namespace cacs::repository
