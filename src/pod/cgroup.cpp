#include "pod/cgroup.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstdlib>

#include "base/io.h"
#include "base/text.h"

namespace cacs::pod {

namespace {

constexpr std::array<std::string_view, 3> kWanted{"cpu", "memory", "pids"};
constexpr std::uint64_t kPeriod = 100'000;  // microseconds; the kernel's own default

Status write_value(const std::filesystem::path& file, const std::string& value) {
  CACS_ASSIGN(const UniqueFd fd, open_file(file, O_WRONLY));
  return write_full(fd.get(), value).context("write '" + value + "' to " + file.string());
}

Result<std::uint64_t> read_value(const std::filesystem::path& file) {
  CACS_ASSIGN(const std::string text, read_text_file(file, 4096));
  const auto word = trim(text);
  if (word == "max" || word.starts_with('-')) return std::uint64_t{0};
  const std::uint64_t value = std::strtoull(std::string(word).c_str(), nullptr, 10);
  // v1 says "no limit" with the largest multiple of a page.
  return value >= (1ULL << 62U) ? 0 : value;
}

/// The value behind `key` in a file of "key value" lines.
std::uint64_t read_key(const std::filesystem::path& file, std::string_view key) {
  const auto text = read_text_file(file, 65536);
  if (!text) return 0;
  for (const auto& line : split(*text, '\n')) {
    const auto words = split(line, ' ');
    if (words.size() == 2 && words[0] == key) return std::strtoull(words[1].c_str(), nullptr, 10);
  }
  return 0;
}

/// v2: a controller works in a directory only if its parent hands it down.
void enable_in_parent(const std::filesystem::path& parent, std::string_view controller) {
  // May fail where the parent is not ours to change; reading the limit back tells whether it holds.
  [[maybe_unused]] const auto status = write_value(parent / "cgroup.subtree_control", "+" + std::string(controller));
}

/// Where cgroup v2 is mounted, whatever controllers it has; empty: nowhere.
Result<std::filesystem::path> find_v2_mount() {
  CACS_ASSIGN(const std::string mountinfo, read_text_file("/proc/self/mountinfo"));
  for (const auto& line : split(mountinfo, '\n')) {
    if (line.find(" - cgroup2 ") == std::string::npos) continue;
    const auto fields = split(line, ' ');
    if (fields.size() > 4) return std::filesystem::path(fields[4]);
  }
  return std::filesystem::path();
}

}  // namespace

std::vector<Controller> find_controllers(const std::string& mountinfo, const std::string& v2_controllers) {
  std::vector<Controller> controllers;
  std::filesystem::path v2_mount;
  for (const auto& line : split(mountinfo, '\n')) {
    const auto fields = split(line, ' ');
    const auto dash = std::find(fields.begin(), fields.end(), "-");
    if (fields.size() < 7 || std::distance(dash, fields.end()) < 4) continue;
    const std::string& type = *(dash + 1);
    const std::filesystem::path mount = fields[4];
    if (type == "cgroup2" && v2_mount.empty()) v2_mount = mount;
    if (type != "cgroup") continue;
    for (const auto& option : split(*(dash + 3), ',')) {
      if (std::find(kWanted.begin(), kWanted.end(), option) == kWanted.end()) continue;
      const bool known = std::any_of(controllers.begin(), controllers.end(),
                                     [&](const Controller& other) { return other.name == option; });
      if (!known) controllers.push_back({option, mount, false});
    }
  }
  if (v2_mount.empty()) return controllers;
  for (const auto& name : split(trim(v2_controllers), ' ')) {
    if (std::find(kWanted.begin(), kWanted.end(), name) != kWanted.end()) controllers.push_back({name, v2_mount, true});
  }
  return controllers;
}

Result<std::vector<Controller>> find_controllers() {
  CACS_ASSIGN(const std::string mountinfo, read_text_file("/proc/self/mountinfo"));
  std::string available;
  for (const auto& line : split(mountinfo, '\n')) {
    if (line.find(" - cgroup2 ") == std::string::npos) continue;
    const auto fields = split(line, ' ');
    auto text = read_text_file(std::filesystem::path(fields.at(4)) / "cgroup.controllers", 4096);
    if (text) available = *text;
    break;
  }
  return find_controllers(mountinfo, available);
}

std::optional<Controller> find_freezer(const std::string& mountinfo) {
  std::optional<Controller> v2;
  for (const auto& line : split(mountinfo, '\n')) {
    const auto fields = split(line, ' ');
    const auto dash = std::find(fields.begin(), fields.end(), "-");
    if (fields.size() < 7 || std::distance(dash, fields.end()) < 4) continue;
    if (*(dash + 1) == "cgroup2" && !v2) v2 = Controller{"freezer", fields[4], true};
    if (*(dash + 1) != "cgroup") continue;
    const auto options = split(*(dash + 3), ',');
    if (std::find(options.begin(), options.end(), "freezer") != options.end()) {
      return Controller{"freezer", fields[4], false};
    }
  }
  return v2;
}

Result<Controller> find_freezer() {
  CACS_ASSIGN(const std::string mountinfo, read_text_file("/proc/self/mountinfo"));
  if (auto found = find_freezer(mountinfo)) return *std::move(found);
  return make_error(ErrorCode::kUnsupported, "no control groups that can be frozen are mounted on this machine",
                    "mount cgroup2, or the freezer of cgroup v1");
}

Result<PodCgroup> PodCgroup::locate(const std::string& name) {
  CACS_ASSIGN(auto controllers, find_controllers());
  if (auto freezer = find_freezer()) controllers.push_back(*std::move(freezer));
  PodCgroup group;
  for (const auto& controller : controllers) {
    group.members_.push_back({controller, controller.mount / "cacs" / name});
    const auto& directory = group.members_.back().directory;
    if (std::find(group.directories_.begin(), group.directories_.end(), directory) == group.directories_.end()) {
      group.directories_.push_back(directory);
    }
  }
  return group;
}

Result<PodCgroup> PodCgroup::create_plain(const std::string& name) {
  CACS_ASSIGN(const std::filesystem::path mount, find_v2_mount());
  PodCgroup group;
  group.directories_ = {mount / "cacs" / name};
  // The mount may be for reading only, as in some containers.
  if (!mount.empty() && make_directories(group.directories_.front())) return group;
  return create(name, {});
}

Result<PodCgroup> PodCgroup::open(const std::string& name) {
  CACS_ASSIGN(PodCgroup group, locate(name));
  CACS_ASSIGN(const std::filesystem::path mount, find_v2_mount());
  const std::filesystem::path plain = mount / "cacs" / name;
  const bool known = std::find(group.directories_.begin(), group.directories_.end(), plain) != group.directories_.end();
  if (!mount.empty() && !known) group.directories_.push_back(plain);
  const auto gone = [](const std::filesystem::path& directory) { return ::access(directory.c_str(), F_OK) != 0; };
  std::erase_if(group.directories_, gone);
  std::erase_if(group.members_, [&](const Member& member) { return gone(member.directory); });
  return group;
}

void PodCgroup::forget_freezer() {
  std::erase_if(members_, [](const Member& member) { return member.controller.name == "freezer"; });
  std::erase_if(directories_, [&](const std::filesystem::path& directory) {
    return std::none_of(members_.begin(), members_.end(),
                        [&](const Member& member) { return member.directory == directory; });
  });
}

Result<PodCgroup> PodCgroup::create(const std::string& name, const Limits& limits, Freezable freezable) {
  CACS_ASSIGN(PodCgroup group, locate(name));
  if (freezable == Freezable::kYes) CACS_TRY(find_freezer());
  if (freezable == Freezable::kNo) group.forget_freezer();
  for (const auto& member : group.members_) {
    if (member.controller.v2 && member.controller.name != "freezer") {
      enable_in_parent(member.controller.mount, member.controller.name);
      CACS_TRY(make_directories(member.directory.parent_path()));
      enable_in_parent(member.directory.parent_path(), member.controller.name);
    }
    CACS_TRY(make_directories(member.directory));
  }
  CACS_TRY(group.apply(limits));
  return group;
}

const PodCgroup::Member* PodCgroup::find(std::string_view controller) const {
  for (const auto& member : members_) {
    if (member.controller.name == controller) return &member;
  }
  return nullptr;
}

Status PodCgroup::apply(const Limits& limits) const {
  const auto need = [&](std::string_view name, const std::string& what) -> Result<const Member*> {
    const Member* member = find(name);
    if (member != nullptr) return member;
    return make_error(ErrorCode::kUnsupported, "this machine has no cgroup controller to limit " + what,
                      "enable the " + std::string(name) + " controller, or submit without the limit");
  };
  if (limits.cpus > 0) {
    CACS_ASSIGN(const Member* member, need("cpu", "processors"));
    const auto quota = std::to_string(std::llround(limits.cpus * static_cast<double>(kPeriod)));
    if (member->controller.v2) {
      CACS_TRY(write_value(member->directory / "cpu.max", quota + " " + std::to_string(kPeriod)));
    } else {
      CACS_TRY(write_value(member->directory / "cpu.cfs_period_us", std::to_string(kPeriod)));
      CACS_TRY(write_value(member->directory / "cpu.cfs_quota_us", quota));
    }
  }
  if (limits.memory_bytes > 0) {
    CACS_ASSIGN(const Member* member, need("memory", "memory"));
    const char* file = member->controller.v2 ? "memory.max" : "memory.limit_in_bytes";
    CACS_TRY(write_value(member->directory / file, std::to_string(limits.memory_bytes)));
  }
  if (limits.pids > 0) {
    CACS_ASSIGN(const Member* member, need("pids", "the number of processes"));
    CACS_TRY(write_value(member->directory / "pids.max", std::to_string(limits.pids)));
  }
  return {};
}

Status PodCgroup::add(pid_t pid) const {
  for (const auto& directory : directories_) {
    CACS_TRY(write_value(directory / "cgroup.procs", std::to_string(pid)));
  }
  return {};
}

namespace {

/// Until "frozen 1" stands in cgroup.events, whose every change is an event.
Status wait_frozen_v2(const std::filesystem::path& directory, std::chrono::milliseconds limit) {
  CACS_ASSIGN(const UniqueFd fd, open_file(directory / "cgroup.events", O_RDONLY));
  const auto end = std::chrono::steady_clock::now() + limit;
  while (true) {
    std::array<std::byte, 256> block{};
    CACS_ASSIGN(const std::size_t got, pread_full(fd.get(), block, 0));
    const std::string_view text(reinterpret_cast<const char*>(block.data()), got);
    if (text.find("frozen 1") != std::string_view::npos) return {};
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    if (left.count() <= 0) return make_error(ErrorCode::kTimeout, "not all processes could be stopped in time");
    pollfd waiting{fd.get(), POLLPRI, 0};
    ::poll(&waiting, 1, static_cast<int>(left.count()));
  }
}

/// v1 gives no event: reading the state has the kernel look whether all stand still.
Status wait_frozen_v1(const std::filesystem::path& directory, std::chrono::milliseconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (true) {
    CACS_ASSIGN(const std::string state, read_text_file(directory / "freezer.state", 64));
    if (trim(state) == "FROZEN") return {};
    if (std::chrono::steady_clock::now() >= end) {
      return make_error(ErrorCode::kTimeout, "not all processes could be stopped in time",
                        "one waits for a disk or a network file system; try again");
    }
    ::usleep(1000);
  }
}

}  // namespace

Status PodCgroup::freeze(std::chrono::milliseconds limit) const {
  const Member* member = find("freezer");
  if (member == nullptr) return make_error(ErrorCode::kUnsupported, "the pod was not made to be frozen");
  const bool v2 = member->controller.v2;
  Status status = write_value(member->directory / (v2 ? "cgroup.freeze" : "freezer.state"), v2 ? "1" : "FROZEN");
  if (status) status = v2 ? wait_frozen_v2(member->directory, limit) : wait_frozen_v1(member->directory, limit);
  if (status) return {};
  CACS_TRY(thaw());
  return status.error().with_context("freeze the pod");
}

Status PodCgroup::thaw() const {
  const Member* member = find("freezer");
  if (member == nullptr || ::access(member->directory.c_str(), F_OK) != 0) return {};
  const bool v2 = member->controller.v2;
  return write_value(member->directory / (v2 ? "cgroup.freeze" : "freezer.state"), v2 ? "0" : "THAWED");
}

Result<Limits> PodCgroup::read_limits() const {
  Limits limits;
  if (const Member* member = find("cpu")) {
    if (member->controller.v2) {
      CACS_ASSIGN(const std::string text, read_text_file(member->directory / "cpu.max", 4096));
      const auto words = split(trim(text), ' ');
      if (words.size() == 2 && words[0] != "max") {
        limits.cpus = std::strtod(words[0].c_str(), nullptr) / std::strtod(words[1].c_str(), nullptr);
      }
    } else {
      CACS_ASSIGN(const std::uint64_t quota, read_value(member->directory / "cpu.cfs_quota_us"));
      CACS_ASSIGN(const std::uint64_t period, read_value(member->directory / "cpu.cfs_period_us"));
      if (period > 0) limits.cpus = static_cast<double>(quota) / static_cast<double>(period);
    }
  }
  if (const Member* member = find("memory")) {
    const char* file = member->controller.v2 ? "memory.max" : "memory.limit_in_bytes";
    CACS_ASSIGN(limits.memory_bytes, read_value(member->directory / file));
  }
  if (const Member* member = find("pids")) {
    CACS_ASSIGN(limits.pids, read_value(member->directory / "pids.max"));
  }
  return limits;
}

std::optional<std::uint64_t> PodCgroup::memory_used() const {
  const Member* member = find("memory");
  if (member == nullptr) return std::nullopt;
  auto value = read_value(member->directory / (member->controller.v2 ? "memory.current" : "memory.usage_in_bytes"));
  return value ? std::optional(*value) : std::nullopt;
}

std::uint64_t PodCgroup::oom_kills() const {
  const Member* member = find("memory");
  if (member == nullptr) return 0;
  return read_key(member->directory / (member->controller.v2 ? "memory.events" : "memory.oom_control"), "oom_kill");
}

Status PodCgroup::remove() const {
  CACS_TRY(thaw());  // under v1 what is frozen does not even die
  for (const auto& directory : directories_) {
    // The kernel takes a moment to empty a group whose processes were just killed; a killed process that still runs is
    // killed again. Every round waits for a directory that must become empty: there is no event to wait for under v1.
    for (int round = 0;; ++round) {
      if (::rmdir(directory.c_str()) == 0 || errno == ENOENT) break;
      if (errno != EBUSY || round == 500) return errno_error(errno, "remove cgroup " + directory.string());
      if (auto procs = read_text_file(directory / "cgroup.procs", std::size_t{1} << 20U); procs) {
        for (const auto& pid : split(trim(*procs), '\n')) {
          const auto number = static_cast<pid_t>(std::strtol(pid.c_str(), nullptr, 10));
          if (number > 0) ::kill(number, SIGKILL);
        }
      }
      ::usleep(10'000);
    }
  }
  return {};
}

}  // namespace cacs::pod
