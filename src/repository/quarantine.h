#pragma once

#include <mutex>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "repository/backend/backend.h"
#include "repository/keys/tenant_keys.h"
#include "repository/ref.h"

namespace cacs::repository {

/// Slots that were found damaged, by pack: documents of their own in the store (docs/repository.md, *Quarantine*). One
/// that cannot be read is passed over: the damage that it told of is found again. Any thread.
class Quarantine {
 public:
  Quarantine(Backend& backend, const TenantKeys& keys) : backend_(backend), keys_(keys) {}

  /// Takes in what others have written or removed. Returns the packs of which something is new.
  Result<std::vector<PackId>> refresh();
  /// Packs whose quarantine was not readable at the last refresh.
  [[nodiscard]] std::vector<PackId> unreadable() const;
  /// Ascending; empty when nothing is known against the pack.
  [[nodiscard]] std::vector<Slot> slots(const PackId& pack) const;
  /// Durable when it returns success; `slots` ascending, all that are damaged in the pack. None: takes the pack out.
  Status put(const PackId& pack, const std::vector<Slot>& slots);
  /// Removes the quarantine of a pack that is gone, or one that is unreadable.
  Status drop(const PackId& pack);
  [[nodiscard]] std::vector<PackId> packs() const;

 private:
  Backend& backend_;
  const TenantKeys& keys_;
  std::mutex store_mutex_;  ///< one refresh or change at a time: what is in memory is what is in the store
  mutable std::mutex mutex_;
  std::unordered_map<PackId, std::vector<Slot>> slots_;
  std::vector<PackId> unreadable_;
};

}  // namespace cacs::repository
