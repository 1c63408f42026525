#include "delta/test_support.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>
#include <sstream>
#include <thread>

#include "base/hash.h"
#include "base/io.h"
#include "delta/stage.h"

namespace cacs::delta {
namespace {

void enter_private_mount_namespace() {
  static const bool kDone = [] {
    if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
      ADD_FAILURE() << "these tests need root: " << std::strerror(errno);
      return false;
    }
    return true;
  }();
  ASSERT_TRUE(kDone);
}

std::string xattrs_of(const std::string& path) {
  std::string names(65536, '\0');
  const ssize_t size = ::llistxattr(path.c_str(), names.data(), names.size());
  std::map<std::string, std::string> sorted;
  for (ssize_t at = 0; at < size; at += static_cast<ssize_t>(std::strlen(names.data() + at)) + 1) {
    std::string value(65536, '\0');
    const ssize_t length = ::lgetxattr(path.c_str(), names.data() + at, value.data(), value.size());
    EXPECT_GE(length, 0);
    value.resize(length < 0 ? 0 : static_cast<std::size_t>(length));
    sorted[names.data() + at] = value;
  }
  std::string all;
  for (const auto& [name, value] : sorted)
    all.append(" ").append(name).append("=").append(sha256(value).to_hex(), 0, 12);
  return all;
}

void account_directory(const std::string& directory, const std::string& prefix,
                       std::map<ino_t, std::string>& first_names, std::map<std::string, std::string>& account) {
  std::map<std::string, std::filesystem::path> names;
  for (const auto& item : std::filesystem::directory_iterator(directory)) names[item.path().filename()] = item.path();
  for (const auto& [name, path] : names) {
    struct stat info {};
    ASSERT_EQ(::lstat(path.c_str(), &info), 0) << path;
    std::ostringstream line;
    line << std::oct << info.st_mode << std::dec << " " << info.st_uid << ":" << info.st_gid << " "
         << info.st_mtim.tv_sec << "." << info.st_mtim.tv_nsec;
    std::string relative = prefix.empty() ? std::string() : prefix + "/";
    relative += name;
    if (S_ISREG(info.st_mode)) line << " size " << info.st_size << " " << sha256(read_all(path)).to_hex().substr(0, 16);
    if (S_ISCHR(info.st_mode) || S_ISBLK(info.st_mode)) line << " dev " << info.st_rdev;
    if (S_ISLNK(info.st_mode)) line << " -> " << std::filesystem::read_symlink(path).native();
    if (!S_ISDIR(info.st_mode) && info.st_nlink > 1) {
      line << " is " << first_names.emplace(info.st_ino, relative).first->second;
    }
    line << xattrs_of(path);
    account[relative] = line.str();
    if (S_ISDIR(info.st_mode)) account_directory(path, relative, first_names, account);
  }
}

}  // namespace

std::string test_name(TestFileSystem kind) {
  switch (kind) {
    case TestFileSystem::kDisk:
      return "Disk";
    case TestFileSystem::kTmpfs:
      return "Tmpfs";
    case TestFileSystem::kXfsImage:
      break;
  }
  return "XfsImage";
}

TestPlace::TestPlace(TestFileSystem kind) {
  enter_private_mount_namespace();
  std::string name = (std::filesystem::temp_directory_path() / "cacs-delta-XXXXXX").native();
  EXPECT_NE(::mkdtemp(name.data()), nullptr);
  base_ = name;
  path_ = base_ / "place";
  std::filesystem::create_directory(path_);
  if (kind == TestFileSystem::kTmpfs) {
    EXPECT_EQ(::mount("tmpfs", path_.c_str(), "tmpfs", 0, "mode=0755"), 0) << std::strerror(errno);
    mounted_ = true;
  }
  if (kind == TestFileSystem::kXfsImage) {
    auto store = open_delta_store(base_, {.image_bytes = std::uint64_t{8} << 30U});
    EXPECT_TRUE(store.ok()) << store.error().to_string();
    if (!store.ok()) return;
    EXPECT_EQ(store->kind, DeltaStoreKind::kImage) << store->problem;
    store_ = *store;
    path_ = store_.directory;
  }
}

TestPlace::~TestPlace() {
  if (mounted_) {
    EXPECT_EQ(::umount2(path_.c_str(), 0), 0) << std::strerror(errno);
  }
  const Status closed = close_delta_store(store_);
  EXPECT_TRUE(closed.ok()) << closed.error().to_string();
  const Status removed = remove_tree(base_);
  EXPECT_TRUE(removed.ok()) << removed.error().to_string();
}

