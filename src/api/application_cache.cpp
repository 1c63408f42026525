#include "api/application_cache.h"

#include "api/views_json.h"

namespace cacs::api {

namespace {
constexpr std::size_t kMaxEntries = 512;
}

std::shared_ptr<const std::string> ApplicationCache::json_of(
    const std::shared_ptr<const application::ApplicationView>& view) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find(std::string_view(view->id));
    if (found != entries_.end() && found->second.view == view) return found->second.json;
  }
  auto json = std::make_shared<const std::string>(boost::json::serialize(application_to_json(*view, true)));
  const std::lock_guard lock(mutex_);
  // Any entry will do: one that is still asked for comes back with the next request.
  if (entries_.size() >= kMaxEntries) entries_.erase(entries_.begin());
  entries_[view->id] = {view, json};
  return json;
}

void ApplicationCache::forget(std::string_view id) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(id);
  if (found != entries_.end()) entries_.erase(found);
}

}  // namespace cacs::api
