#pragma once

#include <sys/types.h>

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace cacs::basefs {

/// What is opened in an overlay: fanotify on the whole file system, which only tells and never holds a program up.
class OpenWatch {
 public:
  struct Event {
    std::string path;
    bool directory = false;
  };

  /// `root`: the overlay's root directory (O_PATH will do); `prefix`: where a mount of it that we do not stand in may
  /// show it, taken off the paths.
  Status start(int root, std::string prefix);
  [[nodiscard]] int fd() const { return fan_.get(); }
  /// What has been opened since, by others than this process. `lost`: the queue ran over, some are missing.
  std::vector<Event> read(bool& lost);

 private:
  UniqueFd fan_;
  std::string prefix_;
};

/// What changes in directories of the base: inotify. Any thread may add; one reads.
class ChangeWatch {
 public:
  struct Event {
    std::string path;        ///< of the file, or of the directory itself
    bool directory = false;  ///< the directory was moved or removed: everything in it is in doubt
  };

  Status start();
  [[nodiscard]] int fd() const { return inotify_.get(); }
  /// `base_path`: where the directory is; `directory`: what events call it. Watching twice is watching once.
  Status add(const std::string& base_path, const std::string& directory);
  std::vector<Event> read(bool& lost);

 private:
  UniqueFd inotify_;
  std::mutex mutex_;
  std::map<int, std::string> directories_;
  std::map<std::string, int> watches_;
};

}  // namespace cacs::basefs
