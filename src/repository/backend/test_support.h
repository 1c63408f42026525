#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstring>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "base/uuid.h"

#define ASSERT_OK(expression)                                                   \
  do {                                                                          \
    const auto& assert_ok_status = (expression);                                \
    ASSERT_TRUE(assert_ok_status.ok()) << assert_ok_status.error().to_string(); \
  } while (false)
#define EXPECT_OK(expression)                                                   \
  do {                                                                          \
    const auto& expect_ok_status = (expression);                                \
    EXPECT_TRUE(expect_ok_status.ok()) << expect_ok_status.error().to_string(); \
  } while (false)
#define EXPECT_CODE(expression, expected_code)                                                               \
  do {                                                                                                       \
    const auto& expect_code_status = (expression);                                                           \
    EXPECT_FALSE(expect_code_status.ok());                                                                   \
    if (!expect_code_status.ok()) {                                                                          \
      EXPECT_EQ(expect_code_status.error().code, (expected_code)) << expect_code_status.error().to_string(); \
    }                                                                                                        \
  } while (false)

namespace cacs::repository {

/// Bytes that do not compress, the same for the same seed.
inline std::string random_bytes(std::size_t size, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

/// The same at the speed of memory, for objects of many megabytes. A prefix of a longer one of that seed.
inline std::vector<std::byte> object_bytes(std::size_t size, std::uint64_t seed) {
  std::vector<std::byte> bytes((size + 7) / 8 * 8);
  std::uint64_t state = seed * 0x9e3779b97f4a7c15ULL + 1;
  for (std::size_t i = 0; i < bytes.size(); i += 8) {
    state ^= state << 13U;
    state ^= state >> 7U;
    state ^= state << 17U;
    std::memcpy(bytes.data() + i, &state, 8);
  }
  bytes.resize(size);
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

}  // namespace cacs::repository
