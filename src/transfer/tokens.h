#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "repository/types.h"

/// Files are named in listings (delta/listing.h, basefs/record.h) by tokens: the blobs that their contents are stored
/// as. Pure; any thread.
namespace cacs::transfer {

/// The entry of this name, or null.
const repository::BlobRef* find_entry(const repository::Manifest& manifest, const std::string& name);

/// A blob as a token of a listing, and back: kCorrupt for what names none.
std::string token_of(const repository::BlobRef& blob);
Result<repository::BlobRef> blob_of(std::string_view token);

}  // namespace cacs::transfer
