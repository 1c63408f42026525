#include "delta/selection.h"

#include <fnmatch.h>

#include <algorithm>

#include "base/text.h"

namespace cacs::delta {
namespace {

std::vector<std::string> parts_of(std::string_view path) {
  std::vector<std::string> parts = split(path, '/');
  std::erase_if(parts, [](const std::string& part) { return part.empty(); });
  return parts;
}

bool matches(const std::string& pattern, const std::string& name) {
  return pattern == name || ::fnmatch(pattern.c_str(), name.c_str(), FNM_PERIOD) == 0;
}

}  // namespace

Selection::Selection(const std::vector<std::string>& paths) {
  for (const std::string& path : paths) paths_.push_back(parts_of(path));
}

Selection::Take Selection::take(std::string_view path) const {
  if (everything()) return Take::kYes;
  const std::vector<std::string> names = parts_of(path);
  Take best = Take::kNo;
  for (const auto& wanted : paths_) {
    const std::size_t common = std::min(wanted.size(), names.size());
    if (!std::equal(wanted.begin(), wanted.begin() + static_cast<std::ptrdiff_t>(common), names.begin(), matches)) {
      continue;
    }
    if (names.size() >= wanted.size()) return Take::kYes;
    best = Take::kOnTheWay;
  }
  return best;
}

}  // namespace cacs::delta
