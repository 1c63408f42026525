#include "repository/session/session_sim_store.h"

namespace cacs::repository::sim {

bool Store::apply(const Effect& effect) {
  switch (effect.kind) {
    case EffectKind::kNone:
      return true;
    case EffectKind::kCreate:
      if (exclusive_ && objects_.contains(effect.key)) return false;
      [[fallthrough]];
    case EffectKind::kPut:
      objects_[effect.key] = effect.value;
      break;
    case EffectKind::kRemove:
      objects_.erase(effect.key);
      break;
  }
  changed_[effect.key] = ++version_;
  return true;
}

void Store::land(std::size_t index) {
  const Effect effect = late_[index];
  late_.erase(late_.begin() + static_cast<std::ptrdiff_t>(index));
  apply(effect);
}

ValuePtr Store::read(const std::string& key) const {
  const auto at = objects_.find(key);
  return at == objects_.end() ? nullptr : at->second;
}

std::vector<std::string> Store::list(const std::string& prefix, std::uint64_t lag, Chance& chance) const {
  std::vector<std::string> names;
  for (auto at = changed_.lower_bound(prefix); at != changed_.end() && at->first.starts_with(prefix); ++at) {
    bool shown = objects_.contains(at->first);
    if (at->second + lag > version_ && chance.percent(50)) shown = !shown;
    if (shown) names.push_back(at->first);
  }
  return names;
}

}  // namespace cacs::repository::sim
