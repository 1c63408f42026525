#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include "repository/core.h"
#include "repository/slot_bits.h"
#include "repository/walk.h"

namespace cacs::repository {

/// Marks what manifests and pieces reach: a bit a slot: some 64 KiB for each GiB of memory stored. Shared parts are
/// walked once. One object a collection or check; one thread.
class Reach {
 public:
  explicit Reach(Core& core) : core_(core), context_(core.keys()) {}

  /// Marks all that the entries' blob reaches: the lists, the entries, their nodes and chunks. kCorrupt when a part is
  /// missing or unreadable; what could be marked stays marked.
  Status mark(const BlobRef& entries, std::uint64_t count);

  [[nodiscard]] bool is_live(std::uint32_t pack, Slot slot) const;
  /// Whether anything in the pack is reached.
  [[nodiscard]] bool is_needed(std::uint32_t pack) const { return marks_.contains(pack); }
  /// The packs of which anything is reached, oldest id first.
  [[nodiscard]] std::vector<std::uint32_t> needed() const;
  /// Whether the table has every slot of the pack that is reached.
  [[nodiscard]] bool is_covered(std::uint32_t pack, const PackTable& table) const;

 private:
  Status mark_entries(const BlobRef& entries, std::uint64_t count);
  Status mark_blob(const BlobRef& blob);
  using Marks = std::unordered_map<std::uint32_t, SlotBits>;
  Status mark_slot(const Ref& ref);
  /// True when it was not entered before. What is marked as someone's content may yet be a node for another.
  Result<bool> enter_node(const Ref& ref);

  Core& core_;
  ReadContext context_;
  Marks marks_;
  Marks entered_;                 ///< nodes: what is below them is marked
  std::vector<Ref> entered_now_;  ///< by the call of mark() under way
};

/// Marks everything that is reached. Each failure is given to `problem`, which says whether to go on.
Status mark_all(Core& core, Reach& reach, const std::function<Status(const Error&)>& problem);

}  // namespace cacs::repository
