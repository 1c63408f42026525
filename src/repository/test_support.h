#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <random>
#include <string>

#include "base/io.h"
#include "base/uuid.h"
#include "repository/repository.h"

#define ASSERT_OK(expression)                                                   \
  do {                                                                          \
    const auto& assert_ok_status = (expression);                                \
    ASSERT_TRUE(assert_ok_status.ok()) << assert_ok_status.error().to_string(); \
  } while (false)

namespace cacs::repository {

/// Bytes that do not compress, the same for the same seed.
inline std::string random_bytes(std::size_t size, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

/// A directory that is removed at the end.
class TemporaryDirectory {
 public:
  TemporaryDirectory() : path_(std::filesystem::temp_directory_path() / ("cacs-repository-" + new_uuid())) {
    std::filesystem::create_directories(path_);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline Result<BlobRef> put_text(Writer& writer, std::string_view text, StreamKind kind = StreamKind::kFile) {
  MemorySource source(as_bytes(text));
  return writer.put(source, kind);
}

inline Result<std::string> read_text(Repository& repository, const BlobRef& blob) {
  StringSink sink(blob.size);
  CACS_TRY(repository.read_blob(blob, sink));
  return sink.take();
}

}  // namespace cacs::repository
