#include "repository/backend/cached_backend.h"

#include <algorithm>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <vector>

#include "repository/backend/cache_entry.h"

namespace cacs::repository {

namespace {

/// Which entries there are, how long they are and which were used last. Any thread.
class CacheIndex {
 public:
  explicit CacheIndex(std::uint64_t max_bytes) : max_bytes_(max_bytes) {}

  [[nodiscard]] bool contains(const std::string& key) const {
    const std::scoped_lock lock(mutex_);
    return entries_.contains(key);
  }
  /// The entry's length; nullopt when it is not there.
  std::optional<std::uint64_t> use(const std::string& key) {
    const std::scoped_lock lock(mutex_);
    const auto found = entries_.find(key);
    if (found == entries_.end()) return std::nullopt;
    order_.splice(order_.begin(), order_, found->second.place);
    return found->second.size;
  }
  /// Returns the keys that have to go for it; its own, if it is longer than the whole.
  std::vector<std::string> add(const std::string& key, std::uint64_t size) {
    const std::scoped_lock lock(mutex_);
    drop_locked(key);
    order_.push_front(key);
    entries_[key] = {size, order_.begin()};
    bytes_ += room_for(size);
    std::vector<std::string> victims;
    while (bytes_ > max_bytes_) {
      victims.push_back(order_.back());
      drop_locked(victims.back());
    }
    return victims;
  }
  void drop(const std::string& key) {
    const std::scoped_lock lock(mutex_);
    drop_locked(key);
  }
  /// Drops those whose keys begin with `prefix` and returns them.
  std::vector<std::string> drop_all(const std::string& prefix) {
    const std::scoped_lock lock(mutex_);
    std::vector<std::string> dropped;
    for (auto at = entries_.lower_bound(prefix); at != entries_.end() && at->first.starts_with(prefix); ++at) {
      dropped.push_back(at->first);
    }
    for (const auto& key : dropped) drop_locked(key);
    return dropped;
  }
  [[nodiscard]] std::uint64_t bytes() const {
    const std::scoped_lock lock(mutex_);
    return bytes_;
  }

 private:
  static constexpr std::uint64_t kUnit = 4096;  ///< what a file takes at least
  struct Entry {
    std::uint64_t size = 0;
    std::list<std::string>::iterator place;
  };

  static std::uint64_t room_for(std::uint64_t size) { return (size + kUnit - 1) / kUnit * kUnit; }

  void drop_locked(const std::string& key) {
    const auto found = entries_.find(key);
    if (found == entries_.end()) return;
    bytes_ -= room_for(found->second.size);
    order_.erase(found->second.place);
    entries_.erase(found);
  }

  const std::uint64_t max_bytes_;
  mutable std::mutex mutex_;
  std::map<std::string, Entry> entries_;
  std::list<std::string> order_;  ///< used last first
  std::uint64_t bytes_ = 0;
};

class BlockCache final : public CachedBackend {
 public:
  BlockCache(std::unique_ptr<Backend> inner, std::unique_ptr<Backend> cache, CacheOptions options)
      : inner_(std::move(inner)), cache_(std::move(cache)), options_(std::move(options)), index_(options_.max_bytes) {}

  /// Takes over what the last process left.
  Status load() {
    std::vector<std::string> victims;
    CACS_TRY(cache_->list("", [&](const ObjectInfo& info) -> Status {
      if (!is_cache_key(info.name)) return {};
      for (auto& victim : index_.add(info.name, info.size)) victims.push_back(std::move(victim));
      return {};
    }));
    discard(victims);
    return {};
  }

  Result<std::unique_ptr<ObjectWriter>> create(const std::string& name, Overwrite overwrite) override {
    return inner_->create(name, overwrite);
  }

  Result<std::size_t> read(const std::string& name, std::uint64_t offset, std::span<std::byte> out) override {
    if (out.empty() || !is_kept(name)) return inner_->read(name, offset, out);
    std::size_t done = 0;
    while (done < out.size()) {
      const std::uint64_t at = offset + done;
      CACS_ASSIGN(const std::size_t got, read_some(name, at, out.subspan(done)));
      done += got;
      // Up to the end of a block, or of what was fetched; less is the end of the object.
      if (got == 0 || (done < out.size() && (offset + done) % options_.block_bytes != 0)) break;
    }
    return done;
  }

  Result<std::uint64_t> size(const std::string& name) override {
    if (is_kept(name)) {
      const auto first = find(name, 0);
      if (first && first->data.size() < options_.block_bytes) return std::uint64_t{first->data.size()};
    }
    return inner_->size(name);
  }

  Status list(const std::string& prefix, const std::function<Status(const ObjectInfo&)>& visitor) override {
    return inner_->list(prefix, visitor);
  }

  Status remove(const std::string& name) override {
    auto status = inner_->remove(name);
    // After it, so that what others read meanwhile does not stay.
    discard(index_.drop_all(cache_key_prefix(name)));
    return status;
  }

