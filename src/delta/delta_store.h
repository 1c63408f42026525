#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/result.h"

namespace cacs::delta {

/// How the deltas of a node are kept, best first.
enum class DeltaStoreKind {
  kNative,  ///< the state directory's own file system shares blocks (XFS, btrfs)
  kImage,   ///< an XFS file system in a sparse file of the state directory, through a loop device
  kCopy,    ///< neither: a changed file is copied whole while the application is frozen
};

struct DeltaStoreOptions {
  /// Size of the image if one has to be made: at least 512 MiB; 0 is 80 % of what is free on the host's file system.
  /// The image is sparse: it takes the space of what is in it, and gives it back when files are removed.
  std::uint64_t image_bytes = 0;
  /// False: never make an image (an existing one is used).
  bool may_make_image = true;
};

/// The place for deltas and for the staged files of captures: both have to be below `directory` for blocks to be
/// shared. A value: the mount stays until close_delta_store() or the end of its mount namespace.
struct DeltaStore {
  std::filesystem::path directory;  ///< STATE/delta
  std::filesystem::path image;      ///< STATE/delta.img of a kImage, else empty
  DeltaStoreKind kind = DeltaStoreKind::kCopy;
  std::string problem;  ///< of a kCopy: why nothing better, and what to do; to be shown to the administrator

  [[nodiscard]] bool shares_blocks() const { return kind != DeltaStoreKind::kCopy; }
};

/// Finds or makes the store below `state`, an existing directory. May be repeated at any time, after a crash or a
/// reboot: what is mounted stays, what exists is mounted, a half-made image is made again. Mounts in the caller's mount
/// namespace. One process at a time. That there is no reflinking is no error (kCopy); a store that exists and cannot be
/// used is one.
Result<DeltaStore> open_delta_store(const std::filesystem::path& state, const DeltaStoreOptions& options = {});

/// Unmounts an image (kConflict while something uses it). Nothing to do for the other kinds.
Status close_delta_store(const DeltaStore& store);

/// Makes an image at least `bytes` large, while in use. Never makes it smaller.
Status grow_delta_store(const DeltaStore& store, std::uint64_t bytes);

struct DeltaRoom {
  std::uint64_t free_bytes = 0;  ///< what can still be written: the less of the next two
  std::uint64_t image_free = 0;  ///< free in the store's file system
  std::uint64_t host_free = 0;   ///< free in the file system below an image
};

/// How much more can be written. An image is sparse, so the host's file system may be full while the image seems not to
/// be; XFS would then fail writes it has promised. So ask before each checkpoint: kNoSpace, naming which of the two is
/// full, when fewer than `needed` bytes and a reserve of 64 MiB are left; kIo when the image's file system has already
/// stopped itself.
Result<DeltaRoom> check_room(const DeltaStore& store, std::uint64_t needed);

/// Whether two files of `directory` can share blocks: tries it.
Result<bool> can_share_blocks(const std::filesystem::path& directory);

}  // namespace cacs::delta
