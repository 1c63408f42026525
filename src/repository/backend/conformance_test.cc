// The conformance suite on every backend and decorator that needs no server.
#include "repository/backend/conformance.h"

#include <filesystem>

#include "repository/backend/file_backend.h"
#include "repository/backend/forgetful_storage.h"
#include "repository/backend/memory_backend.h"
#include "repository/backend/test_support.h"

namespace cacs::repository {
namespace {

class MemoryUnderTest final : public BackendUnderTest {
 public:
  Backend& backend() override { return *backend_; }
  std::unique_ptr<Backend> another() override { return make_memory_backend(store_); }
  std::vector<std::string> leftovers() override { return {}; }

 private:
  std::shared_ptr<MemoryStore> store_ = std::make_shared<MemoryStore>();
  std::unique_ptr<Backend> backend_ = make_memory_backend(store_);
};

const bool kMemory =
    register_backend_conformance("MemoryConformance", [] { return std::make_unique<MemoryUnderTest>(); });

std::vector<std::string> temporaries_below(const std::filesystem::path& directory) {
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    if (is_temporary_name(entry.path().filename().string())) found.push_back(entry.path());
  }
  return found;
}

class FilesUnderTest final : public BackendUnderTest {
 public:
  Backend& backend() override { return *backend_; }
  std::unique_ptr<Backend> another() override { return make_file_backend(make_file_storage(directory_.path())); }
  std::vector<std::string> leftovers() override { return temporaries_below(directory_.path()); }

 private:
  TemporaryDirectory directory_;
  std::unique_ptr<Backend> backend_ = make_file_backend(make_file_storage(directory_.path()));
};

const bool kFiles = register_backend_conformance("FileConformance", [] { return std::make_unique<FilesUnderTest>(); });

/// On the disk that the crash tests use, as a file system without hard links that other hosts may have mounted: what
/// those tests find is worth something only if it is like a file system while nothing fails.
class ForgetfulUnderTest final : public BackendUnderTest {
 public:
  explicit ForgetfulUnderTest(bool plain) {
    disk_->set_hard_links(plain);
    disk_->set_host(!plain, "00000000-0000-4000-8000-000000000001");
    backend_ = another();
  }
  Backend& backend() override { return *backend_; }
  std::unique_ptr<Backend> another() override { return make_file_backend(disk_->mount(disk_)); }
  std::vector<std::string> leftovers() override {
    std::vector<std::string> found;
    for (const auto& name : disk_->file_names()) {
      if (is_temporary_name(name.substr(name.rfind('/') + 1))) found.push_back(name);
    }
    return found;
  }

 private:
  std::shared_ptr<ForgetfulDisk> disk_ = std::make_shared<ForgetfulDisk>();
  std::unique_ptr<Backend> backend_;
};

const bool kForgetful =
    register_backend_conformance("ForgetfulDiskConformance", [] { return std::make_unique<ForgetfulUnderTest>(true); });
const bool kWithoutLinks = register_backend_conformance("WithoutHardLinksConformance",
                                                        [] { return std::make_unique<ForgetfulUnderTest>(false); });

}  // namespace
}  // namespace cacs::repository