  [[nodiscard]] const BackendTraits& traits() const override { return inner_->traits(); }
  [[nodiscard]] std::string describe() const override { return inner_->describe(); }
  [[nodiscard]] CacheStats stats() const override {
    const std::scoped_lock lock(mutex_);
    CacheStats stats = stats_;
    stats.bytes = index_.bytes();
    return stats;
  }

 private:
  /// How many missing blocks are fetched at once at most.
  static constexpr std::size_t kRun = 16;

  [[nodiscard]] bool is_kept(const std::string& name) const { return options_.immutable && options_.immutable(name); }

  void count(std::uint64_t CacheStats::*which, std::uint64_t by = 1) {
    const std::scoped_lock lock(mutex_);
    stats_.*which += by;
  }

  /// Reads from `offset` to the end of its block, or on through a run of blocks that are not in the cache.
  Result<std::size_t> read_some(const std::string& name, std::uint64_t offset, std::span<std::byte> out) {
    const std::uint64_t block = offset / options_.block_bytes;
    const std::size_t skip = offset % options_.block_bytes;
    if (const auto kept = find(name, block)) {
      count(&CacheStats::hits);
      return copy(kept->data, skip, out);
    }
    const std::size_t most = std::min<std::uint64_t>(kRun, (skip + out.size() - 1) / options_.block_bytes + 1);
    std::size_t blocks = 1;
    while (blocks < most && !index_.contains(cache_key(name, block + blocks))) ++blocks;
    count(&CacheStats::misses, blocks);
    std::vector<std::byte> fetched(blocks * options_.block_bytes);
    CACS_ASSIGN(const std::size_t got, inner_->read(name, block * options_.block_bytes, fetched));
    fetched.resize(got);
    for (std::size_t i = 0; i * options_.block_bytes < got; ++i) {
      const std::size_t begin = i * options_.block_bytes;
      keep(name, block + i, std::span(fetched).subspan(begin, std::min(options_.block_bytes, got - begin)));
    }
    return copy(fetched, skip, out);
  }

  static std::size_t copy(std::span<const std::byte> from, std::size_t skip, std::span<std::byte> out) {
    if (skip >= from.size()) return 0;
    const std::size_t length = std::min(out.size(), from.size() - skip);
    std::ranges::copy(from.subspan(skip, length), out.begin());
    return length;
  }

  struct Found {
    std::vector<std::byte> entry;
    std::span<const std::byte> data;  ///< in it
  };

  /// The block's bytes, if they are in the cache and sound.
  std::optional<Found> find(const std::string& name, std::uint64_t block) {
    const std::string key = cache_key(name, block);
    const auto size = index_.use(key);
    if (!size) return std::nullopt;
    // One byte more, as an entry that has become longer is none.
    std::vector<std::byte> entry(std::min<std::uint64_t>(*size, cache_entry_bound(options_.block_bytes)) + 1);
    const auto got = cache_->read(key, 0, entry);
    entry.resize(got ? *got : 0);
    const auto data = open_cache_entry(entry, name, block, options_.block_bytes);
    if (data) return Found{std::move(entry), *data};
    if (got || got.error().code != ErrorCode::kNotFound) count(&CacheStats::damaged);
    index_.drop(key);
    discard({key});
    return std::nullopt;
  }

  void keep(const std::string& name, std::uint64_t block, std::span<const std::byte> data) {
    const std::string key = cache_key(name, block);
    const auto entry = encode_cache_entry(name, block, data);
    const auto victims = index_.add(key, entry.size());
    if (std::ranges::find(victims, key) == victims.end() && !put_object(*cache_, key, entry, Overwrite::kYes)) {
      index_.drop(key);
      count(&CacheStats::failures);
    }
    discard(victims);
  }

  /// Of entries that the index does not know any more. One that cannot be removed is found again at the next start.
  void discard(const std::vector<std::string>& keys) {
    for (const auto& key : keys) static_cast<void>(cache_->remove(key).ok());
  }

  std::unique_ptr<Backend> inner_;
  std::unique_ptr<Backend> cache_;
  CacheOptions options_;
  CacheIndex index_;
  mutable std::mutex mutex_;
  CacheStats stats_;
};

}  // namespace

Result<std::unique_ptr<CachedBackend>> make_cached_backend(std::unique_ptr<Backend> inner,
                                                           std::unique_ptr<Backend> cache, CacheOptions options) {
  if (options.block_bytes == 0 || options.block_bytes > (std::size_t{64} << 20U)) {
    return make_error(ErrorCode::kInvalidArgument, "a cache's blocks have 1 byte to 64 MiB");
  }
  const std::string doing = "open the cache in " + cache->describe();
  auto made = std::make_unique<BlockCache>(std::move(inner), std::move(cache), std::move(options));
  CACS_TRY(made->load().context(doing));
  return std::unique_ptr<CachedBackend>(std::move(made));
}

}  // namespace cacs::repository
