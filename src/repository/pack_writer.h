#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/hash.h"
#include "base/result.h"
#include "repository/chunk_store.h"
#include "repository/codec.h"
#include "repository/backend/storage.h"

namespace cacs::repository {

inline constexpr std::size_t kPackTargetBytes = std::size_t{32} << 20U;

/// Writes chunks into packs that nobody sees (temporary names) until publish(). Destroyed before that, it removes them.
/// One thread at a time.
class PackWriter {
 public:
  PackWriter(Storage& storage, ChunkStore& chunks) : storage_(storage), chunks_(chunks), table_(KeyOf{this}) {}
  PackWriter(const PackWriter&) = delete;
  PackWriter& operator=(const PackWriter&) = delete;
  ~PackWriter();

  /// Whether this writer holds the chunk, published or not.
  [[nodiscard]] bool contains(const Digest& digest) const;
  /// Stores a chunk of 1 to kMaxChunkBytes bytes that the writer does not hold yet.
  Status add(const Digest& digest, std::span<const std::byte> raw);
  /// The same for bytes that are already as they shall lie in the pack.
  Status add_packed(const PackEntry& entry, std::span<const std::byte> stored);
  /// Makes everything added durable and visible: packs synced, renamed, the directory of packs synced (also when
  /// nothing was added: what a checkpoint refers to may have been published, but not yet synced, by somebody else).
  Status publish();
  /// Bytes of pack files so far, published or not.
  [[nodiscard]] std::uint64_t stored_bytes() const { return stored_bytes_; }
  /// Bytes of the pack being written.
  [[nodiscard]] std::uint64_t open_bytes() const { return end_; }

 private:
  struct KeyOf {
    const PackWriter* writer;
    const Digest& operator()(std::uint64_t value) const { return writer->digests_[value]; }
  };
  Status begin_pack();
  Status end_pack();
  Status flush();

  Storage& storage_;
  ChunkStore& chunks_;
  ChunkCodec codec_;
  std::vector<Digest> digests_;  ///< of all chunks added
  DigestTable<KeyOf> table_;

  std::unique_ptr<WritableFile> file_;  ///< the pack being written
  std::string id_;
  std::string header_;
  std::vector<PackEntry> entries_;
  std::vector<std::byte> buffer_;  ///< not yet given to file_
  std::uint64_t end_ = 0;          ///< of the pack being written, buffer_ included

  std::vector<std::shared_ptr<const Pack>> finished_;  ///< synced, under temporary names
  std::uint64_t stored_bytes_ = 0;
  bool failed_ = false;
};

}  // namespace cacs::repository
