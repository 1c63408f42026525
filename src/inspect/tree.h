#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "inspect/branch.h"
#include "inspect/memory.h"
#include "inspect/node.h"
#include "repository/repository.h"

namespace cacs::inspect {

/// Random access to the bytes of a node. One thread at a time; may outlive its tree, not the repository.
class FileReader {
 public:
  virtual ~FileReader() = default;
  /// As pread: fills `out` from `offset`, returns fewer bytes only at the end. Every slot touched is verified.
  virtual Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> out) = 0;
};

/// kInvalidArgument for what is no regular file.
Result<std::unique_ptr<FileReader>> open_file_reader(repository::Repository& repository, const Node& node);

/// A checkpoint as a directory tree, read from the repository as it is looked at (after BlobCR's snapshots, which are
/// disks that can be opened without restoring anything):
///
///   manifest.json        what the manifest says, but for its entries
///   POD/files/...        the pod's delta; names of the base that it has deleted are character devices 0:0, as in an
///                        overlay's upper directory
///   POD/shm/..., POD/mountN/...   the other trees that were captured
///   POD/base/...         copies of files of the base that the pod depends on
///   POD/memory/...       memory by process and region (memory.h)
///   POD/images/...       the engine's files, as stored
///
/// Listings and the engine's small images are read whole when something below them is first looked at, and kept; bytes
/// of files and memory never are. Any thread. The repository has to outlive it.
class CheckpointTree {
 public:
  static Result<std::shared_ptr<CheckpointTree>> open(repository::Repository& repository, std::string_view checkpoint);

  /// kNotFound names the path; "" is the root. Slashes at either end are passed over.
  Result<Node> find(std::string_view path);
  /// The names in a directory; kInvalidArgument when it is none.
  Status list(std::string_view path, const VisitNode& visit);

  [[nodiscard]] const repository::Manifest& manifest() const { return manifest_; }
  /// The names of its pods.
  [[nodiscard]] std::vector<std::string> pods() const;
  /// The directories of a pod: "files", "images", ...
  [[nodiscard]] std::vector<std::string> branch_names(const std::string& pod) const;
  /// kNotFound when there is none.
  Result<std::shared_ptr<const Branch>> branch(const std::string& pod, const std::string& name);

 private:
  struct Path;
  CheckpointTree(repository::Repository& repository, repository::Manifest manifest);
  Result<std::shared_ptr<const Branch>> load_branch(const std::string& pod, const std::string& name);
  Result<std::shared_ptr<const ListingBranch>> load_listing(const std::string& pod, const std::string& name);
  Result<std::shared_ptr<const ListingBranch>> load_base(const std::string& pod);
  std::shared_ptr<const ImagesBranch> load_images(const std::string& pod);
  [[nodiscard]] Node directory() const { return {.mtime = time_}; }
  [[nodiscard]] Node manifest_node() const;
  Error not_found(std::string_view path) const;

  repository::Repository& repository_;
  repository::Manifest manifest_;
  delta::Timestamp time_;  ///< of the checkpoint
  /// Pods, and the directories of each, to what they are called in the repository.
  std::map<std::string, std::map<std::string, std::string>, std::less<>> pods_;

  std::mutex mutex_;
  std::map<std::pair<std::string, std::string>, std::shared_ptr<const Branch>> branches_;
};

}  // namespace cacs::inspect
