#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/hash.h"
#include "base/result.h"
#include "repository/codec.h"
#include "repository/digest_table.h"
#include "repository/format.h"
#include "repository/backend/storage.h"

namespace cacs::repository {

/// A pack as known from its footer.
struct Pack {
  std::string id;
  std::uint64_t file_size = 0;
  std::vector<PackEntry> entries;
};

/// Where a chunk is.
struct ChunkLocation {
  std::shared_ptr<const Pack> pack;
  std::size_t slot = 0;
  bool quarantined = false;  ///< was found damaged

  [[nodiscard]] const PackEntry& entry() const { return pack->entries[slot]; }
};

/// The chunks in the published packs of a repository: which there are, and their bytes. In memory: 48 bytes a chunk,
/// and 8 to 22 bytes of hash table. Any thread.
///
/// A chunk found damaged is put into quarantine, durably: from then on writers take it for not there, and store it
/// anew, so that no new checkpoint shares the damage; the new copy serves the old checkpoints too.
class ChunkStore {
 public:
  explicit ChunkStore(Storage& storage);

  /// Takes in packs that have appeared, and quarantines of others, and forgets packs that are gone. A pack that cannot
  /// be read is left out and stands in damaged().
  Status refresh();
  void add(std::shared_ptr<const Pack> pack);

  /// A copy of the chunk; one in quarantine only where there is no other.
  [[nodiscard]] std::optional<ChunkLocation> find(const Digest& digest) const;
  /// Whether there is a copy that may be built on: not one in quarantine.
  [[nodiscard]] bool contains(const Digest& digest) const;

  /// Reads the chunk into `out`, makes it raw, and checks it against its digest. kCorrupt names pack and chunk; also
  /// when there is no such chunk. A chunk that a collection has moved meanwhile is found again. A damaged one goes into
  /// quarantine, and another copy serves where there is one.
  Status read(const Digest& digest, ChunkCodec& codec, std::vector<std::byte>& out);
  /// The same for a chunk whose place is known; `stored` gets the bytes as they lie in the pack.
  Status read_at(const ChunkLocation& location, ChunkCodec& codec, std::vector<std::byte>& stored,
                 std::vector<std::byte>& out);

  /// Reads all of a pack and puts what is damaged in it into quarantine. Durable when it returns; on failure nothing is
  /// in quarantine that was not before.
  Status quarantine(const std::shared_ptr<const Pack>& pack);
  /// Rises whenever chunks go into quarantine.
  [[nodiscard]] std::uint64_t quarantines() const { return quarantines_; }

  [[nodiscard]] std::vector<std::shared_ptr<const Pack>> packs() const;
  /// Packs that could not be read, by id.
  [[nodiscard]] std::map<std::string, Error> damaged() const;
  [[nodiscard]] std::size_t memory_bytes() const;

 private:
  struct KeyOf {
    const ChunkStore* store;
    const Digest& operator()(std::uint64_t value) const {
      return store->packs_[value >> 32U]->entries[value & 0xffffffffU].digest;
    }
  };
  Result<std::shared_ptr<const Pack>> load_pack(const std::string& id);
  Result<std::shared_ptr<const ReadableFile>> open_pack(const std::string& id);
  void insert_all(std::size_t pack_number);
  void rebuild(std::vector<std::shared_ptr<const Pack>> packs);
  Error missing(const Digest& digest) const;
  Status read_any_copy(const Digest& digest, ChunkCodec& codec, std::vector<std::byte>& out);
  Status load_quarantines(const std::vector<std::shared_ptr<const Pack>>& packs,
                          std::map<std::string, std::vector<bool>>& found);

  Storage& storage_;
  std::mutex refresh_mutex_;  ///< one refresh at a time
  mutable std::shared_mutex mutex_;
  std::vector<std::shared_ptr<const Pack>> packs_;
  std::map<std::string, Error> damaged_;
  DigestTable<KeyOf> table_;
  std::map<std::string, std::vector<bool>> quarantine_;             ///< by pack: its slots that are damaged
  std::unordered_map<Digest, std::uint64_t, DigestHash> suspects_;  ///< what table_ leaves out for that reason
  std::mutex quarantine_mutex_;                                     ///< one pack at a time
  std::atomic<std::uint64_t> quarantines_ = 0;

  // The packs read last stay open: reads go to a few packs at a time.
  std::mutex files_mutex_;
  std::list<std::pair<std::string, std::shared_ptr<const ReadableFile>>> files_;
};

}  // namespace cacs::repository
