#include "agent/switches.h"

#include "base/held_fd.h"
#include "base/io.h"
#include "base/json.h"
#include "net/netlink.h"
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
  const auto shim = identity_from_json(*state);
  auto held = shim ? borrow_fd(*shim, pod::Shim::kSwitchFd) : Result<UniqueFd>(shim.error());
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
  UniqueFd space;
  const auto make = [&]() -> Status {
    CACS_ASSIGN(space, pod::make_switch(spec.underlay));
    return {};
  };
  CACS_TRY(network_ < 0 ? make() : net::in_network(network_, make));
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
