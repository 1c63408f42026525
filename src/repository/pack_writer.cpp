#include "repository/pack_writer.h"

#include <chrono>
#include <ctime>

#include "base/io.h"
#include "repository/codec/data_class.h"
#include "repository/layout.h"

namespace cacs::repository {

namespace {

/// Lists and small records: too little to learn from, and read far more often than written.
constexpr std::size_t kMetadataWay = 3;
static_assert(kCompressionWays[kMetadataWay] == Compression{.codec = Codec::kZstd, .level = 3});

/// The commit of a smaller pack is all latency, and tells nothing of how fast the store is.
constexpr std::uint64_t kTellingBytes = std::uint64_t{4} << 20U;

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// Of this thread alone: one that has to wait for a processor did not work longer.
double processor_seconds() {
  timespec now{};
  if (::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) != 0) return 0;
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

}  // namespace

bool is_hook(StreamKind kind, const ContentId& id) {
  // Average sizes are a page, 20 KiB and 10 KiB.
  const std::uint64_t mask = kind == StreamKind::kMemory ? 63 : (kind == StreamKind::kFile ? 15 : 31);
  return (id.prefix() & mask) == 0;
}

PackWriter::PackWriter(Backend& backend, const TenantKeys& keys, PackStore& store, WorkPool& pool,
                       const StorageSizes& sizes, ReferenceGuard* guard)
    : backend_(backend),
      keys_(keys),
      store_(store),
      pool_(pool),
      sizes_(sizes),
      guard_(guard),
      workers_(pool.workers()) {}

PackWriter::~PackWriter() = default;

std::optional<Ref> PackWriter::find(const ContentId& id) const {
  const auto found = ids_.find(id.prefix());
  if (found == ids_.end() || found->second.first != id) return std::nullopt;
  return Ref{.pack = number_, .slot = found->second.second};
}

Result<std::optional<Ref>> PackWriter::find_stored(const ContentId& id) {
  const auto found = store_.find(id);
  if (!found) return found;
  CACS_ASSIGN(const bool allowed, may_reference(*found));
  return allowed ? found : std::nullopt;
}

Status PackWriter::begin_pack() {
  header_ = {.sealing = keys_.sealing(),
             .identity = keys_.identity(),
             .key_generation = keys_.newest(),
             .id = PackId::make(),
             .generation = 1,
             .salt = make_salt()};
  header_bytes_ = encode_pack_header(header_);
  CACS_ASSIGN(key_, keys_.object_key(header_.key_generation, "pack", header_.salt));
  CACS_ASSIGN(object_, backend_.create(pack_name(header_.id, header_.generation), Overwrite::kNo));
  CACS_TRY(object_->append(as_bytes(header_bytes_)));
  end_ = header_bytes_.size();
  number_ = store_.catalog().number_of(header_.id);
  ++serial_;
  return {};
}

Result<Ref> PackWriter::add(StreamKind kind, const ContentId& id, std::span<const std::byte> bytes) {
  if (failed_) return make_error(ErrorCode::kAborted, "an earlier write of this session failed");
  failed_ = true;  // until this call has succeeded
  if (!object_) CACS_TRY(begin_pack());
  const SegmentLimits& limits = sizes_.segment(kind);
  Segment& segment = open_.at(static_cast<std::size_t>(kind));
  if (!segment.ids.empty() &&
      (segment.ids.size() == limits.slots || segment.raw.size() + bytes.size() > limits.bytes)) {
    close(kind);
    if (pending_.size() >= 4 * workers_.size()) CACS_TRY(write_pending());
  }
  if (segment.ids.empty()) {
    segment.number = next_segment_++;
    segment.kind = kind;
    lines_.emplace_back();
  }
  const Ref ref{.pack = number_, .slot = make_slot(segment.number, static_cast<std::uint32_t>(segment.ids.size()))};
  segment.raw.insert(segment.raw.end(), bytes.begin(), bytes.end());
  segment.ids.push_back(id);
  segment.lengths.push_back(static_cast<std::uint32_t>(bytes.size()));
  ids_.try_emplace(id.prefix(), id, ref.slot);
  if (is_hook(kind, id)) hooks_.push_back(id.prefix());
  raw_ += bytes.size();
  if (raw_ >= kPackTargetBytes) CACS_TRY(end_pack());
  failed_ = false;
  return ref;
}

void PackWriter::close(StreamKind kind) {
  Segment& segment = open_.at(static_cast<std::size_t>(kind));
  if (segment.ids.empty()) return;
  pending_.push_back(std::move(segment));
  segment = {};
}

void PackWriter::seal(const Segment& segment, Sealed& sealed, Worker& worker) const {
  if (worker.pack_serial != serial_) {
    worker.sealer.emplace(header_.sealing, key_);
    worker.pack_serial = serial_;
  }
  sealed.packed.clear();
  const double start = processor_seconds();
  sealed.codec = worker.codec.compress(segment.raw, kCompressionWays.at(segment.way), sealed.packed);
  sealed.compressing = processor_seconds() - start;
  sealed.bytes.resize(sealed.packed.size() + kTagBytes);
  worker.sealer->seal(segment.number, as_bytes(segment_context(header_bytes_, segment.number)), sealed.packed,
                      sealed.bytes);
  sealed.sealing = processor_seconds() - start - sealed.compressing;
}

std::size_t PackWriter::compression_stream(const Segment& segment) {
  return static_cast<std::size_t>(segment.kind) * kDataClasses + segment.data_class;
}

/// What the batch took, `seconds` of the ingest, is shared out by what each segment took of a processor: a thread that
/// was put aside for a while would else make its way of compressing look slow for long.
void PackWriter::learn_batch(double seconds) {
  double worked = 0;
  for (std::size_t index = 0; index < pending_.size(); ++index) {
    worked += sealed_[index].compressing + sealed_[index].sealing;
  }
  if (worked <= 0) return;
  const double share = seconds / worked;
  for (std::size_t index = 0; index < pending_.size(); ++index) {
    const Segment& segment = pending_[index];
    const Sealed& sealed = sealed_[index];
    store_.compression().uploaded(0, sealed.sealing * share);
    if (segment.kind == StreamKind::kMetadata) continue;
    store_.compression().compressed(compression_stream(segment), segment.way, segment.raw.size(), sealed.packed.size(),
                                    sealed.compressing * share);
  }
}

/// Compresses and seals what is full, on all processors, and appends it in order.
Status PackWriter::write_pending() {
  if (sealed_.size() < pending_.size()) sealed_.resize(pending_.size());
  for (Segment& segment : pending_) {
    const bool learned = segment.kind != StreamKind::kMetadata;
    if (learned) segment.data_class = data_class(segment.raw);
    segment.way = learned ? store_.compression().choose(compression_stream(segment), segment.raw.size()) : kMetadataWay;
  }
  const auto begun = Clock::now();
  pool_.run(pending_.size(),
            [&](std::size_t index, std::size_t worker) { seal(pending_[index], sealed_[index], workers_[worker]); });
  learn_batch(seconds_since(begun));
  for (std::size_t index = 0; index < pending_.size(); ++index) {
    Segment& segment = pending_[index];
    const Sealed& sealed = sealed_[index];
    Line& line = lines_[segment.number];
    line.info = {.offset = end_,
                 .stored = static_cast<std::uint32_t>(sealed.bytes.size()),
                 .raw = static_cast<std::uint32_t>(segment.raw.size()),
                 .slots = static_cast<std::uint16_t>(segment.ids.size()),
                 .codec = sealed.codec,
                 .pages = segment.kind == StreamKind::kMemory};
    line.ids = std::move(segment.ids);
    if (!line.info.pages) line.lengths = std::move(segment.lengths);
    const auto start = Clock::now();
    CACS_TRY(object_->append(sealed.bytes));
    store_.compression().uploaded(sealed.bytes.size(), seconds_since(start));
    end_ += sealed.bytes.size();
  }
  pending_.clear();
  return {};
}

Status PackWriter::end_pack() {
  for (const StreamKind kind : {StreamKind::kMemory, StreamKind::kFile, StreamKind::kMetadata}) close(kind);
  CACS_TRY(write_pending());
  auto pack = std::make_shared<OpenPack>();
  for (const Line& line : lines_) pack->table.add(line.info, line.ids, line.lengths);
  pack->id = header_.id;
  pack->generation = header_.generation;
  pack->name = pack_name(header_.id, header_.generation);
  pack->sealing = header_.sealing;
  pack->key = key_;
  pack->context = header_bytes_;
  const auto start = Clock::now();
  if (guard_ != nullptr) pack->creator = guard_->creator();
  CACS_ASSIGN(const std::uint64_t size, finish_pack(*object_, *pack, hooks_, end_));
  object_.reset();
  if (size >= kTellingBytes) store_.compression().uploaded(0, seconds_since(start));
  store_.add(std::move(pack), size, hooks_);
  stored_bytes_ += size;
  end_ = 0;
  raw_ = 0;
  next_segment_ = 0;
  lines_.clear();
  hooks_.clear();
  ids_.clear();
  return {};
}

Status PackWriter::finish() {
  if (failed_) return make_error(ErrorCode::kAborted, "an earlier write of this session failed");
  if (!object_) return {};
  failed_ = true;
  CACS_TRY(end_pack());
  failed_ = false;
  return {};
}

}  // namespace cacs::repository
