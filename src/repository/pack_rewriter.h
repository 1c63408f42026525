#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/result.h"
#include "repository/core.h"

namespace cacs::repository {

struct RewrittenPack {
  std::shared_ptr<OpenPack> pack;
  std::uint64_t size = 0;
  std::vector<std::uint64_t> hooks;
};

/// Writes generation `to` of a pack, a later one, with those slots alone for which `wanted` is true; every slot keeps
/// its place. Reads one segment at a time, and checks each slot. Durable when it returns. kCorrupt when a slot that is
/// wanted is damaged: then nothing was written.
Result<RewrittenPack> rewrite_pack(Core& core, const OpenPack& pack, ReadContext& context, std::uint32_t to,
                                   const std::function<bool(Slot)>& wanted);

}  // namespace cacs::repository
