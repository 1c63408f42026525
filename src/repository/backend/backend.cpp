#include "repository/backend/backend.h"

#include <algorithm>

namespace cacs::repository {

Status put_object(Backend& backend, const std::string& name, std::span<const std::byte> data, Overwrite overwrite) {
  CACS_ASSIGN(const auto writer, backend.create(name, overwrite));
  CACS_TRY(writer->append(data));
  return writer->commit();
}

Result<std::vector<std::byte>> get_object(Backend& backend, const std::string& name, std::size_t limit) {
  // One round trip for what is really small: a read that comes back short has told the length.
  constexpr std::size_t kFirst = std::size_t{64} << 10U;
  std::vector<std::byte> data(std::min(limit, kFirst - 1) + 1);
  CACS_ASSIGN(std::size_t have, backend.read(name, 0, data));
  if (have == data.size()) {
    CACS_ASSIGN(const std::uint64_t size, backend.size(name));
    if (size > limit || have > limit) {
      return make_error(ErrorCode::kTooLarge, "read " + name + " of " + backend.describe() + ": it has " +
                                                  std::to_string(size) + " bytes, more than the " +
                                                  std::to_string(limit) + " that it may have");
    }
    // One byte more, so that an object that was replaced by a longer one meanwhile is not taken for whole.
    data.resize(static_cast<std::size_t>(size) + 1);
    CACS_ASSIGN(have, backend.read(name, 0, data));
    if (have == data.size()) {
      return make_error(ErrorCode::kUnavailable, "read " + name + " of " + backend.describe() + ": it was replaced");
    }
  }
  data.resize(have);
  return data;
}

}  // namespace cacs::repository
