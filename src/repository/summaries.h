#pragma once

#include <string_view>
#include <vector>

#include "base/result.h"
#include "repository/core.h"
#include "repository/types.h"

/// Short lists of very many checkpoints. Reading every manifest takes tens of microseconds each, and a request each in
/// an object store; so what a list shows is kept once more, in up to 256 sealed documents, by the first two digits of
/// the manifests' names. They are a cache and nothing else: whatever they lack, or cannot be read of them, is read from
/// the manifests, and nothing but a list is ever made from them.
namespace cacs::repository {

/// All checkpoints that the store lists, in no order. Uses all processors.
Result<std::vector<BriefSummary>> list_summaries(Core& core);

/// Has to be called before a manifest is removed: a checkpoint of the same id that is made later is another one.
Status forget_summary(Core& core, std::string_view manifest_object);

}  // namespace cacs::repository
