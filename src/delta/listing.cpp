#include "delta/listing.h"

#include <unordered_map>

#include "base/text.h"
#include "delta/wire.h"

namespace cacs::delta {
namespace {

constexpr std::string_view kMagic = "CACSDLTL";
constexpr std::uint64_t kVersion = 1;
constexpr std::uint64_t kMinimumReader = 1;
constexpr std::size_t kMaxXattrNameBytes = 255;
constexpr std::size_t kMaxXattrValueBytes = std::size_t{64} << 10U;
constexpr std::size_t kMaxSymlinkBytes = 4096;
// Paths are stored as the difference to the one before, so a small input can name long ones: this bounds what they
// may come to, beyond what any honest tree of the same entries needs.
constexpr std::size_t kMaxTotalPathBytes = std::size_t{1} << 30U;

Error corrupt(const std::string& why) {
  return make_error(ErrorCode::kCorrupt, "the file listing is not valid: " + why,
                    "it was damaged or made by something else; use another checkpoint");
}

bool names_are_plain(std::string_view path) {
  if (path.find('\0') != std::string_view::npos) return false;
  while (true) {
    const std::size_t slash = path.find('/');
    const std::string_view name = path.substr(0, slash);
    if (name.empty() || name == "." || name == ".." || name.size() > kMaxNameBytes) return false;
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

std::size_t shared_prefix(std::string_view a, std::string_view b) {
  const std::size_t limit = std::min(a.size(), b.size());
  std::size_t n = 0;
  while (n < limit && a[n] == b[n]) ++n;
  return n;
}

void write_entry(WireWriter& out, const Entry& entry, std::string_view previous_path) {
  const std::size_t shared = shared_prefix(previous_path, entry.path);
  out.number(shared);
  out.bytes(std::string_view(entry.path).substr(shared));
  out.number(static_cast<std::uint64_t>(entry.type));
  out.number(entry.mode);
  out.number(entry.uid);
  out.number(entry.gid);
  out.signed_number(entry.mtime.seconds);
  out.number(entry.mtime.nanoseconds);
  out.number(entry.inode);
  out.number(entry.link_group);
  out.number(entry.xattrs.size());
  for (const Xattr& xattr : entry.xattrs) {
    out.bytes(xattr.name);
    out.bytes(xattr.value);
  }
  switch (entry.type) {
    case EntryType::kRegular:
      out.number(entry.size);
      out.bytes(entry.token);
      break;
    case EntryType::kSymlink:
      out.bytes(entry.symlink_target);
      break;
    case EntryType::kCharDevice:
    case EntryType::kBlockDevice:
      out.number(entry.rdev_major);
      out.number(entry.rdev_minor);
      break;
    case EntryType::kDirectory:
    case EntryType::kFifo:
    case EntryType::kSocket:
      break;
  }
}

Entry read_entry(WireReader& in, std::string_view previous_path) {
  Entry entry;
  const auto shared = static_cast<std::size_t>(in.number(previous_path.size()));
  entry.path = previous_path.substr(0, shared);
  entry.path += in.bytes(kMaxPathBytes);
  if (entry.path.size() > kMaxPathBytes) in.fail();
  entry.type = static_cast<EntryType>(in.number(static_cast<std::uint64_t>(EntryType::kBlockDevice)));
  entry.mode = in.number32(07777);
  entry.uid = in.number32();
  entry.gid = in.number32();
  entry.mtime.seconds = in.signed_number();
  entry.mtime.nanoseconds = in.number32(999'999'999);
  entry.inode = in.number();
  entry.link_group = in.number();
  const std::uint64_t xattrs = in.number(kMaxXattrsPerEntry);
  for (std::uint64_t i = 0; i < xattrs && in.ok(); ++i) {
    Xattr xattr;
    xattr.name = in.bytes(kMaxXattrNameBytes);
    xattr.value = in.bytes(kMaxXattrValueBytes);
    entry.xattrs.push_back(std::move(xattr));
  }
  switch (entry.type) {
    case EntryType::kRegular:
      entry.size = in.number(INT64_MAX);
      entry.token = in.bytes(kMaxTokenBytes);
      break;
    case EntryType::kSymlink:
      entry.symlink_target = in.bytes(kMaxSymlinkBytes);
      break;
    case EntryType::kCharDevice:
    case EntryType::kBlockDevice:
      entry.rdev_major = in.number32();
      entry.rdev_minor = in.number32();
      break;
    case EntryType::kDirectory:
    case EntryType::kFifo:
    case EntryType::kSocket:
      break;
    default:
      in.fail();
  }
  return entry;
}

Status validate_content(const Entry& entry) {
  const std::string name = "'" + printable(entry.path) + "'";
  if (entry.type < EntryType::kRegular || entry.type > EntryType::kBlockDevice) return corrupt(name + " has no type");
  if (entry.mode > 07777 || entry.mtime.nanoseconds > 999'999'999)
    return corrupt(name + " has an impossible mode or time");
  if (entry.type == EntryType::kSymlink &&
      (entry.symlink_target.empty() || entry.symlink_target.find('\0') != std::string::npos)) {
    return corrupt(name + " has no usable link target");
  }
  for (const Xattr& xattr : entry.xattrs) {
    if (xattr.name.empty() || xattr.name.find('\0') != std::string::npos)
      return corrupt(name + " has an unnamed xattr");
  }
  return {};
}

}  // namespace

std::string_view parent_path(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}

std::string_view base_name(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

Status validate(const Listing& listing) {
  if (listing.entries.empty()) return corrupt("it has no root");
  if (listing.entries.size() > kMaxEntries) return corrupt("it has too many entries");
  std::unordered_map<std::string_view, const Entry*> seen;
  std::unordered_map<std::uint64_t, const Entry*> leaders;
  seen.reserve(listing.entries.size());
  for (const Entry& entry : listing.entries) {
    const std::string name = "'" + printable(entry.path) + "'";
    CACS_TRY(validate_content(entry));
    if (seen.empty()) {
      if (!entry.path.empty() || entry.type != EntryType::kDirectory) return corrupt("its first entry is not the root");
    } else {
      if (entry.path.size() > kMaxPathBytes || !names_are_plain(entry.path))
        return corrupt(name + " is no path in a tree");
      const auto parent = seen.find(parent_path(entry.path));
      if (parent == seen.end()) return corrupt(name + " comes before its directory");
      if (parent->second->type != EntryType::kDirectory) return corrupt(name + " lies below what is no directory");
    }
    if (!seen.emplace(entry.path, &entry).second) return corrupt(name + " is there twice");
    if (entry.link_group == 0) continue;
    const auto [leader, first] = leaders.emplace(entry.link_group, &entry);
    if (entry.type == EntryType::kDirectory || leader->second->type != entry.type) {
      return corrupt(name + " cannot be a hard link to '" + printable(leader->second->path) + "'");
    }
  }
  return {};
}

std::string serialise(const Listing& listing) {
  WireWriter out;
  out.raw(kMagic);
  out.number(kVersion);
  out.number(kMinimumReader);
  out.number(listing.entries.size());
  std::string_view previous;
  for (const Entry& entry : listing.entries) {
    write_entry(out, entry, previous);
    previous = entry.path;
  }
  return out.take();
}

Result<Listing> parse_listing(std::string_view bytes) {
  WireReader in(bytes);
  if (in.raw(kMagic.size()) != kMagic) return corrupt("it does not begin as one");
  in.number();  // version of the writer: nothing depends on it yet
  const std::uint64_t minimum_reader = in.number();
  if (in.ok() && minimum_reader > kVersion) {
    return make_error(ErrorCode::kUnsupported, "the file listing was written by a newer version of CACS",
                      "upgrade this node's cacs");
  }
  const std::uint64_t count = in.number(kMaxEntries);
  Listing listing;
  std::size_t path_bytes = 0;
  for (std::uint64_t i = 0; i < count && in.ok(); ++i) {
    const std::string_view previous = listing.entries.empty() ? "" : std::string_view(listing.entries.back().path);
    Entry entry = read_entry(in, previous);
    path_bytes += entry.path.size();
    if (path_bytes > kMaxTotalPathBytes) return corrupt("its paths are too long together");
    listing.entries.push_back(std::move(entry));
  }
  if (!in.ok() || !in.at_end()) return corrupt("it ends early, late, or holds a number out of range");
  CACS_TRY(validate(listing));
  return listing;
}

}  // namespace cacs::delta
