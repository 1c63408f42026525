#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "repository/pack_store.h"
#include "repository/pack_writer.h"
#include "repository/session/collector_driver.h"
#include "repository/session/session_gate.h"
#include "repository/session_sealer.h"

/// Where a repository is written to from several machines: what takes the place of the gate (docs/collection.md).
namespace cacs::repository {

/// Faults planted on purpose, to show that the simulation would find them (session_soak_test.cc).
enum class SessionFault : std::uint8_t {
  kNone,
  kReferCondemned,  ///< a session refers to what is condemned
  kTrustMemory,     ///< ... and to what was in a table that it remembers, without a look whether it is there
  kIgnoreFence,     ///< a commit that was refused is taken for one that was not
  kTakePieces,      ///< pieces are joined without a look at what they refer to
  kTrustListing,    ///< checkpoints are those that the store lists
};

struct SessionSettings {
  WriterRegistryOptions writer = {};
  CollectorDriverOptions collector = {};
  SessionFault fault = SessionFault::kNone;
};

/// Keys of roots, and the state that says which of them count.
struct KnownRoots {
  std::shared_ptr<const CollectionView> view;
  std::vector<std::string> keys;  ///< sorted; some may not be there (any more)
};

/// The sessions of one open repository, and what collections have decided. Any thread.
class Sessions {
 public:
  /// `plain`: the store, without retries and caches. All outlive it.
  Sessions(Backend& plain, const TenantKeys& keys, SessionSettings settings);

  /// `roots`: those that the session may write.
  Result<Session> begin(const std::vector<std::string>& roots) { return registry_.begin(roots); }

  /// The newest, a few small reads.
  Result<std::shared_ptr<const CollectionView>> view();
  /// As it was last read.
  [[nodiscard]] std::shared_ptr<const CollectionView> known_view() const;
  /// All roots that were committed before the call began, and not removed before it ended, by key: from the catalogue
  /// and the registers of all writers. No listing is asked.
  Result<KnownRoots> roots();

  /// Where a pack is: PackStore::Locate.
  Result<PackCatalog::Pack> locate(const PackId& id, bool again);
  /// The generation in the names of a pack's objects that counts by the view that was last read.
  [[nodiscard]] std::uint32_t generation_of(const PackId& id) const;

  [[nodiscard]] Backend& backend() const { return backend_; }
  TenantSealer& sealer() { return sealer_; }
  [[nodiscard]] const SessionSettings& settings() const { return settings_; }

 private:
  Status register_roots(SessionStore& store, const CollectionView& view, std::vector<std::string>& keys);

  Backend& backend_;
  TenantSealer sealer_;
  SessionSettings settings_;
  WriterRegistry registry_;
  mutable std::mutex mutex_;
  std::shared_ptr<const CollectionView> view_ = std::make_shared<const CollectionView>();
};

/// The generation of the protocol, which counts from 0, in the name of an object.
constexpr std::uint64_t kMaxSessionGeneration = 999'999'998;
std::uint32_t object_generation(std::uint64_t generation);

/// What one session may refer to: nothing that is condemned, and of each pack only what is in the generation that
/// counts, after the session began. So whatever was remembered from earlier does no harm. One thread at a time.
class SessionGuard final : public ReferenceGuard {
 public:
  /// The session began before `sessions` last read its view.
  SessionGuard(const Session& session, Sessions& sessions, PackStore& store)
      : session_(session), sessions_(sessions), store_(store) {}
  Result<bool> allows(const Ref& ref) override;
  [[nodiscard]] SessionId creator() const override { return session_.origin().session; }

 private:
  Result<std::uint32_t> verified(std::uint32_t pack);

  const Session& session_;
  Sessions& sessions_;
  PackStore& store_;
  std::unordered_map<std::uint32_t, std::uint32_t> generations_;  ///< by pack; 0: it may not be referred to
};

}  // namespace cacs::repository
