#pragma once

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "base/io.h"

namespace cacs::basefs {

/// A directory of the test's own. Not in /tmp itself, which may be another file system than the base.
class TestDirectory {
 public:
  TestDirectory() {
    std::string pattern = "/var/tmp/cacs-basefs-XXXXXX";
    EXPECT_NE(::mkdtemp(pattern.data()), nullptr);
    path_ = pattern;
  }
  ~TestDirectory() { EXPECT_TRUE(remove_tree(path_).ok()); }
  TestDirectory(const TestDirectory&) = delete;
  TestDirectory& operator=(const TestDirectory&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline void write_text(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream out(path, std::ios::trunc);
  out << text;
  out.close();
  ASSERT_TRUE(out.good()) << path;
}

/// As a package manager does it: a new file under the old name.
inline void replace_text(const std::filesystem::path& path, const std::string& text) {
  const auto temporary = path.string() + ".new";
  write_text(temporary, text);
  std::filesystem::rename(temporary, path);
}

inline std::string text_of(const std::filesystem::path& path) {
  const auto text = read_text_file(path);
  return text ? *text : "(" + text.error().to_string() + ")";
}

}  // namespace cacs::basefs
