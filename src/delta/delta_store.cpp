#include "delta/delta_store.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "base/io.h"
#include "base/log.h"
#include "base/process.h"
#include "base/text.h"
#include "delta/loop_device.h"
#include "delta/stage.h"

namespace cacs::delta {
namespace {

constexpr std::uint64_t kMinimumImage = std::uint64_t{512} << 20U;  // XFS itself wants 300 MiB
constexpr std::uint64_t kReserve = std::uint64_t{64} << 20U;
constexpr auto kMakeLimit = std::chrono::minutes(5);

Result<std::uint64_t> free_bytes(const std::filesystem::path& path) {
  struct statvfs info {};
  if (::statvfs(path.c_str(), &info) != 0) return errno_error(errno, "ask for the space in '" + path.native() + "'");
  return static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize;
}

Result<dev_t> device_of(const std::filesystem::path& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return errno_error(errno, "look at '" + printable(path.native()) + "'");
  return info.st_dev;
}

Status run_tool(std::vector<std::string> argv) {
  const std::string tool = argv.front();
  CACS_ASSIGN(const Captured done, run_command({.argv = std::move(argv)}, kMakeLimit));
  if (done.status.success()) return {};
  return make_error(ErrorCode::kIo, tool + " failed with " + done.status.to_string() + ": " +
                                        printable(trim(done.err.empty() ? done.out : done.err), 400));
}

/// Makes the image under another name first: whatever has the final name is complete.
Status make_image(const std::filesystem::path& image, std::uint64_t wanted) {
  std::uint64_t size = wanted;
  if (size == 0) {
    CACS_ASSIGN(const std::uint64_t available, free_bytes(image.parent_path()));
    size = available / 10 * 8;
  }
  size = size / 4096 * 4096;
  if (size < kMinimumImage) {
    return make_error(ErrorCode::kNoSpace, "a file system of " + format_size(size) + " would be too small",
                      "free some space below '" + printable(image.parent_path().native()) + "': at least " +
                          format_size(kMinimumImage * 10 / 8) + " are needed");
  }
  const std::filesystem::path half = image.native() + ".tmp";
  CACS_TRY(remove_tree(half));
  {
    CACS_ASSIGN(const UniqueFd fd, open_file(half, O_RDWR | O_CREAT | O_EXCL, 0600));
    if (::ftruncate(fd.get(), static_cast<off_t>(size)) != 0) return errno_error(errno, "size '" + half.native() + "'");
    Status made = run_tool({"mkfs.xfs", "-q", "-f", "-K", "-s", "size=4096", "-m", "reflink=1,bigtime=1", "-L",
                            "cacs-delta", half.native()});
    if (!made.ok()) {
      ::unlink(half.c_str());
      if (made.error().code != ErrorCode::kNotFound) return made;
      return made.error().with_hint("install the package 'xfsprogs'");
    }
    if (::fsync(fd.get()) != 0) return errno_error(errno, "write back '" + half.native() + "'");
  }
  if (::rename(half.c_str(), image.c_str()) != 0) return errno_error(errno, "name '" + image.native() + "'");
  return sync_directory(image.parent_path());
}

Status mount_image(const std::filesystem::path& image, const std::filesystem::path& directory) {
  CACS_ASSIGN(const LoopDevice device, attach_loop(image));
  // `discard` gives freed blocks back to the host's file system by punching holes into the image.
  if (::mount(device.path.c_str(), directory.c_str(), "xfs", MS_NOATIME, "discard") == 0) return {};
  Error failed =
      errno_error(errno, "mount '" + printable(image.native()) + "' at '" + printable(directory.native()) + "'");
  if (errno == ENODEV) {
    failed.code = ErrorCode::kUnsupported;
    return failed.with_hint("this kernel has no XFS: load the module 'xfs' or put the state directory on btrfs");
  }
  return failed.with_hint("look at the kernel log (dmesg); if it is mounted elsewhere, unmount it there");
}

/// Whether `directory` is a mount, and then whether it is the image's.
Result<bool> mounted_already(const DeltaStore& store, const std::filesystem::path& image) {
  CACS_ASSIGN(const dev_t here, device_of(store.directory));
  CACS_ASSIGN(const dev_t above, device_of(store.directory.parent_path()));
  if (here == above) return false;
  std::error_code ignored;
  if (loop_backing_file(here) == std::filesystem::canonical(image, ignored)) return true;
  CACS_ASSIGN(const bool shares, can_share_blocks(store.directory));
  if (shares) return false;  // the administrator's own mount, as good as any
  return make_error(
      ErrorCode::kConflict,
      "something else is mounted at '" + printable(store.directory.native()) + "' and cannot share blocks",
      "unmount it, or mount an XFS or btrfs file system there");
}

Result<bool> holds_nothing(const std::filesystem::path& directory) {
  std::error_code error;
  const bool empty = std::filesystem::is_empty(directory, error);
  if (error) return errno_error(error.value(), "list '" + printable(directory.native()) + "'");
  return empty;
}

}  // namespace

Result<bool> can_share_blocks(const std::filesystem::path& directory) {
  const UniqueFd from(::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  const UniqueFd to(::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!from.valid() || !to.valid()) {
    if (errno == EOPNOTSUPP || errno == EISDIR) return false;
    return errno_error(errno, "make a trial file in '" + printable(directory.native()) + "'");
  }
  const std::string block(4096, 'x');
  CACS_TRY(write_full(from.get(), block));
  return share_blocks(from.get(), to.get());
}

Result<DeltaStore> open_delta_store(const std::filesystem::path& state, const DeltaStoreOptions& options) {
  DeltaStore store{.directory = state / "delta"};
  const std::filesystem::path image = state / "delta.img";
  CACS_TRY(make_directories(store.directory, 0700));
  CACS_ASSIGN(const bool mounted, mounted_already(store, image));
  CACS_ASSIGN(const bool shares, can_share_blocks(store.directory));
  if (shares) {
    store.kind = mounted ? DeltaStoreKind::kImage : DeltaStoreKind::kNative;
    if (mounted) store.image = image;
    return store;
  }
  if (mounted) {
    return make_error(ErrorCode::kIo, "the mounted image '" + printable(image.native()) + "' does not work",
                      "unmount it, see the kernel log (dmesg), repair it with xfs_repair, and start the agent again");
  }
  std::error_code ignored;
  const bool exists = std::filesystem::exists(image, ignored);
  CACS_ASSIGN(const bool empty, holds_nothing(store.directory));
  if (!exists) {
    if (!options.may_make_image) {
      store.problem = "an image for deltas is switched off";
      return store;
    }
    if (!empty) {
      store.problem = "'" + printable(store.directory.native()) +
                      "' already holds deltas on a file system that cannot share blocks; remove every pod of this node "
                      "to change over";
      return store;
    }
    const Status made = make_image(image, options.image_bytes);
    if (!made.ok()) {
      store.problem = made.error().to_string();
      return store;
    }
  }
  const Status done = mount_image(image, store.directory);
  if (!done.ok() && exists) return done.error();
  if (!done.ok()) {
    // A new image holds nothing: better none than one that hides what is written beside it.
    ::unlink(image.c_str());
    store.problem = done.error().to_string();
    return store;
  }
  if (::chmod(store.directory.c_str(), 0700) != 0)
    return errno_error(errno, "protect '" + store.directory.native() + "'");
  store.kind = DeltaStoreKind::kImage;
  store.image = image;
  return store;
}

Status close_delta_store(const DeltaStore& store) {
  if (store.kind != DeltaStoreKind::kImage) return {};
  if (::umount2(store.directory.c_str(), UMOUNT_NOFOLLOW) == 0 || errno == EINVAL) return {};
  Error failed = errno_error(errno, "unmount '" + printable(store.directory.native()) + "'");
  if (errno == EBUSY) failed.code = ErrorCode::kConflict;
  return failed.with_hint("pods of this node still use it");
}

Status grow_delta_store(const DeltaStore& store, std::uint64_t bytes) {
  if (store.kind != DeltaStoreKind::kImage) {
    return make_error(ErrorCode::kConflict, "the deltas are in no image: there is nothing to grow");
  }
  struct stat info {};
  if (::stat(store.image.c_str(), &info) != 0) return errno_error(errno, "look at '" + store.image.native() + "'");
  if (static_cast<std::uint64_t>(info.st_size) < bytes) {
    const auto size = static_cast<off_t>((bytes + 4095) / 4096 * 4096);
    if (::truncate(store.image.c_str(), size) != 0) return errno_error(errno, "extend '" + store.image.native() + "'");
  }
  CACS_ASSIGN(const dev_t device, device_of(store.directory));
  CACS_TRY(refresh_loop_size(device));
  return run_tool({"xfs_growfs", "-d", store.directory.native()});
}

Result<DeltaRoom> check_room(const DeltaStore& store, std::uint64_t needed) {
  DeltaRoom room;
  auto inside = free_bytes(store.directory);
  if (!inside.ok()) {
    return inside.error().with_hint("if the disk below it was full, free space, unmount it and start the agent again");
  }
  room.image_free = *inside;
  room.host_free = *inside;
  if (store.kind == DeltaStoreKind::kImage) {
    CACS_ASSIGN(room.host_free, free_bytes(store.image.parent_path()));
  }
  room.free_bytes = std::min(room.image_free, room.host_free);
  if (room.free_bytes >= kReserve && room.free_bytes - kReserve >= needed) return room;
  const bool host = room.host_free < room.image_free;
  const std::filesystem::path full = host ? store.image.parent_path() : store.directory;
  return make_error(ErrorCode::kNoSpace,
                    "the file system of '" + printable(full.native()) + "' has " + format_size(room.free_bytes) +
                        " left; " + format_size(needed) + " and a reserve of " + format_size(kReserve) + " are needed",
                    host ? "free space on the host's disk: the deltas' image is sparse and grows on it"
                         : "delete checkpoints or files of applications, or enlarge the delta store");
}

}  // namespace cacs::delta
