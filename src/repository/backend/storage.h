#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace cacs::repository {

/// What is known of a name in a Storage.
struct FileInfo {
  std::uint64_t size = 0;   ///< bytes
  std::uint64_t links = 0;  ///< names that the file has; 0: its last one was removed or taken over by another file
  bool directory = false;
  /// Which file it is, whatever its names: not given to another as long as one of its names is there or it is open.
  std::pair<std::uint64_t, std::uint64_t> id;
};

/// A file being written, from start to end. One thread at a time.
class WritableFile {
 public:
  virtual ~WritableFile() = default;
  virtual Status append(std::span<const std::byte> data) = 0;
  /// What was appended survives a power loss once this returns (its name: see Storage::sync_directory). Not to be
  /// called again when it failed: the kernel may have forgotten what it could not write, and say success.
  virtual Status sync() = 0;
};

/// A file open for reading. Any thread. Stays readable when its name is removed.
class ReadableFile {
 public:
  virtual ~ReadableFile() = default;
  /// Fills `out` from `offset` on; returns how many bytes there were.
  [[nodiscard]] virtual Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> out) const = 0;
  [[nodiscard]] virtual Result<FileInfo> info() const = 0;
  [[nodiscard]] Result<std::uint64_t> size() const {
    CACS_ASSIGN(const FileInfo found, info());
    return found.size;
  }
};

/// Everything that is asked of a file system, and all that is relied on: a rename within a directory is atomic, and of
/// two links to one new name one fails; names and bytes that were not synced may be there or not after a crash. Names
/// are relative to the root, "directory/file". Any thread.
class Storage {
 public:
  virtual ~Storage() = default;

  /// A new, empty file; kConflict when the name is taken. As long as the WritableFile and its process live,
  /// remove_abandoned() does not take the file.
  virtual Result<std::unique_ptr<WritableFile>> create(const std::string& name) = 0;
  /// kNotFound when there is none, or when it is no file.
  virtual Result<std::unique_ptr<ReadableFile>> open(const std::string& name) = 0;
  /// kNotFound when there is nothing. Symbolic links are not followed and count as nothing.
  virtual Result<FileInfo> stat(const std::string& name) = 0;
  /// Takes the place of `to` if there is one; kConflict when that is a directory.
  virtual Status rename(const std::string& from, const std::string& to) = 0;
  /// A second name in the same directory, exclusively: kConflict when `to` is taken, by whichever host. kUnsupported on
  /// file systems without hard links.
  virtual Status link(const std::string& from, const std::string& to) = 0;
  /// rename() that does not take the place of anything: kConflict when `to` is taken. kUnsupported where it cannot be
  /// had, among them NFS.
  virtual Status rename_new(const std::string& from, const std::string& to) = 0;
  /// kNotFound when there is none.
  virtual Status remove(const std::string& name) = 0;
  /// Removes a file that create() made, unless whoever made it still has it; returns whether it was removed. Asks
  /// flock(2): right for all processes of this host, in whichever containers; on a network file system also for those
  /// of other hosts, if its locks are not merely local.
  virtual Result<bool> remove_abandoned(const std::string& name) = 0;
  /// Names made, renamed and removed in `directory` survive a power loss once this returns. "" is the root.
  virtual Status sync_directory(const std::string& directory) = 0;
  /// Names in `directory`, of files and others, in no order.
  virtual Result<std::vector<std::string>> list(const std::string& directory) = 0;
  /// Success when it is there already; kConflict when it or one of its parents is a file. Its parents are made too; "",
  /// the root, also durably.
  virtual Status make_directory(const std::string& directory) = 0;
  /// Whether other hosts may have it mounted. In doubt: yes.
  [[nodiscard]] virtual bool shared_with_other_hosts() const = 0;
  /// What is different after each start of the host's kernel, and the same in all of its containers.
  [[nodiscard]] virtual std::string boot_id() const = 0;
  /// Where it is, for messages.
  [[nodiscard]] virtual std::string describe() const = 0;
};

/// A directory of a local or network file system.
std::unique_ptr<Storage> make_file_storage(std::filesystem::path root);

}  // namespace cacs::repository
