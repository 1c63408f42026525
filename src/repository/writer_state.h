#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "repository/chunker.h"
#include "repository/core.h"
#include "repository/hold.h"
#include "repository/page_ingest.h"
#include "repository/repository.h"
#include "repository/work_pool.h"

namespace cacs::repository {

/// The inside of a Writer.
struct Writer::State {
  State(std::shared_ptr<Core> shared, Hold held, std::string_view name);

  void advance(std::uint64_t bytes);
  [[nodiscard]] Status check_entries(const std::vector<Entry>& entries) const;
  Result<BlobRef> put_pages(const PageSource& source, std::vector<PageRun> runs, const PageMapHead& shape,
                            const BlobRef* parent);
  BlobRef remember(const BlobRef& blob);
  Result<std::string> finish_piece(std::vector<Entry> entries, JsonObject meta);
  void end() {
    over = true;
    hold = {};
  }

  std::shared_ptr<Core> core;
  Hold hold;  ///< keeps the collector off; given back after `packs` is destroyed
  std::string label;
  WorkPool pool;
  std::vector<ReadContext> contexts;  ///< one a worker
  PackWriter packs;
  std::map<StreamKind, Chunker> chunkers;
  std::unordered_set<std::string> blobs;  ///< put or reused, as text
  std::function<void(std::uint64_t)> progress;
  std::uint64_t done = 0;
  std::uint64_t reported = 0;
  bool over = false;
};

}  // namespace cacs::repository
