#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "repository/core.h"
#include "repository/pack_rewriter.h"
#include "repository/reach.h"
#include "repository/repository.h"
#include "repository/session/collector_driver.h"

namespace cacs::repository {

/// A collector's hands on a repository with sessions: roots are manifests and pieces, packs are packs. One run at a
/// time.
class RepositoryHooks final : public CollectionHooks {
 public:
  explicit RepositoryHooks(Core& core) : core_(core) {}

  /// Of one run.
  void begin(const CollectOptions& options);
  void end() { rewriter_.reset(); }
  [[nodiscard]] CollectResult result() const;

  Result<std::vector<std::string>> list(const RootCatalogue& catalogue) override;
  Result<std::optional<RootOrigin>> read_root(const std::string& key) override;
  Result<MarkResult> mark(const std::vector<std::string>& roots, const std::vector<CondemnedPack>& condemned) override;
  Status remove_pack(const std::string& pack, std::uint64_t generation) override;
  Status rewrite_pack(const std::string& pack, std::uint64_t from, std::uint64_t to,
                      const std::vector<SlotRange>& without) override;

 private:
  struct Listed {
    PackId id;
    std::uint32_t generation = 0;
    std::uint64_t size = 0;
  };
  struct Root {
    RootOrigin origin;
    BlobRef entries;
    std::uint64_t entry_count = 0;
  };
  Result<std::optional<Root>> load_root(const std::string& key);
  Status report(const Listed& listed, const Reach& reach, std::vector<PackReport>& reports);
  Status report_dead(const Listed& listed, std::vector<PackReport>& reports);
  Status report_part(const Listed& listed, const Reach& reach, std::vector<PackReport>& reports);

  Core& core_;
  std::optional<PackRewriter> rewriter_;  ///< once a run has something to write
  double max_garbage_ = 0;
  CollectResult result_;
  std::uint64_t removed_bytes_ = 0;
  std::uint64_t written_bytes_ = 0;
  RootCatalogue catalogue_;
  std::vector<Listed> packs_;
  std::map<std::string, std::uint64_t> sizes_;  ///< of objects of packs, by name
  std::map<std::string, Root> roots_;
};

/// The collector of an open repository: holds its term from run to run.
class SessionCollector {
 public:
  explicit SessionCollector(Core& core)
      : hooks(core),
        driver(core.sessions->backend(), core.sessions->sealer(), hooks, core.sessions->settings().collector) {}
  RepositoryHooks hooks;
  CollectorDriver driver;
};

/// Repository::collect of a repository with sessions: one run.
Result<CollectResult> collect_sessions(Core& core, const CollectOptions& options);

}  // namespace cacs::repository
