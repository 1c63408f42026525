#pragma once

#include <boost/unordered/unordered_flat_map.hpp>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "repository/backend/backend.h"
#include "repository/keys/tenant_keys.h"
#include "repository/pack_store.h"
#include "repository/sizes.h"
#include "repository/types.h"
#include "repository/work_pool.h"

namespace cacs::repository {

/// Where packs end: when this much is in them, or was before compression.
inline constexpr std::size_t kPackTargetBytes = std::size_t{32} << 20U;

/// What a session may refer to where a collector works beside it: everything that it takes over from elsewhere is put
/// to this first. One thread at a time.
class ReferenceGuard {
 public:
  virtual ~ReferenceGuard() = default;
  virtual Result<bool> allows(const Ref& ref) = 0;
  /// Stands in every pack that the session writes.
  [[nodiscard]] virtual SessionId creator() const = 0;
};

/// Writes pages, chunks and nodes into packs. A pack that is full is committed at once, durably: it is garbage until a
/// manifest names it, and what a session that fails has written is left to the collector (another session may have
/// built on it meanwhile). Streams of different kinds go into segments of their own. One thread at a time.
class PackWriter {
 public:
  /// `guard`: null where nothing disappears while the session is open.
  PackWriter(Backend& backend, const TenantKeys& keys, PackStore& store, WorkPool& pool, const StorageSizes& sizes,
             ReferenceGuard* guard = nullptr);
  ~PackWriter();
  PackWriter(const PackWriter&) = delete;
  PackWriter& operator=(const PackWriter&) = delete;

  /// A slot of the pack being written with this content.
  [[nodiscard]] std::optional<Ref> find(const ContentId& id) const;
  /// Whether this slot of a finished pack, found in a table or in a parent, may be named instead of storing its content
  /// again.
  Result<bool> may_reference(const Ref& ref) { return guard_ == nullptr ? Result<bool>(true) : guard_->allows(ref); }
  /// A slot with this content in a table that is loaded, and that may be named.
  Result<std::optional<Ref>> find_stored(const ContentId& id);
  /// Stores 1 to kMaxChunkBytes bytes (kMemory: kPageBytes).
  Result<Ref> add(StreamKind kind, const ContentId& id, std::span<const std::byte> bytes);
  /// Ends the pack that is being written, so that everything added is durable.
  Status finish();

  /// Bytes of pack files, the one being written included as far as it is.
  [[nodiscard]] std::uint64_t stored_bytes() const { return stored_bytes_ + end_; }

 private:
  /// A segment being filled.
  struct Segment {
    std::uint32_t number = 0;
    StreamKind kind = StreamKind::kMemory;
    std::vector<std::byte> raw;
    std::vector<ContentId> ids;
    std::vector<std::uint32_t> lengths;
    std::size_t data_class = 0;
    std::size_t way = 0;  ///< of kCompressionWays
  };
  /// What a worker makes of it.
  struct Sealed {
    Codec codec = Codec::kNone;
    std::vector<std::byte> packed;
    std::vector<std::byte> bytes;
    double compressing = 0;  ///< seconds of a processor
    double sealing = 0;
  };
  struct Worker {
    SegmentCodec codec;
    std::optional<Sealer> sealer;
    std::uint64_t pack_serial = 0;  ///< of the pack that `sealer` is for
  };
  /// The lines of the table, by segment number.
  struct Line {
    SegmentInfo info;
    std::vector<ContentId> ids;
    std::vector<std::uint32_t> lengths;
  };

  Status begin_pack();
  Status end_pack();
  void close(StreamKind kind);
  Status write_pending();
  void seal(const Segment& segment, Sealed& sealed, Worker& worker) const;
  void learn_batch(double seconds);
  /// Whose estimates of CompressionPolicy are the segment's.
  static std::size_t compression_stream(const Segment& segment);

  Backend& backend_;
  const TenantKeys& keys_;
  PackStore& store_;
  WorkPool& pool_;
  StorageSizes sizes_;
  ReferenceGuard* guard_;
  std::vector<Worker> workers_;

  std::unique_ptr<ObjectWriter> object_;  ///< the pack being written
  std::uint64_t serial_ = 0;
  PackHeader header_;
  std::string header_bytes_;
  SecretKey key_;
  std::uint32_t number_ = 0;  ///< of the pack in the catalogue
  std::uint64_t end_ = 0;     ///< of what was given to object_
  std::uint64_t raw_ = 0;     ///< bytes added, before compression
  std::uint32_t next_segment_ = 0;
  std::vector<Line> lines_;
  std::vector<std::uint64_t> hooks_;
  boost::unordered_flat_map<std::uint64_t, std::pair<ContentId, Slot>> ids_;
  std::array<Segment, kStreamKinds> open_;
  std::vector<Segment> pending_;  ///< full, not yet sealed
  std::vector<Sealed> sealed_;

  std::uint64_t stored_bytes_ = 0;  ///< of packs that are finished
  bool failed_ = false;
};

/// Whether the sparse index knows a pack by this id: one page in 64, so that an index entry stands for about 256 KiB
/// whatever the kind.
bool is_hook(StreamKind kind, const ContentId& id);

}  // namespace cacs::repository
