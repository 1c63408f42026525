#include "agent/explain.h"

#include <dirent.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <map>
#include <memory>
#include <set>

#include "base/io.h"
#include "base/text.h"
#include "pod/outside.h"

namespace cacs::agent {

namespace {

constexpr const char* kOutside = "outside-connection";

struct Obstacle {
  std::string kind;
  std::string process;
  std::string what;
  std::string hint;
};

/// Character devices that every engine can save: memory devices and terminals.
bool is_savable_device(unsigned major_number, unsigned minor_number) {
  if (major_number == 1) return minor_number == 3 || minor_number == 5 || (minor_number >= 7 && minor_number <= 9);
  return major_number == 5 || (major_number >= 136 && major_number <= 143);
}

std::vector<std::string> list_names(const std::string& path) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(path.c_str()), ::closedir);
  if (dir == nullptr) return names;  // the process has ended meanwhile
  while (const dirent* entry = ::readdir(dir.get())) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  return names;
}

std::string read_link(const std::string& path) {
  std::array<char, 4096> target{};
  const ssize_t length = ::readlink(path.c_str(), target.data(), target.size());
  return length > 0 ? std::string(target.data(), static_cast<std::size_t>(length)) : std::string();
}

std::string process_name(pid_t pid) {
  const auto comm = read_text_file("/proc/" + std::to_string(pid) + "/comm", 256);
  // The number that the user sees is the one inside the pod: the last of NSpid.
  std::string inside = std::to_string(pid);
  if (const auto status = read_text_file("/proc/" + std::to_string(pid) + "/status", 65536)) {
    for (const auto& line : split(*status, '\n')) {
      if (!line.starts_with("NSpid:")) continue;
      const auto words = split(trim(line), '\t');
      inside = words.back();
    }
  }
  return (comm ? printable(trim(*comm), 64) : "?") + " (pid " + inside + ")";
}

/// Processes whose pid namespace is the pod's, or lies in it.
std::vector<pid_t> pod_processes(pid_t init) {
  std::vector<pid_t> pids{init};
  std::set<pid_t> known{init};
  std::map<pid_t, pid_t> parent_of;
  for (const auto& name : list_names("/proc")) {
    const auto pid = static_cast<pid_t>(std::strtol(name.c_str(), nullptr, 10));
    if (pid <= 0) continue;
    const auto stat = read_text_file("/proc/" + name + "/stat", 8192);
    if (!stat) continue;
    const auto fields = split(trim(std::string_view(*stat).substr(stat->rfind(')') + 1)), ' ');
    if (fields.size() > 1) parent_of[pid] = static_cast<pid_t>(std::strtol(fields[1].c_str(), nullptr, 10));
  }
  // All tasks of a pod descend from its init.
  for (bool grown = true; grown;) {
    grown = false;
    for (const auto& [pid, parent] : parent_of) {
      if (known.count(parent) == 0 || known.count(pid) != 0) continue;
      known.insert(pid);
      pids.push_back(pid);
      grown = true;
    }
  }
  return pids;
}

void check_descriptor(const std::string& process, const std::string& path, const std::string& target,
                      std::vector<Obstacle>& obstacles) {
  if (target.starts_with("anon_inode:")) {
    const std::string what = target.substr(11);
    constexpr std::array<std::string_view, 7> kFine{"[eventfd]", "[eventpoll]", "[timerfd]", "[signalfd]",
                                                    "inotify",   "[pidfd]",     "[fanotify]"};
    for (const auto fine : kFine) {
      if (what == fine) return;
    }
    if (what == "[io_uring]") {
      obstacles.push_back({"io_uring", process, "uses io_uring", "tell the program to use ordinary system calls"});
    } else {
      obstacles.push_back(
          {"kernel-object", process, "holds a kernel object of type " + what, "close it before a checkpoint"});
    }
    return;
  }
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return;
  if (S_ISCHR(info.st_mode) && !is_savable_device(major(info.st_rdev), minor(info.st_rdev))) {
    const bool gpu = target.find("nvidia") != std::string::npos || target.find("/dri/") != std::string::npos ||
                     target.find("/kfd") != std::string::npos;
    const bool rdma = target.find("infiniband") != std::string::npos;
    obstacles.push_back({gpu ? "gpu" : (rdma ? "rdma" : "device"), process,
                         "has the device " + printable(target) + " open",
                         gpu ? "GPU memory cannot be saved yet" : "close the device before a checkpoint"});
  } else if (S_ISBLK(info.st_mode)) {
    obstacles.push_back({"device", process, "has the block device " + printable(target) + " open",
                         "close the device before a checkpoint"});
  }
}

void check_maps(const std::string& process, pid_t pid, std::vector<Obstacle>& obstacles) {
  const auto maps = read_text_file("/proc/" + std::to_string(pid) + "/maps", std::size_t{64} << 20U);
  if (!maps) return;
  std::set<std::string> seen;
  for (const auto& line : split(*maps, '\n')) {
    const std::size_t at = line.find('/');
    const std::string path = at == std::string::npos ? "" : line.substr(at);
    const std::size_t anonymous = line.find("anon_inode:[io_uring]");
    if (anonymous != std::string::npos && seen.insert("uring").second) {
      obstacles.push_back({"io_uring", process, "uses io_uring", "tell the program to use ordinary system calls"});
    }
    if (!path.starts_with("/dev/") || path.starts_with("/dev/shm/") || path.starts_with("/dev/zero")) continue;
    if (seen.insert(path).second) {
      obstacles.push_back({"device", process, "maps the device " + printable(path), "unmap it before a checkpoint"});
    }
  }
}

