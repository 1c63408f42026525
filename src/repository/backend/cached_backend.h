#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "repository/backend/backend.h"

namespace cacs::repository {

struct CacheOptions {
  /// In the cache, rounded up to 4 KiB an entry. Another process's cache in the same place is not counted.
  std::uint64_t max_bytes = std::uint64_t{10} << 30U;
  /// What is fetched and kept together. Smaller objects are one entry, whole.
  std::size_t block_bytes = std::size_t{1} << 20U;
  /// Whether nothing else will ever stand under the name. Only such objects are kept.
  std::function<bool(const std::string&)> immutable;
};

/// What a cache did since it was opened.
struct CacheStats {
  std::uint64_t hits = 0;      ///< blocks
  std::uint64_t misses = 0;    ///< blocks
  std::uint64_t damaged = 0;   ///< entries whose checksum was wrong: dropped, fetched again
  std::uint64_t failures = 0;  ///< entries that could not be written
  std::uint64_t bytes = 0;     ///< kept now
};

/// A read cache of a far backend in a near one: a directory of its own, best a FileBackend with
/// Durability::kUntilPowerLoss. Everything but reading goes to the far one; what is removed through this backend is
/// dropped here too. An object that others removed may stay readable until it is driven out.
///
/// The cache can do no harm: every entry names object and block and carries a SHA-256 over that and its bytes, so one
/// that was half written, exchanged or flipped is a miss; and a cache that fails or is full slows reading, no more. It
/// is taken over by the next process: its entries are listed at the start, those used last being forgotten as such.
/// Driven out is what was used longest ago. Neighbouring blocks that are missing are fetched by one request.
class CachedBackend : public Backend {
 public:
  [[nodiscard]] virtual CacheStats stats() const = 0;
};

/// Lists `cache`; fails if that does.
Result<std::unique_ptr<CachedBackend>> make_cached_backend(std::unique_ptr<Backend> inner,
                                                           std::unique_ptr<Backend> cache, CacheOptions options);

}  // namespace cacs::repository
