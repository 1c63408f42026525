#include "repository/backend/object_name.h"

#include <algorithm>
#include <string>

#include "base/text.h"

namespace cacs::repository {

namespace {

bool is_name_character(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

bool is_component(std::string_view part) {
  return !part.empty() && part != "." && part != ".." && std::ranges::all_of(part, is_name_character);
}

Error bad(std::string_view what, std::string_view text) {
  std::string message = "'";
  message += printable(text);
  message += "' is not a ";
  message += what;
  return make_error(ErrorCode::kInvalidArgument, std::move(message),
                    "at most 200 bytes: components of letters, digits, '.', '_' and '-', joined by '/'");
}

}  // namespace

Status check_object_name(std::string_view name) {
  if (name.size() > kMaxObjectName) return bad("name of an object", name);
  std::size_t start = 0;
  while (true) {
    const std::size_t end = name.find('/', start);
    if (!is_component(name.substr(start, end - start))) return bad("name of an object", name);
    if (end == std::string_view::npos) return {};
    start = end + 1;
  }
}

Status check_prefix(std::string_view prefix) {
  if (prefix.empty()) return {};
  if (!prefix.ends_with('/') || !check_object_name(prefix.substr(0, prefix.size() - 1))) {
    return bad("prefix of objects' names", prefix);
  }
  return {};
}

}  // namespace cacs::repository
