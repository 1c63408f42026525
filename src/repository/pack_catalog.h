#pragma once

#include <boost/unordered/unordered_flat_map.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "repository/backend/backend.h"
#include "repository/keys/tenant_keys.h"
#include "repository/ref.h"

namespace cacs::repository {

/// Which packs there are, and the sparse index over them (after Lillibridge et al., FAST 2009): of each pack some ids
/// are *hooks*, one for about 64 pages; whoever meets one loads the pack's whole table and finds its neighbours there.
/// In memory: about 100 bytes a pack and 16 to 32 a hook (a table that doubles), that is 65 to 135 KiB for each GiB
/// stored. Any thread.
class PackCatalog {
 public:
  struct Pack {
    PackId id;
    std::uint32_t generation = 0;  ///< 0: not known to be there
    std::uint64_t size = 0;        ///< bytes of the object
  };

  PackCatalog(Backend& backend, const TenantKeys& keys) : backend_(backend), keys_(keys) {}

  /// Where collectors work beside writers: which generation of a pack counts. Listings, which may be late, then say
  /// only which packs there may be. Before any other call.
  using GenerationOf = std::function<std::uint32_t(const PackId&)>;
  void set_generation_of(GenerationOf generation_of) { generation_of_ = std::move(generation_of); }

  /// Looks at what the store lists: takes in new packs and generations, forgets what is gone.
  Status refresh();
  /// Reads the hooks of all packs that are known and whose hooks are not. Packs that cannot be read stand in damaged().
  Status load_hooks();

  /// The pack's number, for as long as this object lives; given out also for packs not known to be there.
  std::uint32_t number_of(const PackId& id);
  [[nodiscard]] Pack pack(std::uint32_t number) const;
  [[nodiscard]] PackId id_of(std::uint32_t number) const { return pack(number).id; }
  /// Numbers of all packs that are there, oldest id first.
  [[nodiscard]] std::vector<std::uint32_t> present() const;

  /// A pack that was written by us and is durable, with its hooks.
  std::uint32_t add(const Pack& pack, const std::vector<std::uint64_t>& hooks);
  /// A pack that was found by its name.
  void note(const Pack& pack);
  /// The pack is gone. Its hooks find nothing any more.
  void forget(std::uint32_t number);
  /// Gives back the memory of the hooks of packs that are gone: all are looked at, so once after many were forgotten.
  void drop_stale_hooks();

  /// A pack that has this hook; kNoPack when there is none.
  [[nodiscard]] std::uint32_t find_hook(std::uint64_t hook) const;

  /// Packs that could not be opened, by id.
  [[nodiscard]] std::map<std::string, Error> damaged() const;
  [[nodiscard]] std::size_t memory_bytes() const;

 private:
  std::uint32_t number_locked(const PackId& id);
  void add_hooks_locked(std::uint32_t number, const std::vector<std::uint64_t>& hooks);

  Backend& backend_;
  const TenantKeys& keys_;
  GenerationOf generation_of_;  ///< null: the highest that is listed
  std::mutex refresh_mutex_;    ///< one refresh at a time
  mutable std::shared_mutex mutex_;
  std::vector<Pack> packs_;
  std::vector<bool> hooked_;  ///< hooks are loaded
  std::unordered_map<PackId, std::uint32_t> numbers_;
  boost::unordered_flat_map<std::uint64_t, std::uint32_t> hooks_;
  std::map<std::string, Error> damaged_;
  bool forgotten_hooks_ = false;
};

}  // namespace cacs::repository
