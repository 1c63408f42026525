#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <random>
#include <string>

#include "base/io.h"
#include "base/uuid.h"
#include "repository/backend/memory_backend.h"
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

/// The same keys every time.
inline TenantKeys test_keys(Sealing sealing = Sealing::kAes256Gcm) {
  if (sealing == Sealing::kNone) return TenantKeys::unsealed("a test's repository");
  const std::string secret(SecretKey::kBytes, 'k');
  return {sealing, {{1, SecretKey(as_bytes(secret).first<SecretKey::kBytes>())}}};
}

/// A gate that several handles of one process share.
class SharedGate final : public Gate {
 public:
  explicit SharedGate(std::shared_ptr<Gate> gate) : gate_(std::move(gate)) {}
  Result<std::unique_ptr<GatePass>> enter(GateMode mode, GateWait wait, const std::stop_token& stop) override {
    return gate_->enter(mode, wait, stop);
  }

 private:
  std::shared_ptr<Gate> gate_;
};

/// A store in memory for repositories; every handle on it is as one of another process.
struct TestStore {
  explicit TestStore(Sealing sealing = Sealing::kAes256Gcm) : keys(test_keys(sealing)) {}
  [[nodiscard]] Place place() const { return {make_memory_backend(objects), keys, std::make_unique<SharedGate>(gate)}; }

  std::shared_ptr<MemoryStore> objects = std::make_shared<MemoryStore>();
  std::shared_ptr<Gate> gate = make_process_gate();
  TenantKeys keys;
};

inline Result<BlobRef> put_text(Writer& writer, std::string_view text, StreamKind kind = StreamKind::kFile,
                                const BlobRef* parent = nullptr) {
  if (kind == StreamKind::kMemory) return writer.put_pages(MemoryPageSource(as_bytes(text)), parent);
  MemorySource source(as_bytes(text));
  return writer.put(source, kind);
}

inline Result<std::string> read_text(Repository& repository, const BlobRef& blob) {
  StringSink sink(blob.size);
  CACS_TRY(repository.read_blob(blob, sink));
  return sink.take();
}

}  // namespace cacs::repository
