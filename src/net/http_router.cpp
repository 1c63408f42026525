#include "net/http_router.h"

#include "base/text.h"

namespace cacs::net {
namespace {

bool is_parameter(std::string_view segment) {
  return segment.size() > 2 && segment.front() == '{' && segment.back() == '}';
}

bool fits(const std::vector<std::string>& pattern, const std::vector<std::string>& segments) {
  if (pattern.size() != segments.size()) return false;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (is_parameter(pattern[i]) ? segments[i].empty() : pattern[i] != segments[i]) return false;
  }
  return true;
}

void add_method(std::string& allow, std::string_view method) {
  const std::vector<std::string> known = split(allow, ',');
  for (const std::string& one : known) {
    if (trim(one) == method) return;
  }
  if (!allow.empty()) allow += ", ";
  allow += method;
}

}  // namespace

Router::Router(std::vector<Route> routes) : routes_(std::move(routes)) {
  for (std::size_t i = 0; i < routes_.size(); ++i) {
    Entry entry{.segments = {}, .route = i, .parameters = 0};
    for (std::string& segment : split(routes_[i].pattern, '/')) {
      if (segment.empty()) continue;
      if (is_parameter(segment)) ++entry.parameters;
      entry.segments.push_back(std::move(segment));
    }
    entries_.push_back(std::move(entry));
  }
  std::stable_sort(entries_.begin(), entries_.end(),
                   [](const Entry& a, const Entry& b) { return a.parameters < b.parameters; });
}

Router::Match Router::match(std::string_view method, const std::vector<std::string>& segments) const {
  Match match;
  const Entry* fallback = nullptr;
  const Entry* found = nullptr;
  for (const Entry& entry : entries_) {
    if (!fits(entry.segments, segments)) continue;
    const Route& route = routes_[entry.route];
    if (route.method == method) {
      found = &entry;
      break;
    }
    if (method == "HEAD" && route.method == "GET" && fallback == nullptr) fallback = &entry;
    add_method(match.allow, route.method);
    if (route.method == "GET") add_method(match.allow, "HEAD");
  }
  if (found == nullptr) found = fallback;
  if (found == nullptr) return match;
  match.route = &routes_[found->route];
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const std::string& pattern = found->segments[i];
    if (is_parameter(pattern)) match.params.emplace_back(pattern.substr(1, pattern.size() - 2), segments[i]);
  }
  return match;
}

}  // namespace cacs::net
