#include "inspect/catalogue.h"

#include <algorithm>
#include <set>

#include "base/text.h"
#include "base/uuid.h"

namespace cacs::inspect {

namespace {

constexpr std::string_view kById = "by-id";
constexpr std::string_view kByApplication = "by-application";
constexpr std::string_view kLatest = "latest";

std::string next_part(std::string_view& path) {
  while (!path.empty() && path.front() == '/') path.remove_prefix(1);
  const std::size_t slash = path.find('/');
  std::string part(path.substr(0, slash));
  path = slash == std::string_view::npos ? "" : path.substr(slash + 1);
  return part;
}

bool is_name(std::string_view text) {
  return !text.empty() && text != "." && text != ".." && text.find('/') == std::string_view::npos &&
         text.find('\0') == std::string_view::npos && text.size() <= delta::kMaxNameBytes;
}

Node directory() { return {}; }

Node link_to(const std::string& target) {
  return {.type = delta::EntryType::kSymlink, .mode = 0777, .size = target.size(), .target = target};
}

Error no_such(std::string_view path) {
  return make_error(ErrorCode::kNotFound, "there is no " + printable(path) + " here");
}

}  // namespace

/// Where a path leads.
struct Catalogue::Place {
  enum class Level { kRoot, kById, kByApplication, kApplication, kLatest, kInside };
  Level level = Level::kRoot;
  std::string application;
  std::string checkpoint;
  std::string inside;  ///< path in the checkpoint
};

Result<Catalogue::Place> Catalogue::locate(std::string_view path) {
  Place place;
  std::string_view rest = path;
  const std::string top = next_part(rest);
  if (top.empty()) return place;
  if (top != kById && top != kByApplication) return no_such(path);
  place.level = top == kById ? Place::Level::kById : Place::Level::kByApplication;
  if (top == kByApplication) {
    place.application = next_part(rest);
    if (place.application.empty()) return place;
    place.level = Place::Level::kApplication;
  }
  place.checkpoint = next_part(rest);
  if (place.checkpoint.empty()) return place;
  if (place.level == Place::Level::kApplication && place.checkpoint == kLatest && rest.empty()) {
    place.level = Place::Level::kLatest;
    return place;
  }
  if (!is_uuid(place.checkpoint)) return no_such(path);
  place.level = Place::Level::kInside;
  place.inside = rest;
  return place;
}

Result<std::shared_ptr<const Catalogue::Applications>> Catalogue::checkpoints() {
  const std::lock_guard lock(list_mutex_);
  const auto now = std::chrono::steady_clock::now();
  if (listed_ && now - listed_at_ < kListAge) return listed_;
  CACS_ASSIGN(const auto summaries, repository_.list());
  auto listed = std::make_shared<Applications>();
  for (const auto& summary : summaries) {
    if (!summary.problem) listed->emplace(summary.head.checkpoint, summary.head.application);
  }
  listed_ = std::move(listed);
  listed_at_ = now;
  return listed_;
}

Result<std::shared_ptr<CheckpointTree>> Catalogue::tree(const std::string& checkpoint) {
  const std::lock_guard lock(trees_mutex_);
  const auto known =
      std::find_if(trees_.begin(), trees_.end(), [&](const auto& each) { return each.first == checkpoint; });
  if (known != trees_.end()) {
    trees_.splice(trees_.begin(), trees_, known);
    return trees_.front().second;
  }
  CACS_ASSIGN(auto opened, CheckpointTree::open(repository_, checkpoint));
  trees_.emplace_front(checkpoint, std::move(opened));
  if (trees_.size() > kOpenTrees) trees_.pop_back();
  return trees_.front().second;
}

Result<Catalogue::Found> Catalogue::find(std::string_view path) {
  CACS_ASSIGN(const Place place, locate(path));
  using Level = Place::Level;
  if (place.level == Level::kApplication || place.level == Level::kLatest) {
    CACS_ASSIGN(const auto all, checkpoints());
    const auto newest =
        std::find_if(all->rbegin(), all->rend(), [&](const auto& each) { return each.second == place.application; });
    if (newest == all->rend()) return no_such(path);
    return Found{.node = place.level == Level::kLatest ? link_to(newest->first) : directory()};
  }
  if (place.level != Level::kInside) return Found{.node = directory()};
  Found found;
  CACS_ASSIGN(found.tree, tree(place.checkpoint));
  if (!place.application.empty() && found.tree->manifest().application != place.application) return no_such(path);
  CACS_ASSIGN(found.node, found.tree->find(place.inside));
  return found;
}

Status Catalogue::list(std::string_view path, const VisitNode& visit) {
  CACS_ASSIGN(const Place place, locate(path));
  using Level = Place::Level;
  if (place.level == Level::kRoot) {
    CACS_TRY(visit(kByApplication, directory()));
    return visit(kById, directory());
  }
  if (place.level == Level::kInside) {
    CACS_ASSIGN(const Found found, find(path));
    return found.tree->list(place.inside, visit);
  }
  CACS_ASSIGN(const auto all, checkpoints());
  std::set<std::string> names;
  for (const auto& [checkpoint, application] : *all) {
    if (place.level == Level::kByApplication) {
      if (is_name(application)) names.insert(application);
    } else if (place.level == Level::kById || application == place.application) {
      names.insert(checkpoint);
    }
  }
  for (const auto& name : names) CACS_TRY(visit(name, directory()));
  if (place.level == Level::kApplication && !names.empty()) return visit(kLatest, link_to(*names.rbegin()));
  return {};
}

}  // namespace cacs::inspect
