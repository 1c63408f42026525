#include "delta/diff.h"

#include <map>
#include <string_view>
#include <tuple>
#include <unordered_map>

namespace cacs::delta {
namespace {

/// The token of each link group stands at its leader: this finds it for any entry.
class Tokens {
 public:
  explicit Tokens(const Listing& listing) {
    for (const Entry& entry : listing.entries) {
      if (entry.link_group != 0) leaders_.emplace(entry.link_group, &entry);
    }
  }
  [[nodiscard]] std::string_view of(const Entry& entry) const {
    const auto leader = leaders_.find(entry.link_group);
    return leader == leaders_.end() ? entry.token : leader->second->token;
  }

 private:
  std::unordered_map<std::uint64_t, const Entry*> leaders_;
};

auto comparable(const Entry& entry, const Tokens& tokens) {
  // A directory's time tells only that names in it changed, and those are listed themselves.
  const Timestamp mtime = entry.type == EntryType::kDirectory ? Timestamp{} : entry.mtime;
  return std::tuple(entry.type, entry.mode, entry.uid, entry.gid, mtime, entry.size, entry.rdev_major, entry.rdev_minor,
                    std::string_view(entry.symlink_target), tokens.of(entry));
}

}  // namespace

Difference diff(const Listing& before, const Listing& after) {
  const Tokens old_tokens(before);
  const Tokens new_tokens(after);
  std::map<std::string_view, const Entry*> gone;
  for (const Entry& entry : before.entries) gone.emplace(entry.path, &entry);
  std::map<std::string_view, const Entry*> added;
  Difference result;
  for (const Entry& entry : after.entries) {
    const auto old = gone.find(entry.path);
    if (old == gone.end()) {
      added.emplace(entry.path, &entry);
      continue;
    }
    if (comparable(*old->second, old_tokens) != comparable(entry, new_tokens) || old->second->xattrs != entry.xattrs) {
      result.changed.push_back(entry.path);
    }
    gone.erase(old);
  }
  std::unordered_multimap<std::uint64_t, std::string_view> gone_inodes;
  for (const auto& [path, entry] : gone) gone_inodes.emplace(entry->inode, path);
  for (const auto& [path, entry] : added) {
    const auto old = gone_inodes.find(entry->inode);
    const auto from = old == gone_inodes.end() ? gone.end() : gone.find(old->second);
    if (from == gone.end() || from->second->type != entry->type) {
      result.created.emplace_back(path);
      continue;
    }
    result.renamed.emplace_back(from->first, path);
    gone.erase(from);
    gone_inodes.erase(old);
  }
  for (const auto& [path, entry] : gone) result.deleted.emplace_back(path);
  std::ranges::sort(result.changed);
  return result;
}

}  // namespace cacs::delta
