#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace cacs::basefs {

/// SHA-256 in hex of an open file's bytes, read from offset 0.
Result<std::string> digest_of(int fd);

/// Writes the bytes of an open file, from offset 0, into an empty one.
Status copy_file(int from, int to);

/// Copies of what files of the base held, each under its digest, in a directory of their own. They outlive a kill of
/// the process, not a power loss: the programs they are for do not either. Any thread.
class Contents {
 public:
  explicit Contents(std::filesystem::path directory) : directory_(std::move(directory)) {}

  /// Keeps a copy of an open file, read from offset 0; returns its digest. The disk blocks are shared where the file
  /// system can. What was kept already is not kept twice.
  Result<std::string> save(int fd) const;
  /// kNotFound when it is not kept.
  [[nodiscard]] Result<UniqueFd> open(const std::string& digest) const;
  [[nodiscard]] bool has(const std::string& digest) const;

 private:
  [[nodiscard]] std::filesystem::path path_of(const std::string& digest) const { return directory_ / digest; }
  std::filesystem::path directory_;
};

}  // namespace cacs::basefs
