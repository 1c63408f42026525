#include "delta/capturer.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "base/io.h"
#include "base/process.h"
#include "base/text.h"
#include "delta/stage.h"
#include "delta/xattrs.h"

namespace cacs::delta {
namespace {

constexpr int kOpenDirectory = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NOATIME;
constexpr int kOpenFile = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NOATIME | O_NONBLOCK;
constexpr std::size_t kNamesBuffer = std::size_t{64} << 10U;

Timestamp timestamp(const struct statx_timestamp& time) { return {time.tv_sec, time.tv_nsec}; }

std::uint64_t device_of(const struct statx& info) { return makedev(info.stx_dev_major, info.stx_dev_minor); }

Result<EntryType> type_of(std::uint32_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return EntryType::kRegular;
    case S_IFDIR:
      return EntryType::kDirectory;
    case S_IFLNK:
      return EntryType::kSymlink;
    case S_IFIFO:
      return EntryType::kFifo;
    case S_IFSOCK:
      return EntryType::kSocket;
    case S_IFCHR:
      return EntryType::kCharDevice;
    case S_IFBLK:
      return EntryType::kBlockDevice;
    default:
      return make_error(ErrorCode::kUnsupported, "a file of a type that this build does not know");
  }
}

void copy_attributes(const struct statx& info, EntryType type, Entry& entry, Identity& identity) {
  entry.type = type;
  entry.mode = info.stx_mode & 07777U;
  entry.uid = info.stx_uid;
  entry.gid = info.stx_gid;
  entry.mtime = timestamp(info.stx_mtime);
  entry.inode = info.stx_ino;
  if (type == EntryType::kRegular) entry.size = info.stx_size;
  if (type == EntryType::kCharDevice || type == EntryType::kBlockDevice) {
    entry.rdev_major = info.stx_rdev_major;
    entry.rdev_minor = info.stx_rdev_minor;
  }
  identity.inode = info.stx_ino;
  identity.ctime = timestamp(info.stx_ctime);
  if ((info.stx_mask & STATX_BTIME) != 0) identity.birth = timestamp(info.stx_btime);
}

int stat_name(int directory, const char* name, int flags, struct statx& info) {
  return ::statx(directory, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | flags, STATX_BASIC_STATS | STATX_BTIME,
                 &info);
}

}  // namespace

Capturer::Capturer(Snapshot& snapshot, const Baseline& baseline)
    : snapshot_(snapshot), baseline_(baseline), index_(baseline) {}

Error Capturer::failed(int error, std::string_view doing, std::string_view path) const {
  return errno_error(error, std::string(doing) + " '" + printable((snapshot_.root_ / path).native()) + "'");
}

bool Capturer::trusted(const Timestamp& ctime) const {
  const auto window = std::chrono::duration_cast<std::chrono::nanoseconds>(snapshot_.options_.racy_window).count();
  const std::int64_t age = (snapshot_.taken_.seconds - ctime.seconds) * 1'000'000'000 +
                           static_cast<std::int64_t>(snapshot_.taken_.nanoseconds) -
                           static_cast<std::int64_t>(ctime.nanoseconds);
  return snapshot_.taken_ > ctime && age > window;
}

Result<Snapshot> Capturer::capture(const std::filesystem::path& root, const std::filesystem::path& staging,
                                   const Baseline& baseline, const CaptureOptions& options) {
  Snapshot snapshot;
  snapshot.root_ = root;
  snapshot.options_ = options;
  Capturer capturer(snapshot, baseline);
  CACS_TRY(capturer.start(staging));
  snapshot.stats_.entries = snapshot.listing_.entries.size();
  snapshot.options_.memory = nullptr;  // the caller's
  return snapshot;
}

