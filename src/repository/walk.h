#pragma once

#include <functional>

#include "base/result.h"
#include "repository/blob_read.h"
#include "repository/pack_store.h"
#include "repository/types.h"

namespace cacs::repository {

/// What walk_blob passes.
struct BlobVisitor {
  /// A node, or the head of a page map. False: what is below it is left out.
  std::function<Result<bool>(const Ref&)> enter;
  /// A page or chunk.
  std::function<Status(const Ref&)> leaf;
};

/// Every slot that the blob reaches: nodes are read, pages and chunks are not.
Status walk_blob(PackStore& store, ReadContext& context, const BlobRef& blob, const BlobVisitor& visitor);

}  // namespace cacs::repository
