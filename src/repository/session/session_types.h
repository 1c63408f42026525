#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <variant>
#include <vector>

/// What the session protocol stores, and the few questions that are answered from it. docs/collection.md is the
/// protocol: who writes which object when, and why that is enough. Numbers count from 1; 0 is "none yet".
namespace cacs::repository {

/// 128 random bits, drawn once by a process for each instance of a writer or collector.
struct InstanceId {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  friend auto operator<=>(const InstanceId&, const InstanceId&) = default;  // NOLINT(modernize-use-nullptr)
};

/// A session: the seat of the writer's instance and a number that it counts up. Never used twice.
struct SessionId {
  std::uint64_t seat = 0;
  std::uint64_t number = 0;
  friend auto operator<=>(const SessionId&, const SessionId&) = default;  // NOLINT(modernize-use-nullptr)
};

/// Which state of which collector a session had read before it referenced anything. Serials rise along a lineage of
/// collectors; one whose collector was superseded may bear a serial that the lineage gave out again (effective_serial).
struct Seen {
  std::uint64_t term = 0;
  std::uint64_t serial = 0;
  friend auto operator<=>(const Seen&, const Seen&) = default;  // NOLINT(modernize-use-nullptr)
};

/// Stands in every root (manifest, piece): which session wrote it.
struct RootOrigin {
  SessionId session;
  Seen seen;
  friend auto operator<=>(const RootOrigin&, const RootOrigin&) = default;  // NOLINT(modernize-use-nullptr)
};

/// Slots of a pack, numbered through all of its segments.
struct SlotRange {
  std::uint32_t first = 0;
  std::uint32_t count = 0;
  friend auto operator<=>(const SlotRange&, const SlotRange&) = default;  // NOLINT(modernize-use-nullptr)
};

/// A taken number of a chain (seats, terms): who took it, at which attempt.
struct Claim {
  InstanceId instance;
  std::uint64_t attempt = 0;
  friend auto operator<=>(const Claim&, const Claim&) = default;  // NOLINT(modernize-use-nullptr)
};

/// While it is there, the instance that it names may commit. Its removal is the fence.
struct Licence {
  InstanceId instance;
  friend auto operator<=>(const Licence&, const Licence&) = default;  // NOLINT(modernize-use-nullptr)
};

struct OpenSession {
  std::uint64_t number = 0;
  Seen seen;                       ///< never raised above what it had read when it began
  std::vector<std::string> roots;  ///< keys of all roots that it may write
  friend auto operator<=>(const OpenSession&, const OpenSession&) = default;  // NOLINT(modernize-use-nullptr)
};

/// Where an instance runs, so that a collector on the same machine can see that it is gone.
struct WriterHost {
  std::string boot;  ///< boot id and pid namespace; empty: not known
  std::uint64_t pid = 0;
  std::uint64_t started = 0;  ///< kernel's start time of the process, in ticks
  friend auto operator<=>(const WriterHost&, const WriterHost&) = default;  // NOLINT(modernize-use-nullptr)
};

/// The register of one instance: written by it alone.
struct WriterRegister {
  InstanceId instance;
  std::string name;  ///< of the writer, the same for all its instances
  WriterHost host;
  std::uint64_t version = 0;  ///< counts writes; moves with every heartbeat
  bool resigned = false;      ///< writes no more: settle its sessions, forget it
  std::uint64_t first_committed = 1;
  std::vector<std::string> committed;  ///< roots numbered from first_committed on; those below are in the catalogue
  std::vector<OpenSession> open;
  friend auto operator<=>(const WriterRegister&, const WriterRegister&) = default;  // NOLINT(modernize-use-nullptr)
};

enum class MemberStatus : std::uint8_t {
  kPending = 0,  ///< the seat is taken, its licence was not there yet
  kClosed = 1,   ///< ... nor a run later: who gets the licence now gives up
  kActive = 2,
};

struct Member {
  std::uint64_t seat = 0;
  MemberStatus status = MemberStatus::kActive;
  std::uint64_t register_number = 1;  ///< registers below are superseded
  std::uint64_t absorbed = 0;         ///< its committed roots up to this number are in the catalogue
  friend auto operator<=>(const Member&, const Member&) = default;  // NOLINT(modernize-use-nullptr)
};

enum class CondemnedPhase : std::uint8_t {
  kCondemned = 0,  ///< nobody references it anew; removed once those who might not know have ended
  kExecuting = 1,  ///< being removed
  kDone = 2,       ///< removed: kept for a while, so that writers drop it from what they remember
};

struct CondemnedPack {
  std::string pack;
  std::uint64_t since = 0;  ///< serial of the first state that says so
  CondemnedPhase phase = CondemnedPhase::kCondemned;
  std::uint64_t target = 0;      ///< executing, slots only: the generation being written
  std::uint64_t done = 0;        ///< serial of the first state that says so
  std::vector<SlotRange> slots;  ///< sorted, disjoint; empty: all of it
  friend auto operator<=>(const CondemnedPack&, const CondemnedPack&) = default;  // NOLINT(modernize-use-nullptr)
};

/// The last serial of a term that its successor took over.
struct TermEnd {
  std::uint64_t term = 0;
  std::uint64_t serial = 0;
  friend auto operator<=>(const TermEnd&, const TermEnd&) = default;  // NOLINT(modernize-use-nullptr)
};

struct CatalogueName {
  std::uint64_t term = 0;  ///< 0: none, that is, empty
  std::uint64_t serial = 0;
  friend auto operator<=>(const CatalogueName&, const CatalogueName&) = default;  // NOLINT(modernize-use-nullptr)
};

/// The state of a collector: written by the holder of its term alone. The default is that of a repository which no
/// collector has seen.
struct CollectorState {
  std::uint64_t term = 0;
  std::uint64_t serial = 0;
  std::vector<TermEnd> lineage;          ///< ascending; the oldest are forgotten
  std::uint64_t base = 0;                ///< all seats up to this one are members or gone
  std::vector<Member> members;           ///< ascending seats
  std::vector<CondemnedPack> condemned;  ///< at most one for each pack that is not kDone
  std::uint64_t floor = 0;               ///< removals done after this serial are all in `condemned`
  CatalogueName catalogue;
  friend auto operator<=>(const CollectorState&, const CollectorState&) = default;  // NOLINT(modernize-use-nullptr)
};

struct PackGeneration {
  std::string pack;
  std::uint64_t generation = 0;
  friend auto operator<=>(const PackGeneration&, const PackGeneration&) = default;  // NOLINT(modernize-use-nullptr)
};

/// What grows with the repository and is not needed to begin a session.
struct RootCatalogue {
  std::vector<std::string> roots;           ///< sorted
  std::vector<PackGeneration> generations;  ///< sorted; packs that are not here have generation 0
  friend auto operator<=>(const RootCatalogue&, const RootCatalogue&) = default;  // NOLINT(modernize-use-nullptr)
};

using SessionDocument = std::variant<std::monostate, Claim, Licence, WriterRegister, CollectorState, RootCatalogue>;
using SessionDocumentPtr = std::shared_ptr<const SessionDocument>;

template <typename T>
SessionDocumentPtr make_session_document(T value) {
  return std::make_shared<const SessionDocument>(std::move(value));
}

/// The document's content if it is there and of this kind, else null.
template <typename T>
const T* session_document_as(const SessionDocumentPtr& document) {
  return document ? std::get_if<T>(document.get()) : nullptr;
}

/// `seen` as a serial of the lineage of `state`: all condemnations up to it were known. 0, which is "knows nothing",
/// for one that the lineage did not take over or has forgotten.
std::uint64_t effective_serial(const CollectorState& state, const Seen& seen);

const Member* find_member(const CollectorState& state, std::uint64_t seat);

/// Whether the root stored under `key` is a checkpoint (or piece): its writer is in good standing, or is gone and the
/// root was found when its sessions were settled. `catalogue` is the one that `state` names.
bool root_counts(const CollectorState& state, const RootCatalogue& catalogue, const std::string& key,
                 const RootOrigin& origin);

/// Which slots a state condemns. Any thread.
class CondemnedSlots {
 public:
  explicit CondemnedSlots(const CollectorState& state);
  /// Logarithmic.
  [[nodiscard]] bool contains(const std::string& pack, std::uint32_t slot) const;

 private:
  std::map<std::string, std::vector<std::vector<SlotRange>>, std::less<>> packs_;  ///< an empty list: all of the pack
};

/// Whether a session that began with `state` may reference whatever a root references, without looking at each slot: a
/// parent whose subtrees are shared, a source that is cloned, pieces that are joined. The root has to have been read,
/// and to count, *after* the session began. `packs`: all that it references. `catalogue`: the one that `state` names.
/// When not: the session goes by state.condemned slot by slot, or waits for a collection.
bool may_share(const CollectorState& state, const RootCatalogue& catalogue, const std::string& key,
               const RootOrigin& origin, const std::set<std::string>& packs);

/// What a process that remembers packs across sessions has to forget when a session begins with `state`.
struct Forget {
  bool everything = false;
  std::vector<const CondemnedPack*> packs;  ///< of `state`: these slots are gone, or going
};
/// `remembered`: the state that the process went by when it last asked, {} at first. What is loaded (a pack's table)
/// while a session begins has to be loaded again, or it is remembered although it was to be forgotten.
Forget forget_removed(const CollectorState& state, const Seen& remembered);

/// The generation under which a pack is stored.
std::uint64_t pack_generation(const RootCatalogue& catalogue, const std::string& pack);

}  // namespace cacs::repository