Status Capturer::start(const std::filesystem::path& staging) {
  struct timespec now {};
  ::clock_gettime(CLOCK_REALTIME, &now);
  snapshot_.taken_ = {now.tv_sec, static_cast<std::uint32_t>(now.tv_nsec)};
  CACS_ASSIGN(UniqueFd root, open_file(snapshot_.root_, O_RDONLY | O_DIRECTORY | O_NOATIME));
  struct statx info {};
  if (stat_name(root.get(), "", AT_EMPTY_PATH, info) != 0) return failed(errno, "look at", "");
  Entry entry;
  Identity identity;
  copy_attributes(info, EntryType::kDirectory, entry, identity);
  identity.trusted = trusted(identity.ctime);
  CACS_ASSIGN(std::string boot_id, read_boot_id());
  snapshot_.tree_ = {device_of(info), info.stx_ino, identity.birth, std::move(boot_id)};
  baseline_applies_ = baseline_.tree == snapshot_.tree_;
  CACS_ASSIGN(stores_move_ctime_, stores_move_ctime(root.get()));
  CACS_TRY(read_details(root.get(), ".", entry));

  std::string place = (staging / "snapshot-XXXXXX").native();
  if (::mkdtemp(place.data()) == nullptr) {
    return errno_error(errno, "make a directory for staged files in '" + printable(staging.native()) + "'");
  }
  snapshot_.staging_ = place;
  if (baseline_applies_) {
    snapshot_.listing_.entries.reserve(baseline_.listing.entries.size() + 64);
    snapshot_.identities_.reserve(baseline_.listing.entries.size() + 64);
  }
  snapshot_.listing_.entries.push_back(std::move(entry));
  snapshot_.identities_.push_back(identity);
  return walk(std::move(root));
}

Status Capturer::walk(UniqueFd directory) {
  std::vector<Frame> frames;
  frames.push_back({});
  CACS_TRY(visit(directory.get(), frames.back()));
  while (!frames.empty()) {
    Frame& top = frames.back();
    if (top.next < top.subdirectories.size()) {
      const std::size_t child = top.subdirectories[top.next++];
      CACS_TRY(go_down(directory, child));
      frames.push_back({.entry = child});
      CACS_TRY(visit(directory.get(), frames.back()));
      continue;
    }
    frames.pop_back();
    if (!frames.empty()) CACS_TRY(go_up(directory, frames.back().entry));
  }
  return {};
}

Status Capturer::go_down(UniqueFd& directory, std::size_t entry) const {
  const std::string name(base_name(path_of(entry)));
  UniqueFd child(::openat(directory.get(), name.c_str(), kOpenDirectory));
  if (!child.valid()) return failed(errno, "open", path_of(entry));
  directory = std::move(child);
  return {};
}

Status Capturer::go_up(UniqueFd& directory, std::size_t entry) const {
  UniqueFd parent(::openat(directory.get(), "..", kOpenDirectory));
  if (!parent.valid()) return failed(errno, "go back to", path_of(entry));
  struct stat info {};
  if (::fstat(parent.get(), &info) != 0) return failed(errno, "look at", path_of(entry));
  if (info.st_ino != snapshot_.identities_[entry].inode || info.st_dev != snapshot_.tree_.device) {
    return make_error(ErrorCode::kConflict, "'" + printable(path_of(entry)) + "' was moved while the tree was captured",
                      "something outside the pod writes to its files");
  }
  directory = std::move(parent);
  return {};
}

Status Capturer::visit(int directory, Frame& frame) {
  return frame.entry < first_new_ ? rescan(directory, frame) : scan(directory, frame, false);
}

Status Capturer::scan(int directory, Frame& frame, bool only_new) {
  alignas(struct dirent64) std::array<char, kNamesBuffer> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  while (true) {
    const ssize_t got = ::getdents64(directory, buffer.data(), buffer.size());
    if (got < 0) return failed(errno, "list", path_of(frame.entry));
    if (got == 0) return {};
    for (ssize_t at = 0; at < got;) {
      const auto* name = reinterpret_cast<const struct dirent64*>(buffer.data() + at);
      at += name->d_reclen;
      if (std::strcmp(name->d_name, ".") == 0 || std::strcmp(name->d_name, "..") == 0) continue;
      if (only_new) {
        const std::string& parent = path_of(frame.entry);
        if (known_paths_.contains(parent.empty() ? name->d_name : parent + "/" + name->d_name)) continue;
      }
      CACS_TRY(add_name(directory, frame, name->d_name));
    }
  }
}

