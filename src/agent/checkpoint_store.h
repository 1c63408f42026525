#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "basefs/keeper.h"
#include "delta/capture.h"
#include "repository/levels/levels.h"
#include "repository/repository.h"

namespace cacs::agent {

/// The tree of a pod's /dev/shm.
inline constexpr char kSharedMemoryTree[] = "shm";

/// One tree of a pod's files that was captured: the delta itself, shared memory, or a mount that rolls back.
struct CapturedTree {
  std::string name;  ///< "delta", "shm", "mount0"
  delta::Snapshot snapshot;
};

/// The memory of a checkpoint that was stored, by whose it is: what the next one is compared with, page by page.
using StoredMemory = std::map<std::string, repository::BlobRef>;

struct StoredPiece {
  std::string id;
  std::uint64_t size_bytes = 0;
  std::uint64_t stored_bytes = 0;
  std::vector<delta::Baseline> baselines;  ///< one for each tree, in their order: what the next capture compares with
  StoredMemory memory;
};

/// Turns what a cut took of a pod into a piece of a checkpoint, and back: the only place that knows how pods' things
/// are named in the repository.
///
///   POD/images/FILE         the engine's files
///   POD/NAME.listing        a tree's listing (delta/listing.h), whose tokens are the blobs below
///   POD/NAME/N              contents of the tree's files, N in the listing's order
///   POD/base.record         what the pod depends on in its base (basefs/record.h), whose tokens are the blobs below
///   POD/base/N              contents of files of the base
///
/// Any thread; calls may run side by side. What concerns the base is in base_files.cpp.
class CheckpointStore {
 public:
  /// The repository in `directory`, sealed under the key in the file `directory`.key; both are made when there is none.
  /// With a remote level a directory that has been lost is taken up from there, if its key file is still here; only for
  /// a directory without a repository the remote level has to answer.
  static Result<std::unique_ptr<CheckpointStore>> open(const std::filesystem::path& directory,
                                                       const std::optional<repository::RemotePlace>& remote = {});

  using Progress = std::function<void(std::uint64_t done)>;

  /// What store_piece stores: where the cut put it, and what the last piece of the pod is to be compared with.
  struct PieceSource {
    const std::filesystem::path& images;
    const std::vector<CapturedTree>& trees;
    basefs::Keeper* base = nullptr;
    const StoredMemory& last_memory;  ///< empty: everything is new, but for what is found by content
  };
  /// Stores engine images and trees durably. kNotFound when a blob that a baseline promised is gone: forget the
  /// baselines, the next capture reads everything. kCorrupt when the engine's page maps and pages do not go together:
  /// such a dump could not be restored.
  Result<StoredPiece> store_piece(const std::string& pod, const PieceSource& source, const JsonObject& meta,
                                  const Progress& progress);

  /// The engine's files of a pod of a checkpoint, into an empty directory.
  Status fetch_images(const repository::Manifest& manifest, const std::string& pod, const std::filesystem::path& into);
  /// Rebuilds a tree in an empty directory. A checkpoint without that tree leaves it empty.
  Status fetch_tree(const repository::Manifest& manifest, const std::string& pod, const std::string& name,
                    const std::filesystem::path& into);

  /// Reads all of a checkpoint. kCorrupt names the checkpoint, and the file by its path in the pod or as the engine's.
  Status verify(const repository::Manifest& manifest);
  struct FileRange {
    std::uint64_t offset = 0;
    std::size_t limit = 0;  ///< bytes at most
  };
  /// Bytes of a file of a pod's delta (its path without the leading slash); `size` becomes that of the whole file. A
  /// file that the delta has not is empty.
  Result<std::string> read_file(const repository::Manifest& manifest, const std::string& pod, std::string_view path,
                                const FileRange& range, std::uint64_t& size);

  /// What the pod depended on in its base; empty for a checkpoint without a record.
  Result<basefs::Record> base_record(const repository::Manifest& manifest, const std::string& pod);
  /// Whether the base still has what the checkpoint has no copy of. kConflict of type "base-changed" names what it has
  /// not.
  Status check_base(const repository::Manifest& manifest, const std::string& pod);
  /// Puts what the base has no more into the delta in `upper`, which is complete and not mounted.
  Status serve_base(const basefs::Record& record, const std::filesystem::path& upper);

  repository::Repository& repository() { return *repository_; }
  repository::Levels& levels() { return *levels_; }

 private:
  std::string describe(const repository::Manifest& manifest, const repository::Entry& entry);
  explicit CheckpointStore(std::unique_ptr<repository::Repository> repository) : repository_(std::move(repository)) {}
  /// Of one of the trees; without entries where the checkpoint has it not.
  Result<delta::Listing> load_listing(const repository::Manifest& manifest, const std::string& pod,
                                      const std::string& name);

  std::unique_ptr<repository::Repository> repository_;
  std::unique_ptr<repository::Levels> levels_;
};

/// Stores the record of the base and what it names, as entries of a piece. Contents that are in the repository already
/// are neither read nor written.
Status put_base(repository::Writer& writer, const std::string& pod, basefs::Keeper& base,
                std::vector<repository::Entry>& entries, std::uint64_t& size);

}  // namespace cacs::agent