std::filesystem::path TestPlace::make(const std::string& name) const {
  std::filesystem::create_directories(path_ / name);
  return path_ / name;
}

TestOverlay::TestOverlay(const std::filesystem::path& place)
    : lower(place / "lower"), upper(place / "upper"), work(place / "work"), merged(place / "merged") {
  for (const auto& directory : {lower, upper, work, merged}) std::filesystem::create_directories(directory);
}

TestOverlay::~TestOverlay() {
  if (mounted_) unmount();
}

void TestOverlay::mount() {
  const std::string options = "index=off,xino=off,redirect_dir=off,metacopy=off,lowerdir=" + lower.native() +
                              ",upperdir=" + upper.native() + ",workdir=" + work.native();
  ASSERT_EQ(::mount("overlay", merged.c_str(), "overlay", 0, options.c_str()), 0) << std::strerror(errno);
  mounted_ = true;
}

void TestOverlay::unmount() {
  EXPECT_EQ(::umount2(merged.c_str(), 0), 0) << std::strerror(errno);
  mounted_ = false;
}

Baseline TestRepository::store(const Snapshot& snapshot) {
  std::vector<std::string> tokens;
  for (const CapturedFile& file : snapshot.files()) {
    if (!file.changed()) {
      EXPECT_TRUE(contents_.contains(file.token));
      tokens.push_back(file.token);
      continue;
    }
    tokens.push_back("content-" + std::to_string(contents_.size()));
    contents_[tokens.back()] = read_all(file.staged);
    EXPECT_EQ(contents_[tokens.back()].size(), file.size);
  }
  auto baseline = next_baseline(snapshot, tokens);
  EXPECT_TRUE(baseline.ok());
  // Every baseline goes through its stored form: that is how it comes back after a restart of the agent.
  auto again = parse_baseline(serialise(*baseline));
  EXPECT_TRUE(again.ok()) << again.error().to_string();
  EXPECT_EQ(again->listing, baseline->listing);
  EXPECT_EQ(again->identities, baseline->identities);
  EXPECT_EQ(again->tree, baseline->tree);
  return std::move(*again);
}

void TestRepository::rebuild(const Listing& listing, const std::filesystem::path& target) const {
  std::filesystem::create_directories(target);
  const Status done = materialise(listing, target, [&](std::string_view token, int fd, const Entry&) -> Status {
    const auto found = contents_.find(std::string(token));
    if (found == contents_.end()) return make_error(ErrorCode::kNotFound, "no content " + std::string(token));
    return write_full(fd, found->second);
  });
  ASSERT_TRUE(done.ok()) << done.error().to_string();
}

std::map<std::string, std::string> account_of(const std::filesystem::path& root) {
  std::map<std::string, std::string> account;
  std::map<ino_t, std::string> first_names;
  struct stat info {};
  EXPECT_EQ(::lstat(root.c_str(), &info), 0);
  account["."] = std::to_string(info.st_mode) + " " + std::to_string(info.st_uid) + xattrs_of(root) + " " +
                 std::to_string(info.st_mtim.tv_sec) + "." + std::to_string(info.st_mtim.tv_nsec);
  account_directory(root, "", first_names, account);
  return account;
}

std::string read_all(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in) << path;
  return {std::istreambuf_iterator<char>(in), {}};
}

void write_all(const std::filesystem::path& path, std::string_view data) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(data.data(), static_cast<std::streamsize>(data.size()));
  out.close();
  ASSERT_TRUE(out) << path;
}

Snapshot must_capture(const std::filesystem::path& root, const std::filesystem::path& staging, const Baseline& baseline,
                      const CaptureOptions& options) {
  std::filesystem::create_directories(staging);
  auto snapshot = capture(root, staging, baseline, options);
  if (!snapshot.ok()) ADD_FAILURE() << snapshot.error().to_string();
  return std::move(*snapshot);
}

void outwait_racy_window() {
  std::this_thread::sleep_for(CaptureOptions{}.racy_window + std::chrono::milliseconds(20));
}

const Entry* find_entry(const Listing& listing, const std::string& path) {
  const auto found = std::ranges::find(listing.entries, path, &Entry::path);
  return found == listing.entries.end() ? nullptr : &*found;
}

const CapturedFile* find_file(const Snapshot& snapshot, const std::string& path) {
  for (const CapturedFile& file : snapshot.files()) {
    if (snapshot.listing().entries[file.entry].path == path) return &file;
  }
  return nullptr;
}

}  // namespace cacs::delta
