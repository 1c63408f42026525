#pragma once

#include <filesystem>
#include <functional>
#include <string_view>

#include "base/result.h"
#include "delta/listing.h"

namespace cacs::delta {

/// Writes the content that `token` names into `fd`: a new file, open for writing at offset 0, whose length is already
/// entry.size and which is one hole, so that zeros may be skipped. It must not change the length.
using FetchContent = std::function<Status(std::string_view token, int fd, const Entry& entry)>;

/// Rebuilds a captured tree in `target`, an existing empty directory, which becomes the root of the listing: contents,
/// owners, modes, times, extended attributes, links, devices and whiteouts. Nothing outside of `target` is touched
/// whatever the listing says, and no symbolic link is followed. Needs the capabilities of root. On error `target` is
/// left half made: remove it. Does not sync. To roll back, rebuild beside the old tree and exchange the two.
Status materialise(const Listing& listing, const std::filesystem::path& target, const FetchContent& fetch);

}  // namespace cacs::delta
