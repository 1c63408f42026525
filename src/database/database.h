#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "base/time.h"

/// Stored state behind one interface: SQLite now, PostgreSQL for several servers later. A row is a keyed record with a
/// JSON body; what the body means is the caller's business. Every row carries the tenant it belongs to.
namespace cacs::database {

inline constexpr std::string_view kDefaultTenant = "default";
/// How long a used idempotency key is known again (REST contract).
inline constexpr std::chrono::hours kIdempotencyKeyLife{24};

/// Who owns an application's row (`owner_epoch` rises when another server takes it over) and how often the row was
/// written (`version` rises by one with each write). Both are the compare part of every compare-and-swap.
struct RowVersion {
  std::uint64_t owner_epoch = 1;
  std::uint64_t version = 1;

  friend bool operator==(const RowVersion&, const RowVersion&) = default;
};

struct ApplicationRow {
  std::string id;
  std::string tenant{kDefaultTenant};
  RowVersion version;
  JsonObject state;
};

struct CheckpointRow {
  std::string id;
  std::string application;
  std::string tenant{kDefaultTenant};
  WallTime created_at;
  JsonObject body;
};

struct OperationRow {
  std::string id;
  std::string application;  ///< may name one that is gone: an operation outlives what it deleted
  std::string tenant{kDefaultTenant};
  WallTime updated_at;
  JsonObject body;
};

/// `id` is the writer's: it rises over the database's whole life and is never used twice (go on from last_event_id()).
struct EventRow {
  std::uint64_t id = 0;
  std::string application;  ///< empty: of the server itself
  std::string tenant{kDefaultTenant};
  WallTime time;
  std::string kind;
  JsonObject body;
};

struct IdempotencyKeyRow {
  std::string tenant{kDefaultTenant};
  std::string key;
  std::string digest;  ///< of the request, in hex
  JsonObject answer;
  WallTime created_at;
};

struct NodeRow {
  std::string cloud;
  std::string claim;
  std::string node;  ///< unique in its cloud
  std::string tenant{kDefaultTenant};
  JsonObject body;
};

// What a batch may hold. "Put" inserts or replaces. Deleting what is not there is success, so that a batch may be
// repeated; the two exceptions, where repeating would hide a lost race, are CreateApplication and UpdateApplication.

/// kConflict when the id exists. The row starts at `row.version` as given.
struct CreateApplication {
  ApplicationRow row;
};
/// Compare-and-swap: the stored (owner_epoch, version) must equal `expected`, else kStale (also when the row is gone).
/// Afterwards the row stands at (`owner_epoch`, expected.version + 1).
struct UpdateApplication {
  std::string id;
  RowVersion expected;
  std::uint64_t owner_epoch = 1;  ///< the same as expected.owner_epoch, or higher: taking over
  JsonObject state;
};
/// Removes the row, its checkpoints' rows and its events. kStale when it stands at another version; gone already:
/// success.
struct DeleteApplication {
  std::string id;
  RowVersion expected;
};
/// Writes nothing; kStale unless the application's `owner_epoch` is this: guards other rows against an owner of old.
struct RequireOwner {
  std::string application;
  std::uint64_t owner_epoch = 1;
};
/// kNotFound when the application does not exist.
struct PutCheckpoint {
  CheckpointRow row;
};
struct DeleteCheckpoint {
  std::string id;
};
struct PutOperation {
  OperationRow row;
};
/// Removes operations last updated before `before`.
struct ExpireOperations {
  WallTime before;
};
/// Keeps the newest Options::max_events_per_application of the application and Options::max_events overall.
struct AddEvent {
  EventRow row;
};
/// kConflict (type "idempotency-key-used") when the tenant used the key within kIdempotencyKeyLife before
/// `row.created_at`; an older use is replaced.
struct UseIdempotencyKey {
  IdempotencyKeyRow row;
};
/// Removes keys made more than kIdempotencyKeyLife before `now`.
struct ExpireIdempotencyKeys {
  WallTime now;
};
/// A node belongs to one claim: kConflict when it is another's.
struct PutNode {
  NodeRow row;
};
struct DeleteNode {
  std::string cloud;
  std::string node;
};
struct PutSetting {
  std::string key;
  std::string value;
};
struct DeleteSetting {
  std::string key;
};

using Write = std::variant<CreateApplication, UpdateApplication, DeleteApplication, RequireOwner, PutCheckpoint,
                           DeleteCheckpoint, PutOperation, ExpireOperations, AddEvent, UseIdempotencyKey,
                           ExpireIdempotencyKeys, PutNode, DeleteNode, PutSetting, DeleteSetting>;

/// The stored state. Every call may be made from any thread at any time; all block for a disk's time.
class Database {
 public:
  virtual ~Database() = default;

  /// Makes all of `writes`, in their order, or none of them; once it returns success they survive a power loss.
  /// Calls of several threads share one fsync. kStale, kConflict, kNotFound: as the writes say; kNoSpace: the disk is
  /// full; kUnavailable: locked by another for too long; kIo, kCorrupt. After any error nothing of the batch is there.
  virtual Status apply(std::vector<Write> writes) = 0;

  // Loads see every batch whose apply() has returned. Order: by id, which for UUIDv7 is by age.
  virtual Result<std::vector<ApplicationRow>> load_applications() = 0;
  virtual Result<ApplicationRow> find_application(std::string_view id) = 0;  ///< kNotFound
  /// Of one application, or of all where it is empty.
  virtual Result<std::vector<CheckpointRow>> load_checkpoints(std::string_view application) = 0;
  virtual Result<std::vector<OperationRow>> load_operations() = 0;
  /// Events with an id above `after`, lowest first, at most `limit`; of one application, or of all where it is empty.
  virtual Result<std::vector<EventRow>> load_events(std::string_view application, std::uint64_t after,
                                                    std::size_t limit) = 0;
  /// The highest id that any event ever had, also of those long removed; 0 when there was none.
  virtual Result<std::uint64_t> last_event_id() = 0;
  /// kNotFound when the tenant has not used it within kIdempotencyKeyLife before `now`.
  virtual Result<IdempotencyKeyRow> find_idempotency_key(std::string_view tenant, std::string_view key,
                                                         WallTime now) = 0;
  virtual Result<std::vector<NodeRow>> load_nodes(std::string_view cloud) = 0;
  virtual Result<std::string> find_setting(std::string_view key) = 0;  ///< kNotFound

  /// Why writing does not work now (disk full, I/O error), from the latest apply(); success when it does.
  virtual Status health() = 0;
};

struct Options {
  std::size_t max_events_per_application = 1000;
  std::size_t max_events = 100'000;
  std::chrono::milliseconds busy_timeout{5'000};
};

/// Opens the SQLite database at `path`; makes it (mode 0600) where there is none; brings an older schema up to date.
/// kConflict (type "database-in-use", with the pid of the holder) when another process has it open; kUnsupported when
/// its schema is newer than this build knows; kCorrupt when it is no database or a damaged one. Not for NFS.
Result<std::unique_ptr<Database>> open_sqlite(const std::filesystem::path& path, const Options& options = {});

}  // namespace cacs::database
