#include "inspect/branch.h"

#include <algorithm>

#include "transfer/tokens.h"

namespace cacs::inspect {

namespace {

using delta::EntryType;

bool is_opaque(const delta::Entry& entry) {
  return std::any_of(entry.xattrs.begin(), entry.xattrs.end(), [](const delta::Xattr& attribute) {
    return attribute.name == "trusted.overlay.opaque" && attribute.value == "y";
  });
}

/// Of the entries by path, the first that is not before `path`.
std::vector<delta::Entry>::const_iterator first_from(const std::vector<delta::Entry>& entries, std::string_view path) {
  return std::lower_bound(entries.begin(), entries.end(), path, [](const delta::Entry& entry, std::string_view wanted) {
    return path_before(entry.path, wanted);
  });
}

}  // namespace

bool path_before(std::string_view one, std::string_view other) {
  const auto key = [](char letter) {
    return letter == '/' ? 0U : static_cast<unsigned>(static_cast<unsigned char>(letter)) + 1U;
  };
  return std::lexicographical_compare(one.begin(), one.end(), other.begin(), other.end(),
                                      [&key](char a, char b) { return key(a) < key(b); });
}

Result<std::shared_ptr<const ListingBranch>> ListingBranch::make(delta::Listing listing) {
  auto branch = std::make_shared<ListingBranch>();
  for (const auto& entry : listing.entries) {
    if (entry.type != EntryType::kRegular || entry.token.empty()) continue;
    CACS_TRY(transfer::blob_of(entry.token).context("file /" + entry.path));
    if (entry.link_group != 0) branch->leaders_[entry.link_group] = {.token = entry.token, .size = entry.size};
  }
  branch->entries_ = std::move(listing.entries);
  std::sort(branch->entries_.begin(), branch->entries_.end(),
            [](const delta::Entry& one, const delta::Entry& other) { return path_before(one.path, other.path); });
  return std::shared_ptr<const ListingBranch>(std::move(branch));
}

Node ListingBranch::node_of(const delta::Entry& entry) const {
  Node node;
  node.type = entry.type;
  node.mode = entry.mode;
  node.uid = entry.uid;
  node.gid = entry.gid;
  node.mtime = entry.mtime;
  node.size = entry.type == EntryType::kSymlink ? entry.symlink_target.size() : entry.size;
  node.rdev_major = entry.rdev_major;
  node.rdev_minor = entry.rdev_minor;
  node.link_group = entry.link_group;
  node.whiteout = entry.is_whiteout();
  node.opaque = entry.type == EntryType::kDirectory && is_opaque(entry);
  node.target = entry.symlink_target;
  if (entry.type != EntryType::kRegular) return node;
  std::string token = entry.token;
  if (const auto leader = leaders_.find(entry.link_group); leader != leaders_.end()) {
    token = leader->second.token;
    node.size = leader->second.size;
  }
  if (const auto blob = transfer::blob_of(token)) {
    node.content = *blob;
    node.size = blob->size;
  }
  return node;
}

std::optional<Node> ListingBranch::find(std::string_view path) const {
  const auto found = first_from(entries_, path);
  if (found == entries_.end() || found->path != path) return std::nullopt;
  return node_of(*found);
}

Status ListingBranch::list(std::string_view path, const VisitNode& visit) const {
  auto entry = first_from(entries_, path);
  if (entry == entries_.end() || entry->path != path || entry->type != EntryType::kDirectory) return {};
  ++entry;
  const std::string prefix = path.empty() ? "" : std::string(path) + '/';
  while (entry != entries_.end() && entry->path.starts_with(prefix)) {
    CACS_TRY(visit(std::string_view(entry->path).substr(prefix.size()), node_of(*entry)));
    if (entry->type != EntryType::kDirectory) {
      ++entry;
      continue;
    }
    // Past all that is below it: byte 0 is in no name, and comes after the slash and before everything else.
    std::string last = entry->path;
    last += '\0';
    entry = first_from(entries_, last);
  }
  return {};
}

Node ImagesBranch::node_of(const repository::BlobRef& blob) const {
  return {.type = EntryType::kRegular, .mode = 0444, .mtime = time_, .size = blob.size, .content = blob};
}

std::optional<Node> ImagesBranch::find(std::string_view path) const {
  if (path.empty()) return Node{.mtime = time_};
  const auto found = files_.find(path);
  if (found == files_.end()) return std::nullopt;
  return node_of(found->second);
}

Status ImagesBranch::list(std::string_view path, const VisitNode& visit) const {
  if (!path.empty()) return {};
  for (const auto& [name, blob] : files_) CACS_TRY(visit(name, node_of(blob)));
  return {};
}

}  // namespace cacs::inspect
