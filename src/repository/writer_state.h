#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "repository/chunker.h"
#include "repository/core.h"
#include "repository/repository.h"

namespace cacs::repository {

/// The inside of a Writer.
struct Writer::State {
  State(std::shared_ptr<Core> shared, std::unique_ptr<StorageLock> held, std::string_view name)
      : core(std::move(shared)), lock(std::move(held)), label(name), packs(*core->storage, core->chunks) {}

  void advance(std::uint64_t bytes);
  [[nodiscard]] Status check_entries(const std::vector<Entry>& entries) const;
  void end() {
    over = true;
    lock.reset();
  }

  std::shared_ptr<Core> core;
  std::unique_ptr<StorageLock> lock;  ///< shared: keeps the collector out; given back after `packs` is destroyed
  std::string label;
  PackWriter packs;
  ChunkCodec codec;
  std::map<StreamKind, Chunker> chunkers;
  std::unordered_map<Digest, std::uint64_t, DigestHash> blobs;  ///< put or reused, with their sizes
  std::function<void(std::uint64_t)> progress;
  std::uint64_t done = 0;
  std::uint64_t reported = 0;
  bool over = false;
};

}  // namespace cacs::repository
