#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "base/result.h"
#include "repository/keys/credential.h"
#include "repository/repository.h"

namespace cacs::repository {

/// Where a further level is.
struct RemotePlace {
  /// Opens the store, as often as it is lost: with tries and limits of the caller's choice (retry_backend.h,
  /// limited_backend.h).
  std::function<Result<std::unique_ptr<Backend>>()> connect;
  std::string name;  ///< a location, without credentials: what records of levels say
  /// Keeps collections there away from copies, where others may collect (`cacs repo gc`). Null: nobody else does.
  std::function<std::unique_ptr<Gate>()> gate = nullptr;
};

/// The remote level of a repository: a second store with the same repository id, keys and names of objects. It is
/// opened when it is first needed, and may not answer for a while; nobody else collects in it. Any thread.
///
/// As the Further of the nearest level it serves what that has not, or has damaged. The two are not merged into one
/// store (a backend that reads from either): damage shows only when a segment is opened, above the backend; the highest
/// generation of a pack counts, and that of the nearest level may lack slots that the other's still has; and a session
/// that begins, with the program frozen, must not wait for a listing of a store far away.
class RemoteLevel final : public Further {
 public:
  /// `local` outlives this.
  RemoteLevel(Core& local, RemotePlace place) : local_(local), place_(std::move(place)) {}

  [[nodiscard]] const std::string& place() const { return place_.name; }

  /// The store, connected; it stays. kUnavailable and others of `connect`.
  Result<std::shared_ptr<Backend>> store();
  /// A passage through its gate, once it is connected; null: there is none.
  Result<std::unique_ptr<GatePass>> enter();
  /// The repository in it. kNotFound when there is none yet, kConflict when it is another one.
  Result<std::shared_ptr<Repository>> repository();

  Result<Slice> read_slot(const PackId& pack, Slot slot, ReadContext& context) override;
  /// kNotFound also for a checkpoint that is to be removed.
  Result<ManifestDocument> load_manifest(std::string_view checkpoint) override;

 private:
  Core& local_;
  RemotePlace place_;
  std::mutex mutex_;  ///< one connects
  std::shared_ptr<Backend> store_;
  std::shared_ptr<Repository> repository_;
};

/// Where there is no repository in `local` and one in `remote`, which `credential` opens: makes `local` a level of it
/// that has nothing yet (key slots, then the descriptor). Otherwise changes nothing. kUnauthenticated when the
/// credential does not open it.
Status adopt_repository(Backend& local, const std::shared_ptr<Backend>& remote,
                        const std::function<Result<Credential>()>& credential);

/// A backend that several hold.
std::unique_ptr<Backend> make_shared_backend(std::shared_ptr<Backend> backend);

}  // namespace cacs::repository
