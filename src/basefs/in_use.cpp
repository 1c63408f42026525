#include "basefs/in_use.h"

#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <array>
#include <filesystem>

namespace cacs::basefs {

namespace {

void add_links(const std::string& directory, std::set<std::string>& paths) {
  std::error_code problem;
  for (const auto& entry : std::filesystem::directory_iterator(directory, problem)) {
    std::array<char, 4096> target{};
    const ssize_t length = ::readlink(entry.path().c_str(), target.data(), target.size());
    if (length <= 0 || target[0] != '/') continue;
    std::string path(target.data(), static_cast<std::size_t>(length));
    if (path.ends_with(" (deleted)") || paths.count(path) != 0) continue;
    // Paths of other file systems of the same mount namespace look the same.
    struct statfs system {};
    if (::statfs(entry.path().c_str(), &system) != 0 || system.f_type != OVERLAYFS_SUPER_MAGIC) continue;
    paths.insert(std::move(path));
  }
}

}  // namespace

std::set<std::string> files_in_use(pid_t init) {
  std::set<std::string> paths;
  struct stat wanted {};
  if (::stat(("/proc/" + std::to_string(init) + "/ns/pid").c_str(), &wanted) != 0) return paths;
  std::error_code problem;
  for (const auto& process : std::filesystem::directory_iterator("/proc", problem)) {
    const std::string name = process.path().filename();
    if (name.empty() || name[0] < '1' || name[0] > '9') continue;
    struct stat space {};
    const std::string base = process.path();
    if (::stat((base + "/ns/pid").c_str(), &space) != 0 || space.st_ino != wanted.st_ino) continue;
    add_links(base + "/map_files", paths);
    add_links(base + "/fd", paths);
  }
  return paths;
}

}  // namespace cacs::basefs
