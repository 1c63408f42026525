#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace cacs::pod {

struct Limits {
  double cpus = 0;                 ///< 0: none
  std::uint64_t memory_bytes = 0;  ///< 0: none
  std::uint64_t pids = 0;          ///< 0: none

  friend bool operator==(const Limits&, const Limits&) = default;
};

/// Where a controller of control groups lives on this machine, which may run cgroup v1, v2 or both at once (hybrid):
/// each controller is found by itself.
struct Controller {
  std::string name;  ///< "cpu", "memory", "pids"
  std::filesystem::path mount;
  bool v2 = false;
};

/// From /proc/self/mountinfo and cgroup.controllers. Pure: takes the texts, for tests.
std::vector<Controller> find_controllers(const std::string& mountinfo, const std::string& v2_controllers);
Result<std::vector<Controller>> find_controllers();

/// Where groups can be frozen on this machine: v1's freezer, or any v2 hierarchy; none where there is neither. Pure.
std::optional<Controller> find_freezer(const std::string& mountinfo);
Result<Controller> find_freezer();

/// Whether a pod's processes have to be frozen from outside. An engine stops them by itself.
enum class Freezable { kNo, kYes };

/// One pod's control groups, one directory a controller (one in all under v2). The directories outlive this object:
/// they belong to the pod, and are removed by remove(). One thread at a time.
class PodCgroup {
 public:
  /// `name` is a plain file name, unique on the machine. Makes what is missing and sets the limits.
  static Result<PodCgroup> create(const std::string& name, const Limits& limits, Freezable freezable = Freezable::kNo);
  /// A group without limits, by which processes are found and no more: one directory, under v2 where there is such a
  /// mount, for a process can begin in it (Command::cgroups) instead of having to join.
  static Result<PodCgroup> create_plain(const std::string& name);
  /// Either without making anything: for adoption and removal.
  static Result<PodCgroup> open(const std::string& name);

  /// Directories a process must join (Command::cgroups).
  [[nodiscard]] const std::vector<std::filesystem::path>& directories() const { return directories_; }
  Status add(pid_t pid) const;
  /// Stops everything in it, and returns when all stands still. On failure nothing is frozen: kTimeout where a process
  /// could not be stopped within `limit`, kUnsupported for a group that was not made freezable.
  Status freeze(std::chrono::milliseconds limit) const;
  /// Idempotent; also of a group that is not frozen, cannot be, or is gone.
  Status thaw() const;
  /// The limits as the kernel has them now.
  [[nodiscard]] Result<Limits> read_limits() const;
  /// Bytes charged to the pod now; nullopt where no memory controller is to be had.
  [[nodiscard]] std::optional<std::uint64_t> memory_used() const;
  /// How often the kernel killed one of the pod's processes because memory was short.
  [[nodiscard]] std::uint64_t oom_kills() const;
  /// Kills what is still in it and removes the directories. Idempotent.
  Status remove() const;

 private:
  struct Member {
    Controller controller;
    std::filesystem::path directory;
  };
  static Result<PodCgroup> locate(const std::string& name);
  void forget_freezer();
  Status apply(const Limits& limits) const;
  [[nodiscard]] const Member* find(std::string_view controller) const;
  std::vector<Member> members_;
  std::vector<std::filesystem::path> directories_;
};

}  // namespace cacs::pod
