#include "transfer/tokens.h"

#include <algorithm>

#include "base/text.h"

namespace cacs::transfer {

using repository::BlobRef;
using repository::Entry;

const BlobRef* find_entry(const repository::Manifest& manifest, const std::string& name) {
  const auto found =
      std::lower_bound(manifest.entries.begin(), manifest.entries.end(), name,
                       [](const Entry& entry, const std::string& wanted) { return entry.name < wanted; });
  return found != manifest.entries.end() && found->name == name ? &found->blob : nullptr;
}

std::string token_of(const BlobRef& blob) { return blob.to_text(); }

Result<BlobRef> blob_of(std::string_view token) {
  auto blob = BlobRef::from_text(token);
  if (blob) return blob;
  return make_error(ErrorCode::kCorrupt, "'" + printable(token) + "' does not name a stored file");
}

}  // namespace cacs::transfer
