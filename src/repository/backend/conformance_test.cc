// The conformance suite on every backend and decorator that needs no server.
#include "repository/backend/conformance.h"

#include "repository/backend/memory_backend.h"

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

}  // namespace
}  // namespace cacs::repository
