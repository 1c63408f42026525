#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "repository/backend/backend.h"
#include "repository/gate.h"
#include "repository/keys/credential.h"
#include "repository/keys/key_slot.h"
#include "repository/keys/slots.h"
#include "repository/repository.h"

/// Repositories together with their key slots: how a place and a passphrase or key file become a Repository.
namespace cacs::repository {

inline constexpr std::string_view kSlotPrefix = "keys/";

/// All slots of this repository; ones that cannot be read stand in `problems`.
struct SlotList {
  std::vector<KeySlot> slots;
  std::vector<Error> problems;
};
Result<SlotList> load_slots(Backend& backend, const std::string& repository);
/// In the place of what stands under its id, if anything does.
Status store_slot(Backend& backend, const KeySlot& slot);

/// A store, and what keeps its writers and its collectors apart.
struct StorePlace {
  std::unique_ptr<Backend> backend;
  /// Null: a repository that is made here has sessions (docs/collection.md), for several machines write to it.
  std::unique_ptr<Gate> gate;
  std::unique_ptr<Backend> plain = nullptr;  ///< Place::plain
};

struct CreateOptions {
  Sealing sealing = Sealing::kAes256Gcm;
  SlotLabel label;
  ScryptCost cost;
};
/// Makes a repository whose first slot the credential opens: slot first, descriptor last, so that there is no
/// repository that nobody can open. With Sealing::kNone the credential is not used.
Result<std::unique_ptr<Repository>> create_repository(StorePlace store, const Credential& credential,
                                                      const CreateOptions& options);

/// `credential` is asked for one only if the repository is sealed. kUnauthenticated when it opens no slot.
Result<std::unique_ptr<Repository>> open_repository(StorePlace store,
                                                    const std::function<Result<Credential>()>& credential);

/// The label of a slot that this process makes: host name, user name, now.
SlotLabel own_label();

/// A directory of this machine, and the lock in it. Makes the directory (0700) if need be, and removes what killed
/// writers left in it.
Result<StorePlace> local_place(const std::filesystem::path& directory);

/// The repository in a directory of this machine, sealed under the key in `key_file`: both are made when they are not
/// there. A repository without its key file is refused, not made anew.
Result<std::unique_ptr<Repository>> open_or_create_local(const std::filesystem::path& directory,
                                                         const std::filesystem::path& key_file);

}  // namespace cacs::repository
