#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace cacs::net {

/// Parameters of a query, decoded, in the order they came.
using Query = std::vector<std::pair<std::string, std::string>>;

/// The first value of that name, or null.
const std::string* find_query(const Query& query, std::string_view name);

/// A request's target taken apart.
struct Target {
  std::string path;                   ///< decoded, for people
  std::vector<std::string> segments;  ///< of the path, split before decoding: "/a%2Fb/c" has two
  Query query;
};

/// Takes "/path?query" or "http://host/path?query" apart. Bad escapes, control characters, text that is not UTF-8, "."
/// and ".." segments and more than 64 parameters or segments are errors. A trailing slash is the same path without it.
/// Safe on hostile input (fuzzed); pure.
Result<Target> parse_target(std::string_view target);

/// %XX and (in queries) "+" undone.
Result<std::string> percent_decode(std::string_view text, bool plus_is_space);

/// Text made safe as a path segment or a query's name or value.
std::string percent_encode(std::string_view text);

bool is_utf8(std::string_view text);

}  // namespace cacs::net
