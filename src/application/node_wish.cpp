#include "application/node_wish.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "application/field_reader.h"
#include "base/text.h"

namespace cacs::application {

namespace {

constexpr auto kFields = std::to_array<std::string_view>({"nodes"});
constexpr auto kNodeFields = std::to_array<std::string_view>({"count", "names"});
constexpr int kMaxNodes = 1024;
constexpr std::size_t kMaxName = 255;

Error invalid(std::string what, std::string hint) {
  return make_error(ErrorCode::kInvalidArgument, std::move(what), std::move(hint)).with_type("invalid-field");
}

}  // namespace

Result<std::optional<NodeWish>> parse_node_wish(const JsonObject& body) {
  ParseFailure failure;
  const FieldReader top(body, "", kFields, failure);
  const JsonObject* nodes = top.object("nodes");
  if (failure.error) return *failure.error;
  if (nodes == nullptr) return std::optional<NodeWish>();
  NodeWish wish;
  const FieldReader fields(*nodes, "nodes", kNodeFields, failure);
  fields.integer("count", wish.count, 1, kMaxNodes);
  fields.strings("names", wish.names, kMaxNodes, kMaxName);
  if (failure.error) return *failure.error;
  for (const std::string& name : wish.names) {
    if (std::ranges::count(wish.names, name) > 1) {
      return invalid(fmt::format("nodes.names has {} twice", printable(name)), "name each node once");
    }
  }
  const int named = static_cast<int>(wish.names.size());
  if (wish.count == 0) wish.count = named;
  if (wish.count == 0) return invalid("nodes says neither how many nodes nor which", "give `count` or `names`");
  if (named > 0 && named != wish.count) {
    return invalid(fmt::format("nodes.count is {}, and {} are named", wish.count, named),
                   "leave `count` out where the nodes are named");
  }
  return std::optional(std::move(wish));
}

}  // namespace cacs::application
