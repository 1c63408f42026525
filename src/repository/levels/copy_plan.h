#pragma once

#include <cstdint>
#include <map>
#include <unordered_map>
#include <vector>

#include "repository/ref.h"

/// What a copy to another level has to move. Pure.
///
/// The other level holds whole generations of packs, copied from here, and never rewrites one: it removes whole packs
/// alone. A generation has no slot that a lower one has not, so **a generation that is there covers every later one of
/// ours**. Generations are copied under these rules (docs/levels.md shows why they suffice):
/// 1. what is ours is looked at first, then, by name, whether a lower generation is there; only if none is, ours goes;
/// 2. the manifest is read anew after all packs are there, and goes last. Is it gone by then, nothing more is written.
namespace cacs::repository {

/// A generation of a pack, as an object.
struct PackVersion {
  PackId id;
  std::uint32_t generation = 0;
  std::uint64_t size = 0;  ///< bytes

  friend bool operator==(const PackVersion&, const PackVersion&) = default;
};

/// What the other level has, generation to size.
using Generations = std::map<std::uint32_t, std::uint64_t>;
using PacksThere = std::unordered_map<PackId, Generations>;

enum class PackStep {
  kNone,     ///< it is there
  kCopy,     ///< it is not
  kReplace,  ///< another length is there under this very name: damage
  kCompare,  ///< only later generations than ours are there: their tables have to tell whether they cover what is
             ///< needed
};

PackStep pack_step(const PackVersion& ours, const Generations& there);

struct CopyPlan {
  struct Item {
    PackVersion pack;
    PackStep step = PackStep::kNone;
    friend bool operator==(const Item&, const Item&) = default;
  };
  std::vector<Item> items;  ///< packs with something to do, in the order of `needed`
  std::uint64_t bytes = 0;  ///< to be written
};
CopyPlan plan_copy(const std::vector<PackVersion>& needed, const PacksThere& there);

}  // namespace cacs::repository
