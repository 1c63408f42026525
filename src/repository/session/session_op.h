#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "repository/session/session_types.h"

/// What the machines ask of the world, and what it answers. An operation has a number; its answer bears the same.
namespace cacs::repository {

enum class SessionOpKind : std::uint8_t {
  kRead,    ///< -> kDone with the document, kAbsent
  kPut,     ///< replaces what is there -> kDone
  kCreate,  ///< exclusively -> kDone, kTaken
  kRemove,  ///< -> kDone, also when there is none
  // of the collector only, from here on
  kList,      ///< -> keys below sessions/ and keys of roots, as the store's listing has them; packs are noted for kMark
  kJudge,     ///< which of `registers` belong to dead processes -> seats. A wrong "dead" costs that writer its open
              ///< sessions, nothing else
  kReadRoot,  ///< -> kDone with origin, kAbsent. The driver keeps what it references for kMark
  kMark,      ///< what do `roots` not reference -> mark
  kRemovePack,   ///< the object (pack, generation) -> kDone, also when there is none
  kRewritePack,  ///< writes (pack, target) from (pack, generation) without `slots` -> kDone when durable
};

struct JudgedRegister {
  std::uint64_t seat = 0;
  WriterRegister content;
};

struct SessionOp {
  std::uint64_t id = 0;
  SessionOpKind kind = SessionOpKind::kRead;
  std::string key;              ///< of an object; of kReadRoot, the root
  SessionDocumentPtr document;  ///< of kPut, kCreate
  std::string pack;
  std::uint64_t generation = 0;
  std::uint64_t target = 0;
  std::vector<SlotRange> slots;
  std::vector<std::string> roots;         ///< of kMark
  std::vector<CondemnedPack> condemned;   ///< of kMark: those whose references are in question
  std::vector<JudgedRegister> registers;  ///< of kJudge
};

enum class SessionOutcome : std::uint8_t {
  kDone,
  kAbsent,
  kTaken,
  kUnknown,  ///< failed: it took effect, or did not, or will later
};

/// A pack that was listed before the registers were read and of which the marked roots do not reference all.
struct PackReport {
  std::string pack;
  SessionId creator;
  bool dead = false;                  ///< nothing of it is referenced
  std::vector<SlotRange> dead_slots;  ///< if not `dead`: those, if they are worth a rewrite
};

/// An object of a pack that was listed.
struct PackObject {
  std::string pack;
  std::uint64_t generation = 0;
};

struct MarkResult {
  std::vector<std::string> referenced;  ///< condemned packs of the question of which a condemned slot is referenced
  std::vector<PackReport> reports;
  std::vector<PackObject> objects;  ///< all that were listed
};

struct SessionAnswer {
  SessionOutcome outcome = SessionOutcome::kDone;
  SessionDocumentPtr document = nullptr;
  std::vector<std::string> keys = {};
  std::vector<std::string> roots = {};
  std::vector<std::uint64_t> seats = {};
  RootOrigin origin = {};
  MarkResult mark = {};
};

/// Faults planted on purpose, to show that the simulation would find them (session_sim_test.cc).
enum class SessionMutation : std::uint8_t {
  kNone,
  kNoFenceCheck,          ///< a writer does not look at its licence after it has written its root
  kCondemnAndRemove,      ///< removed in the run that condemns
  kCondemnUnderOldState,  ///< a session that has read the state before the condemnation counts as knowing it
  kIgnoreOpenSessions,    ///< does not wait for sessions that may not know of the condemnation
  kTrustListing,          ///< roots are taken from the listing alone
  kRegisterBeforeFence,   ///< the register is not read again after the licence was removed
  kRaiseSeen,             ///< an open session is said to have seen what its process has read since
  kNoSuccessorCheck,      ///< a collector acts without looking whether another has taken over
  kReuseSpoiledRegister,  ///< goes on under a register key whose last write had an unknown outcome
  kForgetLineage,         ///< serials are compared across collectors that superseded each other
  kForgetUnconfirmed,     ///< a writer forgets roots that only a superseded collector has taken
  kSeatUnchecked,         ///< a writer commits without looking whether its seat still counts
  kRemoveBeforePublish,   ///< the old generation goes before the new one is on record
  kDropDoubtful,          ///< a session whose root was written with unknown outcome is ended
  kStateRetry,            ///< a collector goes on after a state write of unknown outcome
  kAcceptAll,             ///< roots of a fenced writer count without having been found
  kNoWait,                ///< a session begins before its register is durable
};

}  // namespace cacs::repository
