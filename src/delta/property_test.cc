// Random operations on a tree between captures. Each stored state, rebuilt at the end, must equal the account taken of
// the tree at that moment.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <random>

#include "base/fd.h"
#include "delta/test_support.h"

namespace cacs::delta {
namespace {

/// One tree under random operations. What is refused (a name that is taken, a directory that is not empty) does
/// nothing; that is part of the walk.
class RandomTree {
 public:
  RandomTree(std::filesystem::path root, unsigned seed) : root_(std::move(root)), random_(seed) {}
  ~RandomTree() {
    for (const auto& [address, size] : mappings_) ::munmap(address, size);
  }
  RandomTree(const RandomTree&) = delete;
  RandomTree& operator=(const RandomTree&) = delete;

  void step() {
    const std::string path = any_path();
    switch (pick(17)) {
      case 0:
      case 1:
      case 2:
        return write(path, O_CREAT | O_TRUNC);
      case 3:
      case 4:
        return write(path, 0);
      case 5:
        return write(path, O_APPEND);
      case 6:
        ignore(::mkdir(path.c_str(), 0700 + static_cast<mode_t>(pick(64))));
        return;
      case 7:
        ignore(::rename(path.c_str(), any_path().c_str()));
        return;
      case 8:
        ignore(::remove(path.c_str()));
        return;
      case 9:
        ignore(::link(path.c_str(), any_path().c_str()));
        return;
      case 10:
        ignore(::symlink(any_path().c_str(), path.c_str()));
        return;
      case 11:
        ignore(::lchown(path.c_str(), static_cast<uid_t>(pick(5)), static_cast<gid_t>(pick(5))));
        return;
      case 12:
        return set_attribute(path);
      case 13:
        return set_old_time(path);
      case 14:
        ignore(::mknod(path.c_str(), pick(2) == 0 ? S_IFCHR : S_IFIFO | 0600, makedev(0, 0)));
        return;
      case 15:
        return map(path);
      default:
        return store_through_mapping();
    }
  }

 private:
  static void ignore(int result) { static_cast<void>(result); }
  unsigned pick(unsigned n) { return static_cast<unsigned>(random_()) % n; }

  std::string any_path() {
    std::string path = root_.native();
    for (unsigned depth = pick(3); depth > 0; --depth) path += "/d" + std::to_string(pick(3));
    return path + (pick(3) == 0 ? "/d" : "/f") + std::to_string(pick(4));
  }

  void write(const std::string& path, int flags) {
    const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC | flags, 0640));
    if (!fd.valid()) return;
    const std::string data(pick(9000), static_cast<char>('a' + pick(26)));
    // Cutting a file short under a mapping would make a later store through it fail with SIGBUS.
    if ((flags & O_TRUNC) != 0 && !mappings_.empty()) ignore(::ftruncate(fd.get(), kMapped));
    ignore(static_cast<int>(::pwrite(fd.get(), data.data(), data.size(), pick(2) == 0 ? 0 : pick(100000))));
  }

  void set_attribute(const std::string& path) {
    const std::string value(pick(20), 'v');
    const char* name = pick(2) == 0 ? "trusted.one" : "trusted.two";
    ignore(pick(3) == 0 ? ::lremovexattr(path.c_str(), name)
                        : ::lsetxattr(path.c_str(), name, value.data(), value.size(), 0));
  }

  void set_old_time(const std::string& path) {
    const struct timespec time { .tv_sec = pick(1'000'000), .tv_nsec = pick(1'000'000) };
    const struct timespec times[2] = {time, time};
    ignore(::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW));
  }

  void map(const std::string& path) {
    const UniqueFd fd(::open(path.c_str(), O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC));
    struct stat info {};
    if (!fd.valid() || mappings_.size() > 8 || ::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode)) return;
    if (info.st_size < kMapped && ::ftruncate(fd.get(), kMapped) != 0) return;
    void* address = ::mmap(nullptr, kMapped, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    if (address != MAP_FAILED) mappings_.emplace_back(address, kMapped);
  }

  void store_through_mapping() {
    if (mappings_.empty()) return;
    auto* bytes = static_cast<char*>(mappings_[pick(static_cast<unsigned>(mappings_.size()))].first);
    bytes[pick(kMapped)] = static_cast<char>(pick(256));
  }

  static constexpr unsigned kMapped = 8192;
  std::filesystem::path root_;
  std::mt19937 random_;
  std::vector<std::pair<void*, std::size_t>> mappings_;
};

struct Param {
  TestFileSystem file_system;
  unsigned seed;
};

class Property : public ::testing::TestWithParam<Param> {};

INSTANTIATE_TEST_SUITE_P(On, Property,
                         ::testing::Values(Param{TestFileSystem::kDisk, 1}, Param{TestFileSystem::kDisk, 2},
                                           Param{TestFileSystem::kTmpfs, 3}, Param{TestFileSystem::kTmpfs, 4},
                                           Param{TestFileSystem::kXfsImage, 5}, Param{TestFileSystem::kXfsImage, 6}),
                         [](const auto& param) {
                           return test_name(param.param.file_system) + "Seed" + std::to_string(param.param.seed);
                         });

TEST_P(Property, EveryCapturedStateIsTheOneSeenThen) {
  const TestPlace place(GetParam().file_system);
  const auto root = place.make("root");
  const auto staging = place.make("staging");
  RandomTree tree(root, GetParam().seed);
  TestRepository repository;
  Baseline baseline;
  std::vector<std::pair<Listing, std::map<std::string, std::string>>> states;
  for (int round = 0; round < 40; ++round) {
    for (int i = 0; i < 40; ++i) tree.step();
    if (round % 5 == 4) outwait_racy_window();
    for (int i = 0; i < 5; ++i) tree.step();
    if (round % 7 == 6) outwait_racy_window();
    const Snapshot snapshot = must_capture(root, staging, baseline);
    states.emplace_back(Listing{}, account_of(root));
    baseline = repository.store(snapshot);
    states.back().first = baseline.listing;
    // Every third checkpoint fails after its capture: the older baseline must still be good.
    if (round % 3 == 2 && round > 3) {
      const Snapshot dropped = must_capture(root, staging, baseline);
      EXPECT_EQ(dropped.listing().entries.size(), snapshot.listing().entries.size());
    }
  }
  int number = 0;
  for (const auto& [listing, account] : states) {
    const auto copy = place.path() / ("copy" + std::to_string(number));
    repository.rebuild(listing, copy);
    ASSERT_EQ(account_of(copy), account) << "state " << number;
    ++number;
  }
}

}  // namespace
}  // namespace cacs::delta
