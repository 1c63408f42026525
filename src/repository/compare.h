#pragma once

#include <cstdint>
#include <functional>

#include "base/result.h"
#include "repository/pack_store.h"
#include "repository/types.h"

/// How two blobs differ, by what they share: an equal reference is equal content, so what is below it is not looked at,
/// and no page or chunk is read: what is not shared is compared by the ids in the tables of its packs. The cost is that
/// of the nodes that differ, whatever the blobs' sizes.
namespace cacs::repository {

/// Pages by their numbers: addresses, or offsets in a file, / kPageBytes.
struct PageRange {
  std::uint64_t first = 0;
  std::uint64_t end = kMaxComparedPages;  ///< the one after the last

  static constexpr std::uint64_t kMaxComparedPages = std::uint64_t{1} << 50U;
};

/// Pages whose bytes differ, ascending; those that follow each other in one call, or in several.
using VisitPages = std::function<Status(std::uint64_t page, std::uint64_t count)>;

/// Compares page maps by address within `range`; a page that one has not is zeros. kInvalidArgument for other blobs.
Status compare_pages(PackStore& store, ReadContext& context, const BlobRef& one, const BlobRef& other,
                     const PageRange& range, const VisitPages& visit);

/// How two files cut by content differ, counted in whole chunks (4 to 64 KiB); zeros do not count.
struct FileDifference {
  std::uint64_t added = 0;    ///< bytes of the other that are nowhere in the one
  std::uint64_t removed = 0;  ///< bytes of the one that are nowhere in the other
  bool exact = true;          ///< false: so much differs that it was not followed to the end; both are upper bounds
};

/// Compares files wherever their parts lie: what was moved in the file is no difference. In memory: at most 2^20 parts
/// of each. Page maps are taken as files by page when both are; kInvalidArgument when only one is.
Result<FileDifference> compare_files(PackStore& store, ReadContext& context, const BlobRef& one, const BlobRef& other);

/// The pages of a page map that are stored, that is not zeros, by their place in the stream: nodes are read, pages are
/// not.
Result<PageLayout> stored_pages(PackStore& store, ReadContext& context, const BlobRef& blob);

}  // namespace cacs::repository
