#include "tools/checkpoint_options.h"

#include <fmt/format.h>

#include <set>

#include "base/json.h"
#include "base/text.h"
#include "base/uuid.h"

namespace cacs::tools {

namespace {

using repository::Summary;

constexpr std::size_t kShortestBeginning = 4;
constexpr std::string_view kLatest = ":latest";

/// Whether an application is meant: its id, a beginning of it, or its name.
bool is_of(const Summary& summary, const std::string& application) {
  const std::string& id = summary.head.application;
  if (id == application || json_string_or(summary.head.meta, "name", "") == application) return true;
  return application.size() >= kShortestBeginning && id.starts_with(application);
}

Result<std::string> latest_of(const std::vector<Summary>& all, const std::string& application) {
  std::set<std::string> applications;
  std::string newest;
  for (const auto& summary : all) {
    if (summary.problem || !is_of(summary, application)) continue;
    applications.insert(summary.head.application);
    newest = std::max(newest, summary.head.checkpoint);
  }
  if (applications.size() > 1) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("'{}' is the name of {} applications", printable(application), applications.size()),
                      "name one by its id: " + *applications.begin() + ":latest");
  }
  if (!newest.empty()) return newest;
  return make_error(ErrorCode::kNotFound,
                    "there is no checkpoint of an application '" + printable(application) + "' in this repository",
                    "name a checkpoint by its id, or another repository with --repo");
}

}  // namespace

Result<std::unique_ptr<repository::Repository>> open_repository_of(const cli::Context& context,
                                                                   const PlaceOptions& options) {
  CACS_ASSIGN(const FoundPlace place, find_place(context, options));
  return open_found(context, options, place);
}

Result<std::string> choose_checkpoint(const std::vector<Summary>& all, const std::string& text) {
  if (text.ends_with(kLatest)) return latest_of(all, text.substr(0, text.size() - kLatest.size()));
  std::vector<std::string> found;
  for (const auto& summary : all) {
    if (summary.head.checkpoint == text) return text;
    if (text.size() >= kShortestBeginning && summary.head.checkpoint.starts_with(text)) {
      found.push_back(summary.head.checkpoint);
    }
  }
  if (found.size() == 1) return found.front();
  if (found.size() > 1) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("{} checkpoints begin with '{}'", found.size(), printable(text)),
                      "name more of it: " + found.front());
  }
  return make_error(ErrorCode::kNotFound, "there is no checkpoint '" + printable(text) + "' in this repository",
                    "name one by its id, a unique beginning of it (at least 4 characters), or APP:latest");
}

Result<std::string> find_checkpoint(repository::Repository& repository, const std::string& text) {
  if (is_uuid(text)) return text;
  CACS_ASSIGN(const auto all, repository.list());
  return choose_checkpoint(all, text);
}

}  // namespace cacs::tools