/// Whether this process has CAP_SYS_RESOURCE, without which the kernel tells nobody another user's resource limits.
bool may_read_limits() {
  constexpr std::uint64_t kSysResource = std::uint64_t{1} << 24U;
  const auto status = read_text_file("/proc/self/status", 65536);
  const std::size_t at = status ? status->find("CapEff:\t") : std::string::npos;
  return at != std::string::npos && (std::strtoull(status->c_str() + at + 8, nullptr, 16) & kSysResource) != 0;
}

/// The user and group ids of a process ("Uid:" and "Gid:" of its status) that are not root's, or empty.
std::string foreign_ids(const std::string& status) {
  for (const auto& line : split(status, '\n')) {
    if (!line.starts_with("Uid:") && !line.starts_with("Gid:")) continue;
    for (const auto& id : split(trim(std::string_view(line).substr(4)), '\t')) {
      if (id != "0") return (line.starts_with("Uid:") ? "user " : "group ") + id;
    }
  }
  return {};
}

void check_owner(const std::string& process, const std::string& status, std::vector<Obstacle>& obstacles) {
  const std::string owner = foreign_ids(status);
  if (owner.empty() || may_read_limits()) return;
  obstacles.push_back({"owner", process, "runs as " + owner + ", whose resource limits CACS may not read here",
                       "give CACS the capability CAP_SYS_RESOURCE (a setting of this container), or run it as root"});
}

void check_process(pid_t pid, pid_t init, const std::map<std::uint64_t, std::string>& outside,
                   std::vector<Obstacle>& obstacles) {
  const std::string base = "/proc/" + std::to_string(pid);
  const std::string process = process_name(pid);
  std::set<std::string> seen;
  for (const auto& fd : list_names(base + "/fd")) {
    const std::string path = base + "/fd/" + fd;
    const std::string target = read_link(path);
    if (target.starts_with("socket:[")) {
      const auto found = outside.find(std::strtoull(target.c_str() + 8, nullptr, 10));
      if (found != outside.end() && seen.insert(target).second) {
        obstacles.push_back({kOutside, process, "has a connection to the outside: " + found->second,
                             "close it before a checkpoint, or give the application "
                             R"("checkpoint": {"external_connections": "reset"})"});
      }
      continue;
    }
    if (seen.insert(target).second) check_descriptor(process, path, target, obstacles);
  }
  check_maps(process, pid, obstacles);
  if (const auto status = read_text_file(base + "/status", 65536)) {
    const std::size_t tracer = status->find("TracerPid:\t");
    if (tracer != std::string::npos && std::strtol(status->c_str() + tracer + 11, nullptr, 10) != 0) {
      obstacles.push_back({"traced", process, "is being traced by a debugger", "detach it"});
    }
    check_owner(process, *status, obstacles);
  }
  for (const char* ns : {"mnt", "pid", "net", "ipc", "user"}) {
    const std::string own = read_link(base + "/ns/" + ns);
    const std::string pods = read_link("/proc/" + std::to_string(init) + "/ns/" + ns);
    if (!own.empty() && !pods.empty() && own != pods) {
      obstacles.push_back({"nested-namespace", process, std::string("lives in a ") + ns + " namespace of its own",
                           "run it without containers or sandboxes of its own"});
    }
  }
}

}  // namespace

Result<JsonObject> explain_pod(pid_t init, const pod::PodSpec& spec) {
  std::map<std::uint64_t, std::string> outside;
  CACS_ASSIGN(const auto connections, pod::outside_connections(init, spec));
  for (const auto& connection : connections) outside[connection.inode] = connection.local + " to " + connection.remote;
  std::vector<Obstacle> obstacles;
  for (const pid_t pid : pod_processes(init)) check_process(pid, init, outside, obstacles);
  JsonArray list;
  JsonArray warnings;
  for (const auto& obstacle : obstacles) {
    if (obstacle.kind == kOutside && spec.reset_external_connections) {
      warnings.emplace_back(obstacle.process + " " + obstacle.what + ": it will be reset after a restore");
      continue;
    }
    list.push_back(JsonObject{{"kind", obstacle.kind},
                              {"process", obstacle.process},
                              {"what", obstacle.what},
                              {"hint", obstacle.hint},
                              {"pod", spec.pod}});
  }
  for (const auto& mount : spec.mounts) {
    if (!mount.rollback && !mount.read_only) {
      warnings.emplace_back("writes to " + mount.target +
                            " are not rolled back at a restore (mounts, rollback: false)");
    }
  }
  const bool savable = list.empty();
  return JsonObject{{"savable", savable}, {"obstacles", std::move(list)}, {"warnings", std::move(warnings)}};
}

}  // namespace cacs::agent
