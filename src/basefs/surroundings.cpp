#include "basefs/surroundings.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>

namespace cacs::basefs {

namespace {

constexpr int kMaxDepth = 16;

std::size_t depth(std::string_view path) {
  return path.size() < 2 ? 0 : static_cast<std::size_t>(std::count(path.begin(), path.end(), '/'));
}

std::string parent_of(const std::string& path) { return std::filesystem::path(path).parent_path(); }

std::filesystem::path inside(const std::filesystem::path& base, const std::string& path) {
  return base.string() == "/" ? path : base.string() + path;
}

bool is_there(const std::filesystem::path& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0;
}

/// Directories that hold things of everybody: a tree that begins here says nothing about one program.
bool is_shared_directory(const std::string& path) {
  constexpr std::array<std::string_view, 6> kShared{"/var/tmp",   "/var/lib", "/var/log",
                                                    "/var/cache", "/var/opt", "/var/spool"};
  if (depth(path) < 2 || std::find(kShared.begin(), kShared.end(), path) != kShared.end()) return true;
  return path.starts_with("/home/") && depth(path) == 2;
}

Surroundings tree_or_directory(const std::string& path) { return {path, !is_shared_directory(path)}; }

bool has_modules(const std::filesystem::path& directory) {
  std::error_code problem;
  for (const auto& entry : std::filesystem::directory_iterator(directory, problem)) {
    if (is_module(entry.path().native())) return true;
  }
  return false;
}

}  // namespace

bool is_within(std::string_view path, std::string_view tree) {
  return path.starts_with(tree) && (path.size() == tree.size() || path[tree.size()] == '/');
}

bool is_module(std::string_view path) {
  constexpr std::array<std::string_view, 12> kEndings{".py",  ".pyc", ".pm",  ".pl", ".rb",  ".js",
                                                      ".mjs", ".cjs", ".lua", ".R",  ".tcl", ".jl"};
  return std::any_of(kEndings.begin(), kEndings.end(), [&](std::string_view ending) { return path.ends_with(ending); });
}

bool is_system_directory(std::string_view path) {
  constexpr std::array<std::string_view, 13> kSystem{"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/usr",
                                                     "/etc", "/boot", "/dev", "/proc",  "/sys",   "/run"};
  return path == "/" ||
         std::any_of(kSystem.begin(), kSystem.end(), [&](std::string_view tree) { return is_within(path, tree); });
}

std::optional<Surroundings> surroundings_of_file(const std::filesystem::path& base, const std::string& path) {
  std::string directory = parent_of(path);
  const bool system = is_system_directory(directory);
  if (!is_module(path)) {
    if (system) return std::nullopt;
    return tree_or_directory(directory);
  }
  if (directory.ends_with("/__pycache__")) directory = parent_of(directory);
  // From a module of a package up to the directory that packages are looked for in.
  std::string package;
  while (depth(directory) > 1 && is_there(inside(base, directory) / "__init__.py")) {
    package = directory;
    directory = parent_of(directory);
  }
  if (!system) return tree_or_directory(directory);
  // /usr/lib/python3.11 is a tree of modules; /usr/bin with a script in it is not.
  if (depth(directory) < 3) return std::nullopt;
  // Where the distribution puts the packages of every program: this program uses the one.
  if (directory.ends_with("/dist-packages") || directory.ends_with("/site-packages")) {
    return package.empty() ? Surroundings{directory, false} : Surroundings{package, true};
  }
  return Surroundings{directory, true};
}

std::optional<Surroundings> surroundings_of_directory(const std::filesystem::path& base, const std::string& path) {
  if (depth(path) < 2) return std::nullopt;
  if (!is_system_directory(path)) return tree_or_directory(path);
  if (depth(path) < 3 || !has_modules(inside(base, path))) return std::nullopt;
  return Surroundings{path, false};
}

void walk(const std::filesystem::path& base, const Surroundings& where, const std::vector<std::string>& excluded,
          const std::function<bool(const std::string& path)>& visit) {
  struct stat top {};
  if (::lstat(inside(base, where.root).c_str(), &top) != 0 || !S_ISDIR(top.st_mode)) return;
  std::vector<std::string> pending{where.root};
  while (!pending.empty()) {
    const std::string directory = std::move(pending.back());
    pending.pop_back();
    std::vector<std::string> names;
    std::error_code problem;
    for (const auto& entry : std::filesystem::directory_iterator(inside(base, directory), problem)) {
      names.push_back(entry.path().filename());
    }
    std::sort(names.begin(), names.end());
    for (const auto& name : names) {
      if (name.starts_with('.')) continue;
      std::string path = directory;
      path += '/';
      path += name;
      struct stat info {};
      if (::lstat(inside(base, path).c_str(), &info) != 0 || info.st_dev != top.st_dev) continue;
      if (std::any_of(excluded.begin(), excluded.end(), [&](const auto& tree) { return is_within(path, tree); })) {
        continue;
      }
      if (S_ISDIR(info.st_mode)) {
        if (where.recursive && depth(path) < depth(where.root) + kMaxDepth) pending.push_back(std::move(path));
      } else if ((S_ISREG(info.st_mode) || S_ISLNK(info.st_mode)) && !visit(path)) {
        return;
      }
    }
  }
}

}  // namespace cacs::basefs