Status Capturer::add_name(int directory, Frame& frame, const char* name) {
  struct statx info {};
  if (stat_name(directory, name, 0, info) != 0) {
    if (errno == ENOENT) return {};  // an engine's temporary name, gone again
    return failed(errno, "look at", path_of(frame.entry) + "/" + name);
  }
  Entry entry;
  Identity identity;
  const std::string& parent = path_of(frame.entry);
  entry.path = parent.empty() ? std::string(name) : parent + "/" + name;
  const Selection::Take take = snapshot_.options_.only.take(entry.path);
  if (take == Selection::Take::kNo || (take == Selection::Take::kOnTheWay && !S_ISDIR(info.stx_mode))) return {};
  path_bytes_ += entry.path.size();
  if (entry.path.size() > kMaxPathBytes || path_bytes_ > kMaxTotalPathBytes ||
      snapshot_.listing_.entries.size() >= kMaxEntries) {
    return make_error(ErrorCode::kTooLarge, "too many files or too deep directories at '" + printable(entry.path) + "'",
                      "remove files of the application, or keep them in a mount with rollback: false");
  }
  auto type = type_of(info.stx_mode);
  if (!type.ok()) return type.error().with_context("'" + printable(entry.path) + "'");
  copy_attributes(info, *type, entry, identity);
  identity.trusted = trusted(identity.ctime);
  const bool mounted = device_of(info) != snapshot_.tree_.device;
  if (mounted && entry.type != EntryType::kDirectory) return {};  // a file bound over a name is not of this tree

  const Entry* known = baseline_applies_ && !mounted ? index_.find_unchanged(identity) : nullptr;
  if (known != nullptr && known->type != entry.type) known = nullptr;
  if (known != nullptr) {
    entry.xattrs = known->xattrs;
    entry.symlink_target = known->symlink_target;
  } else if (!mounted) {
    CACS_TRY(read_details(directory, name, entry));
  }
  if (take == Selection::Take::kOnTheWay) {
    std::erase_if(entry.xattrs, [](const Xattr& xattr) { return xattr.name.starts_with("trusted.overlay."); });
  }
  const std::size_t index = snapshot_.listing_.entries.size();
  const bool linked = entry.type != EntryType::kDirectory && info.stx_nlink > 1 && join_link(info.stx_ino, entry);
  if (entry.type == EntryType::kRegular && !linked) CACS_TRY(take_content(directory, name, known, entry, identity));
  if (entry.type == EntryType::kDirectory && !mounted) frame.subdirectories.push_back(index);
  snapshot_.listing_.entries.push_back(std::move(entry));
  snapshot_.identities_.push_back(identity);
  return {};
}

Status Capturer::read_details(int directory, const char* name, Entry& entry) const {
  if (entry.type == EntryType::kSymlink) {
    std::array<char, PATH_MAX> target{};
    const ssize_t size = ::readlinkat(directory, name, target.data(), target.size());
    if (size < 0) return failed(errno, "read the link", entry.path);
    entry.symlink_target.assign(target.data(), static_cast<std::size_t>(size));
  }
  auto xattrs = read_xattrs(directory, name);
  if (!xattrs.ok()) return xattrs.error().with_context("'" + printable((snapshot_.root_ / entry.path).native()) + "'");
  entry.xattrs = std::move(*xattrs);
  return {};
}

bool Capturer::join_link(std::uint64_t inode, Entry& entry) {
  const auto [leader, first] = linked_.emplace(inode, snapshot_.listing_.entries.size());
  if (first) return false;
  snapshot_.listing_.entries[leader->second].link_group = leader->second + 1;
  entry.link_group = leader->second + 1;
  return true;
}

