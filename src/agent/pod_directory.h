#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace cacs::agent {

/// One directory of a running pod in which program and agent tell each other something by files. It is found as the
/// pod's processes find it: no link of theirs leads out of the pod. One thread at a time.
class PodDirectory {
 public:
  /// The directory that `path` (absolute, as in the pod) lies in; watched from here on. kNotFound where there is none.
  static Result<PodDirectory> of(pid_t init, const std::string& path);

  [[nodiscard]] const std::string& name() const { return name_; }  ///< the last part of the path
  [[nodiscard]] bool exists() const;
  /// A new, empty file that belongs to `user` (a name or number, as the pod's own tables have it). In place of one that
  /// is there.
  Status make(pid_t init, const std::string& user) const;
  /// What is not there is success.
  Status remove() const;

  /// Readable when a name in the directory has come or gone.
  [[nodiscard]] int events() const { return events_.get(); }
  void take_events() const;

 private:
  UniqueFd directory_;
  UniqueFd events_;
  std::string name_;
  std::string path_;
};

}  // namespace cacs::agent
