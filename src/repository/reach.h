#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "repository/core.h"

namespace cacs::repository {

/// Marks what manifests and pieces reach. One object a collection or check; one thread.
class Reach {
 public:
  explicit Reach(Core& core);

  /// Marks all that the entries' blob reaches: the lists, the entries and their chunks. kCorrupt when a part is missing
  /// or unreadable; what could be marked stays marked.
  Status mark(const BlobRef& entries, std::uint64_t count);

  [[nodiscard]] bool is_live(const Pack& pack, std::size_t slot) const;
  /// Bytes in the pack that are reached.
  [[nodiscard]] std::uint64_t live_bytes(const Pack& pack) const;

 private:
  static constexpr std::uint8_t kLive = 1;
  static constexpr std::uint8_t kWalked = 2;  ///< a list whose contents are marked
  Status mark_blob(const BlobRef& blob);
  Status mark_chunk(const Digest& digest);
  std::uint8_t* flags(const Digest& digest);

  Core& core_;
  ChunkCodec codec_;
  struct Marks {
    std::shared_ptr<const Pack> pack;
    std::vector<std::uint8_t> flags;  ///< of each chunk
  };
  Marks& marks_of(const std::shared_ptr<const Pack>& pack);
  std::map<const Pack*, Marks> marks_;
};

/// Marks everything that is reached. Each failure is given to `problem`, which says whether to go on.
Status mark_all(Core& core, Reach& reach, const std::function<Status(const Error&)>& problem);

}  // namespace cacs::repository
