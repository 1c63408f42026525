#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "repository/session/session_store.h"
#include "repository/session/session_types.h"

namespace cacs::repository {

class WriterInstance;

/// Something that may come to reference packs: the writing of a checkpoint or piece, a commit, a clone; without roots,
/// a restore that must not lose what it reads. As long as it is open, nothing is removed that it may reference. One
/// thread at a time.
///
///     auto session = registry.begin({manifest_key});
///     ... write packs; reference nothing that session.avoids(); the root bears session.origin() ...
///     put_object(backend, manifest_key, ...) failed ? session.doubt() : session.confirm()
///     session.end();
///
/// Rules, without which data is lost:
/// - packs are durable before a root that references them is written;
/// - what is in state().condemned is not referenced, neither anew nor by sharing a tree (may_share);
/// - a root that is shared with is read after the session began;
/// - a root's key is used by one session only, ever: who tries again takes another key;
/// - a process that remembers packs from one session to the next (an index) asks forget_removed() when a session
/// begins.
class Session {
 public:
  Session(Session&&) noexcept = default;
  Session& operator=(Session&&) = delete;
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  /// Ends it if that was not done. Roots that were written and not confirmed are left to the next collection.
  ~Session();

  /// What its roots have to bear.
  [[nodiscard]] const RootOrigin& origin() const { return origin_; }
  [[nodiscard]] const CollectorState& state() const { return *state_; }
  /// Whether this slot may not be referenced. Logarithmic.
  [[nodiscard]] bool avoids(const std::string& pack, std::uint32_t slot) const {
    return condemned_.contains(pack, slot);
  }

  /// All roots that are to be written are durable. Success: committed. kAborted: this process was taken for dead and
  /// fenced; the roots were removed, nothing is committed, another session (under other keys) may do it again.
  /// Others: not known yet, and may be asked again; else doubt().
  Status confirm();
  /// The write of a root failed: it may be there, or come. The next collection decides; until then the session's packs
  /// are kept. Whoever wants to know looks for the root and asks root_counts.
  void doubt();
  /// Nothing of it will be written any more. An error is none of the checkpoint: the register is written with the next
  /// session or heartbeat.
  Status end();

 private:
  friend class WriterRegistry;
  Session(std::shared_ptr<WriterInstance> instance, std::uint64_t handle);
  enum class Stage : std::uint8_t { kOpen, kAsked, kCommitted, kOver };

  std::shared_ptr<WriterInstance> instance_;  ///< null: moved from
  std::uint64_t handle_ = 0;
  Stage stage_ = Stage::kOpen;
  RootOrigin origin_;
  std::shared_ptr<const CollectorState> state_;
  CondemnedSlots condemned_{CollectorState{}};
};

struct WriterRegistryOptions {
  std::string name;  ///< of the writer, for people and for telling its instances' order; the same after a restart
  /// Between heartbeats while sessions are open. Well below what the collector takes for death (Liveness).
  std::chrono::milliseconds beat = std::chrono::minutes(2);
  std::size_t max_committed = 256;  ///< roots that no collection has seen, before another register is begun
  SessionPatience patience;
};

/// What a process that writes to a repository has once. Opening it costs nothing; the first session takes a seat. Any
/// thread. All sessions have to be gone before it is.
class WriterRegistry {
 public:
  /// Backend (see SessionStore) and sealer outlive it.
  WriterRegistry(Backend& backend, DocumentSealer& sealer, WriterRegistryOptions options);
  ~WriterRegistry();
  WriterRegistry(const WriterRegistry&) = delete;
  WriterRegistry& operator=(const WriterRegistry&) = delete;

  /// `roots`: the keys of all roots that the session may write. Costs one small write and two small reads.
  /// kUnavailable: the store does not answer.
  Result<Session> begin(const std::vector<std::string>& roots);
  /// Resigns, so that nobody has to wait to see that this process is gone. Sessions that are open stay until they end.
  Status close();

 private:
  Result<std::shared_ptr<WriterInstance>> instance();
  void retire(const std::shared_ptr<WriterInstance>& instance);
  void beats(const std::stop_token& stop);

  SessionStore store_;
  WriterRegistryOptions options_;
  std::shared_ptr<Clock> clock_;
  WriterHost host_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::shared_ptr<WriterInstance> current_;
  std::vector<std::weak_ptr<WriterInstance>> all_;
  std::jthread beats_;  ///< last: it uses all of the above
};

/// This process, as a register names it; empty where /proc does not tell.
WriterHost this_writer_host();

/// Whether a process of this machine and pid namespace is known to be gone. False in doubt.
bool is_known_gone(const WriterHost& host, const WriterHost& self);

}  // namespace cacs::repository
