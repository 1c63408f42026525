#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "repository/backend/memory_backend.h"
#include "repository/layout.h"
#include "repository/levels/levels.h"
#include "repository/test_support.h"

namespace cacs::repository {

inline const std::string kFirst = "01900000-0000-7000-8000-000000000001";
inline const std::string kSecond = "01900000-0000-7000-8000-000000000002";
inline const std::string kThird = "01900000-0000-7000-8000-000000000003";

/// Entry to bytes; names that start with "memory" are stored as pages.
using Contents = std::map<std::string, std::string>;

inline std::string pages(std::size_t count, std::uint64_t seed) { return random_bytes(count * kPageBytes, seed); }

/// What checkpoint `id` of a test holds: the second shares half of its memory with the first, the third nothing.
inline Contents contents_of(const std::string& id) {
  if (id == kFirst) return {{"memory", pages(10, 1)}, {"log", "line 1\n"}};
  if (id == kSecond) return {{"memory", pages(10, 1).substr(0, 5 * kPageBytes) + pages(5, 2)}, {"log", "line 2\n"}};
  return {{"memory", pages(6, 3)}, {"file", random_bytes(70000, 4)}};
}

inline Status commit(Repository& repository, const std::string& id, const std::string& parent = "",
                     const JsonObject& meta = {}) {
  Manifest before;
  if (!parent.empty()) {
    CACS_ASSIGN(before, repository.load(parent));
  }
  CACS_ASSIGN(auto writer, repository.begin("test"));
  Manifest manifest{.checkpoint = id, .application = "app", .meta = meta};
  for (const auto& [name, bytes] : contents_of(id)) {
    const auto found = std::ranges::find(before.entries, name, &Entry::name);
    const StreamKind kind = name.starts_with("memory") ? StreamKind::kMemory : StreamKind::kFile;
    CACS_ASSIGN(const BlobRef blob,
                put_text(*writer, bytes, kind, found == before.entries.end() ? nullptr : &found->blob));
    manifest.entries.push_back({name, blob});
  }
  return writer->commit(std::move(manifest));
}

/// Reads all of the checkpoint and compares.
inline Status expect_whole(Repository& repository, const std::string& id) {
  CACS_ASSIGN(const Manifest manifest, repository.load(id));
  const Contents expected = contents_of(id);
  if (manifest.entries.size() != expected.size()) return corrupt("other entries than were stored");
  for (const auto& entry : manifest.entries) {
    CACS_ASSIGN(const std::string bytes, read_text(repository, entry.blob));
    if (bytes != expected.at(entry.name)) return corrupt("other bytes than were stored: " + entry.name);
  }
  return {};
}

/// All that can be seen in the store is sound.
inline Status expect_sound(Repository& repository) {
  CACS_ASSIGN(const auto checked, repository.check(true));
  if (!checked.problems.empty()) return checked.problems.front();
  CACS_ASSIGN(const auto list, repository.list());
  for (const auto& summary : list) CACS_TRY(expect_whole(repository, summary.head.checkpoint));
  return {};
}

inline std::vector<std::string> names_in(const MemoryStore& store, const std::string& prefix = "") {
  std::vector<std::string> names;
  for (const auto& info : store.list(prefix)) names.push_back(info.name);
  return names;
}

inline std::shared_ptr<MemoryStore> clone_of(const MemoryStore& store) {
  auto clone = std::make_shared<MemoryStore>();
  for (const auto& info : store.list("")) clone->put(info.name, store.get(info.name), Overwrite::kYes);
  return clone;
}

/// Changes one byte of an object.
inline void flip(MemoryStore& store, const std::string& name, std::size_t at) {
  auto bytes = *store.get(name);
  bytes.at(at) ^= std::byte{1};
  store.put(name, std::make_shared<const std::vector<std::byte>>(std::move(bytes)), Overwrite::kYes);
}

/// A repository with the three checkpoints, each in a pack of its own, and an empty store for its remote level.
struct TwoStores {
  TestStore local;
  std::shared_ptr<MemoryStore> far = std::make_shared<MemoryStore>();
  std::unique_ptr<Repository> repository;

  explicit TwoStores(Sealing sealing = Sealing::kAes256Gcm) : local(sealing) {
    auto made = Repository::create(local.place());
    if (!made) return;
    repository = *std::move(made);
    EXPECT_TRUE(commit(*repository, kFirst).ok());
    EXPECT_TRUE(commit(*repository, kSecond, kFirst).ok());
    EXPECT_TRUE(commit(*repository, kThird).ok());
  }
  /// As another process would open it.
  [[nodiscard]] Result<std::unique_ptr<Repository>> open_local() const { return Repository::open(local.place()); }
  [[nodiscard]] Result<std::unique_ptr<Repository>> open_far() const {
    return Repository::open({make_memory_backend(far), local.keys, make_process_gate()});
  }
  [[nodiscard]] RemotePlace place(const std::string& name = "memory:far") const {
    return {.connect = [store = far]() -> Result<std::unique_ptr<Backend>> { return make_memory_backend(store); },
            .name = name};
  }
  /// The first checkpoint is removed, and its part of the pack that the second shares with it.
  Status remove_first() const {
    CACS_TRY(repository->remove(kFirst));
    CACS_TRY(repository->collect({.max_garbage = 0}));
    return {};
  }
};

}  // namespace cacs::repository
