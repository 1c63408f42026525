// What a pod depends on in the machine's own root: docs/basefs.md.

#include <fcntl.h>

#include "agent/node_pod.h"
#include "base/io.h"
#include "base/log.h"
#include "base/text.h"

namespace cacs::agent {

namespace {

/// Paths that the program was given: words of its command, and lists of directories in its environment.
std::vector<std::string> told_paths(const pod::PodSpec& spec) {
  std::vector<std::string> paths{spec.workdir};
  for (const auto& word : spec.command) {
    paths.push_back(word);
    // Also --option=/path, and what is relative to where it starts.
    if (const std::size_t at = word.find("=/"); at != std::string::npos) paths.push_back(word.substr(at + 1));
    if (!word.empty() && word[0] != '/' && word[0] != '-') {
      paths.push_back((std::filesystem::path(spec.workdir) / word).lexically_normal());
    }
  }
  for (const auto& [name, value] : spec.env) {
    if (name == "PATH") continue;  // of programs not used
    for (const auto& path : split(value, ':')) paths.push_back(path);
  }
  return paths;
}

}  // namespace

std::shared_ptr<basefs::Keeper> NodePod::base() {
  const std::lock_guard lock(mutex_);
  return base_;
}

std::filesystem::path NodePod::root_seen_by_shim() {
  return "/proc/" + std::to_string(pid_in(layout_.shim_state())) + "/root" + layout_.merged().string();
}

Status NodePod::watch_base(const std::filesystem::path& root, const basefs::Record& seed) {
  basefs::KeeperOptions options;
  options.upper = layout_.upper();
  options.directory = layout_.dir / "base";
  options.prefix = layout_.merged();
  options.excluded = {
      context_.state_dir.string(), context_.mask_dir.string(), context_.delta_dir.string(), "/proc", "/sys", "/dev"};
  for (const auto& mount : spec_.mounts) options.excluded.push_back(mount.target);
  options.report = [this](const std::string& path, const std::string& what) {
    push_event("pod.base_changed", {{"path", printable(path, 4096)}, {"what", what}});
  };
  CACS_ASSIGN(std::shared_ptr<basefs::Keeper> keeper, basefs::Keeper::open(std::move(options)));
  keeper->seed(seed);
  CACS_ASSIGN(UniqueFd fd, open_file(root, O_PATH | O_DIRECTORY));
  CACS_TRY(keeper->attach(std::move(fd)));
  for (const auto& path : told_paths(spec_)) keeper->hint(path);
  const std::lock_guard lock(mutex_);
  base_ = std::move(keeper);
  return {};
}

void NodePod::look_at_base() {
  const auto keeper = base();
  if (keeper == nullptr) return;
  if (const auto init = init_pid()) keeper->scan(*init);
}

void NodePod::add_base_warnings(JsonObject& explanation) {
  const auto keeper = base();
  if (keeper == nullptr) return;
  auto& warnings = explanation["warnings"];
  if (!warnings.is_array()) warnings = JsonArray{};
  for (const auto& warning : keeper->warnings()) warnings.as_array().emplace_back("base: " + printable(warning, 500));
}

}  // namespace cacs::agent
