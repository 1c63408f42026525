#pragma once

#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "repository/backend/file_backend.h"

namespace cacs::repository {

/// What a FileBackend and its writers share. Any thread.
class FileSpace {
 public:
  FileSpace(std::unique_ptr<Storage> storage, Durability durability);

  [[nodiscard]] Storage& storage() const { return *storage_; }
  [[nodiscard]] const std::string& boot_id() const { return boot_id_; }
  [[nodiscard]] bool durable() const { return durability_ == Durability::kFull; }

  /// A file for `name` to be written to, in a directory that is there durably; `temporary` becomes its name.
  Result<std::unique_ptr<WritableFile>> create_temporary(const std::string& name, std::string& temporary);
  /// Names in the directory of `name` survive a power loss from now on.
  Status sync_beside(const std::string& name);
  [[nodiscard]] std::string new_temporary_name(const std::string& name) const;

 private:
  Status ensure_directory(const std::string& directory);

  std::unique_ptr<Storage> storage_;
  Durability durability_;
  std::string boot_id_;
  std::mutex mutex_;
  std::set<std::string> known_directories_;  ///< that this process has seen to be there durably
};

/// The directory that `name` stands in; "" is the root.
std::string directory_of(const std::string& name);

/// `replaced` is called after the name has got other bytes, or may have.
std::unique_ptr<ObjectWriter> make_file_writer(std::shared_ptr<FileSpace> space, std::string name, Overwrite overwrite,
                                               std::string temporary, std::unique_ptr<WritableFile> file,
                                               std::function<void()> replaced);

}  // namespace cacs::repository
