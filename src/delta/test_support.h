#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "delta/capture.h"
#include "delta/delta_store.h"
#include "delta/materialise.h"

namespace cacs::delta {

/// The file systems that the tests run on.
enum class TestFileSystem { kDisk, kTmpfs, kXfsImage };
std::string test_name(TestFileSystem kind);

/// A directory on such a file system. The first one puts the test program into a mount namespace of its own, so that
/// nothing that a test mounts shows outside or outlives it.
class TestPlace {
 public:
  explicit TestPlace(TestFileSystem kind);
  TestPlace(const TestPlace&) = delete;
  TestPlace& operator=(const TestPlace&) = delete;
  ~TestPlace();

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  /// A new directory below path().
  [[nodiscard]] std::filesystem::path make(const std::string& name) const;

 private:
  std::filesystem::path base_;
  std::filesystem::path path_;
  DeltaStore store_;
  bool mounted_ = false;
};

/// A real overlay mount: lower and upper below `place`.
class TestOverlay {
 public:
  explicit TestOverlay(const std::filesystem::path& place);
  TestOverlay(const TestOverlay&) = delete;
  TestOverlay& operator=(const TestOverlay&) = delete;
  ~TestOverlay();
  void mount();
  void unmount();

  std::filesystem::path lower, upper, work, merged;

 private:
  bool mounted_ = false;
};

/// What stands in for the repository: keeps contents by token.
class TestRepository {
 public:
  /// Stores what changed; the next baseline.
  Baseline store(const Snapshot& snapshot);
  void rebuild(const Listing& listing, const std::filesystem::path& target) const;
  [[nodiscard]] const std::string& content(const std::string& token) const { return contents_.at(token); }
  [[nodiscard]] std::size_t size() const { return contents_.size(); }

 private:
  std::map<std::string, std::string> contents_;
};

/// An account of a tree made with other means than the code under test: one line a name with everything that has to
/// come back, contents included (as a digest). Two trees are equal if their accounts are.
std::map<std::string, std::string> account_of(const std::filesystem::path& root);

std::string read_all(const std::filesystem::path& path);
void write_all(const std::filesystem::path& path, std::string_view data);

/// A snapshot that must work.
Snapshot must_capture(const std::filesystem::path& root, const std::filesystem::path& staging, const Baseline& baseline,
                      const CaptureOptions& options = {});

/// Waits until a ctime of now is old enough to be trusted, or any file just written is: the racy window has passed.
void outwait_racy_window();

const CapturedFile* find_file(const Snapshot& snapshot, const std::string& path);
const Entry* find_entry(const Listing& listing, const std::string& path);

}  // namespace cacs::delta
