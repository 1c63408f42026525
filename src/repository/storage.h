#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace cacs::repository {

/// A file being written, from start to end. One thread at a time.
class WritableFile {
 public:
  virtual ~WritableFile() = default;
  virtual Status append(std::span<const std::byte> data) = 0;
  /// What was appended survives a power loss once this returns (its name: see Storage::sync_directory).
  virtual Status sync() = 0;
};

/// A file open for reading. Any thread. Stays readable when its name is removed.
class ReadableFile {
 public:
  virtual ~ReadableFile() = default;
  /// Fills `out` from `offset` on; returns how many bytes there were.
  [[nodiscard]] virtual Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> out) const = 0;
  [[nodiscard]] virtual Result<std::uint64_t> size() const = 0;
};

/// A lock held; given back by the destructor, and by the system when the process dies.
class StorageLock {
 public:
  virtual ~StorageLock() = default;
};

enum class LockMode {
  kShared,     ///< writers: many at once
  kExclusive,  ///< the collector: alone
};

enum class LockWait { kBlock, kFail };

/// Everything the repository asks of the place that holds it, and all it may rely on: a rename within a directory is
/// atomic; names and bytes that were not synced may be there or not after a crash. Names are relative to the
/// repository, "directory/file". Any thread.
class Storage {
 public:
  virtual ~Storage() = default;

  /// A new, empty file; kConflict when the name is taken.
  virtual Result<std::unique_ptr<WritableFile>> create(const std::string& name) = 0;
  /// kNotFound when there is none.
  virtual Result<std::unique_ptr<ReadableFile>> open(const std::string& name) = 0;
  virtual Status rename(const std::string& from, const std::string& to) = 0;
  /// kNotFound when there is none.
  virtual Status remove(const std::string& name) = 0;
  /// Names made, renamed and removed in `directory` survive a power loss once this returns. "" is the root.
  virtual Status sync_directory(const std::string& directory) = 0;
  /// Names of the files in `directory`, in no order.
  virtual Result<std::vector<std::string>> list(const std::string& directory) = 0;
  /// Success when it is there already.
  virtual Status make_directory(const std::string& directory) = 0;
  /// kUnavailable when someone else holds it and `wait` is kFail.
  virtual Result<std::unique_ptr<StorageLock>> lock(LockMode mode, LockWait wait) = 0;
  /// Where it is, for messages.
  [[nodiscard]] virtual std::string describe() const = 0;
};

/// A directory of a local or network file system. The lock is flock(2) on the file `lock` in it.
std::unique_ptr<Storage> make_file_storage(std::filesystem::path root);

}  // namespace cacs::repository
