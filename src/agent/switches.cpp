#include "agent/switches.h"

#include <fcntl.h>

#include "base/io.h"
#include "base/json.h"
#include "base/process.h"
#include "pod/layout.h"
#include "pod/shim.h"
#include "pod/switch.h"

namespace cacs::agent {

namespace {

std::string key_of(const pod::PodSpec& spec) { return spec.application + "." + std::to_string(spec.incarnation); }

/// What the shim of the pod in `directory` holds, if it lives and is of that incarnation.
UniqueFd held_by_shim(const std::filesystem::path& directory, int incarnation) {
  const auto text = read_text_file(pod::PodLayout{.dir = directory, .delta = {}}.shim_state(), 4096);
  const auto state = text ? parse_json_object(*text, "shim.json") : Result<JsonObject>(text.error());
  if (!state || json_int_or(*state, "incarnation", 0) != incarnation) return {};
  const ProcessIdentity shim{.pid = static_cast<pid_t>(json_int_or(*state, "pid", 0)),
                             .start_time = static_cast<std::uint64_t>(json_int_or(*state, "start_time", 0)),
                             .boot_id = json_string_or(*state, "boot_id", "")};
  // Open as long as the descriptor below is looked for: the number is not another process's.
  const auto process = open_process(shim);
  if (!process) return {};
  auto held = open_file("/proc/" + std::to_string(shim.pid) + "/fd/" + std::to_string(pod::Shim::kSwitchFd), O_RDONLY);
  return held ? *std::move(held) : UniqueFd();
}

}  // namespace

std::shared_ptr<const UniqueFd> Switches::known(const pod::PodSpec& spec) {
  auto& slot = switches_[key_of(spec)];
  if (auto held = slot.lock()) return held;
  std::error_code problem;
  for (const auto& entry : std::filesystem::directory_iterator(pods_, problem)) {
    if (!entry.path().filename().string().starts_with(spec.application + ".")) continue;
    UniqueFd space = held_by_shim(entry.path(), spec.incarnation);
    if (!space.valid()) continue;
    auto found = std::make_shared<const UniqueFd>(std::move(space));
    slot = found;
    return found;
  }
  return nullptr;
}

Result<std::shared_ptr<const UniqueFd>> Switches::join(const pod::PodSpec& spec) {
  if (!spec.connected()) return std::shared_ptr<const UniqueFd>();
  const std::lock_guard lock(mutex_);
  std::erase_if(switches_, [](const auto& each) { return each.second.expired(); });
  if (auto there = known(spec)) return there;
  CACS_ASSIGN(UniqueFd space, pod::make_switch());
  auto made = std::make_shared<const UniqueFd>(std::move(space));
  switches_[key_of(spec)] = made;
  return made;
}

std::shared_ptr<const UniqueFd> Switches::find(const pod::PodSpec& spec) {
  if (!spec.connected()) return nullptr;
  const std::lock_guard lock(mutex_);
  return known(spec);
}

}  // namespace cacs::agent
