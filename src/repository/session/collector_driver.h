#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/result.h"
#include "repository/session/collector_machine.h"
#include "repository/session/liveness.h"
#include "repository/session/session_store.h"

namespace cacs::repository {

/// What a collector has to know about roots and packs. Called by CollectorDriver::run() alone, in this order; an error
/// ends the run, and nothing that it has not decided yet is removed.
class CollectionHooks {
 public:
  virtual ~CollectionHooks() = default;

  /// A run begins. Lists packs, and keeps the list for mark(): a pack that is listed only later may belong to a session
  /// that begins only now. Returns the keys of roots that are listed. Listings may be late. `catalogue` has the
  /// generations; it stays until the next call.
  virtual Result<std::vector<std::string>> list(const RootCatalogue& catalogue) = 0;
  /// The origin of a root, and keeps (or has from earlier) what it references; nothing when there is none.
  virtual Result<std::optional<RootOrigin>> read_root(const std::string& key) = 0;
  /// What `roots`, all of which were read, do not reference. Of `condemned`: the packs of which a condemned slot is
  /// referenced. A pack that is not there any more is in no report.
  virtual Result<MarkResult> mark(const std::vector<std::string>& roots,
                                  const std::vector<CondemnedPack>& condemned) = 0;
  /// What is not there is success.
  virtual Status remove_pack(const std::string& pack, std::uint64_t generation) = 0;
  /// Writes generation `to` of the pack with all slots of generation `from` but these, durably. May find a part or the
  /// whole of `to` there, if it was interrupted; nobody reads it yet.
  virtual Status rewrite_pack(const std::string& pack, std::uint64_t from, std::uint64_t to,
                              const std::vector<SlotRange>& without) = 0;
};

struct CollectorDriverOptions {
  PlanLimits limits;
  LivenessLimits liveness;
  SessionPatience patience;
  /// Null: is_known_gone() of this process's host.
  Liveness::IsGone is_gone;
};

/// The collector of a repository: one process, run after run. Others that are started by mistake lose no data, they
/// take the role from each other. One thread at a time.
class CollectorDriver {
 public:
  /// Backend (see SessionStore), sealer and hooks outlive it.
  CollectorDriver(Backend& backend, DocumentSealer& sealer, CollectionHooks& hooks, CollectorDriverOptions options);

  /// One run. What is condemned by one run is removed by a later one. kConflict: another collector has taken over.
  /// kUnavailable, and what the hooks return: try again later; nothing is half done that the next run does not finish.
  /// kCorrupt: something that was being removed is referenced; nothing was removed, and nothing will be until that is
  /// looked into.
  Result<CollectorReport> run(const std::stop_token& stop = {});

 private:
  Status perform(const SessionOp& op, SessionAnswer& answer);
  Status list(SessionAnswer& answer);
  Result<CollectorReport> result() const;

  SessionStore store_;
  CollectionHooks& hooks_;
  CollectorDriverOptions options_;
  std::shared_ptr<Clock> clock_;
  Liveness liveness_;
  CollectorMachine machine_;
};

/// For readers: the newest state and its catalogue, a few small reads (two when nothing has changed since `known`, and
/// no catalogue is read when it is that of `known`).
struct CollectionView {
  std::uint64_t last_term = 0;
  CollectorState state;
  RootCatalogue catalogue;
};
Result<CollectionView> read_collection_view(Backend& backend, DocumentSealer& sealer, CollectionView known = {});

}  // namespace cacs::repository