Status Capturer::take_content(int directory, const char* name, const Entry* known, const Entry& entry,
                              Identity& identity) {
  CapturedFile file{.entry = snapshot_.listing_.entries.size(), .size = entry.size};
  const bool read_anyway = snapshot_.options_.always_read.contains({snapshot_.tree_.device, identity.inode});
  if (known != nullptr && known->size == entry.size && stores_move_ctime_ && !read_anyway) {
    file.token = known->token;
    ++snapshot_.stats_.unchanged_files;
    snapshot_.files_.push_back(std::move(file));
    return {};
  }
  const UniqueFd in(::openat(directory, name, kOpenFile));
  if (!in.valid()) return failed(errno, "open", entry.path);
  const Status staged = put_aside(in.get(), identity.inode, file);
  if (!staged.ok()) return staged.error().with_context("put '" + printable(entry.path) + "' aside");
  // Where stores move the ctime, they do so only from a clean page on. A file whose pages cannot be cleaned is merely
  // read again next time.
  if (!stores_move_ctime_ || !clean_pages(in.get()).ok()) identity.trusted = false;
  snapshot_.files_.push_back(std::move(file));
  return {};
}

Status Capturer::put_aside(int in, std::uint64_t inode, CapturedFile& file) {
  if (snapshot_.options_.memory != nullptr) {
    if (auto room = snapshot_.options_.memory->take(inode, file.size)) {
      CACS_TRY(room->fill(in));
      snapshot_.memory_.push_back(room->release());
      file.staged = "/proc/self/fd/" + std::to_string(snapshot_.memory_.back().get());
      snapshot_.stats_.staged_bytes += file.size;
      ++snapshot_.stats_.memory_files;
      return {};
    }
  }
  file.staged = snapshot_.staging_ / std::to_string(snapshot_.next_staged_);
  CACS_ASSIGN(const UniqueFd out, open_file(file.staged, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
  ++snapshot_.next_staged_;
  snapshot_.stats_.staged_bytes += file.size;
  if (may_share_ && file.size > 0) {
    CACS_ASSIGN(may_share_, share_blocks(in, out.get()));
    if (may_share_) {
      ++snapshot_.stats_.shared_files;
      return {};
    }
  }
  ++snapshot_.stats_.copied_files;
  snapshot_.stats_.copied_bytes += file.size;
  return copy_sparse(in, out.get(), file.size);
}

Status Capturer::recapture(Snapshot& snapshot) {
  const Baseline nothing;
  Capturer capturer(snapshot, nothing);
  const std::vector<Entry>& entries = snapshot.listing_.entries;
  capturer.first_new_ = entries.size();
  capturer.subdirectories_of_.resize(entries.size());
  std::unordered_map<std::string_view, std::size_t> directories;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].type != EntryType::kDirectory) continue;
    directories.emplace(entries[i].path, i);
    if (i > 0) capturer.subdirectories_of_[directories.at(parent_path(entries[i].path))].push_back(i);
  }
  directories.clear();
  CACS_ASSIGN(UniqueFd root, open_file(snapshot.root_, O_RDONLY | O_DIRECTORY | O_NOATIME));
  CACS_ASSIGN(capturer.stores_move_ctime_, stores_move_ctime(root.get()));
  CACS_TRY(capturer.walk(std::move(root)));
  snapshot.stats_.entries = snapshot.listing_.entries.size();
  return {};
}

Status Capturer::rescan(int directory, Frame& frame) {
  frame.subdirectories = subdirectories_of_[frame.entry];
  struct statx info {};
  if (stat_name(directory, "", AT_EMPTY_PATH, info) != 0) return failed(errno, "look at", path_of(frame.entry));
  if (device_of(info) != snapshot_.tree_.device) return {};
  // A directory that was young when it was captured may have changed again within the same tick.
  const Timestamp ctime = timestamp(info.stx_ctime);
  if (ctime == snapshot_.identities_[frame.entry].ctime && trusted(ctime)) return {};
  remember_what_is_known();
  return scan(directory, frame, true);
}

void Capturer::remember_what_is_known() {
  if (!known_paths_.empty()) return;
  for (std::size_t i = 0; i < first_new_; ++i) {
    known_paths_.insert(path_of(i));
    if (snapshot_.listing_.entries[i].type == EntryType::kDirectory) continue;
    linked_.emplace(snapshot_.identities_[i].inode, i);
  }
}

}  // namespace cacs::delta
