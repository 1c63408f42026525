#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/result.h"
#include "repository/core.h"
#include "repository/work_pool.h"

namespace cacs::repository {

struct RewrittenPack {
  std::shared_ptr<OpenPack> pack;
  std::uint64_t size = 0;
  std::vector<std::uint64_t> hooks;
};

/// Writes packs anew without what nobody needs, on all processors: where there is a gate, writers wait for it. A few
/// segments for each processor are in memory at a time. One thread at a time.
class PackRewriter {
 public:
  explicit PackRewriter(Core& core);

  /// Writes generation `to` of a pack, a later one, with those slots alone for which `wanted` (asked by several
  /// threads at once) is true; every slot keeps its place, and is checked. Durable when it returns. kCorrupt when a
  /// slot that is wanted is damaged: then nothing was written.
  Result<RewrittenPack> rewrite(const OpenPack& pack, std::uint32_t to, const std::function<bool(Slot)>& wanted);

 private:
  Core& core_;
  WorkPool pool_;
  std::vector<ReadContext> contexts_;  ///< one a worker
};

}  // namespace cacs::repository
