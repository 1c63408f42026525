#include "repository/levels/pack_copy.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

#include "base/io.h"

namespace cacs::repository {

namespace {

class Copy {
 public:
  Copy(Backend& from, const PackCopy& what)
      : from_(from), what_(what), sealer_(what.pack.sealing, what.pack.key), hex_(what.pack.id.to_hex()) {}

  Status run(Backend& to, Overwrite overwrite) {
    CACS_TRY(read_trailer());
    CACS_ASSIGN(writer_, to.create(what_.pack.name, overwrite));
    CACS_TRY(pass_header());
    CACS_TRY(pass_segments());
    CACS_TRY(pass_end());
    return writer_->commit();
  }

 private:
  [[nodiscard]] Error damaged(std::string_view part) const {
    return corrupt(fmt::format("copy pack {} from {}: {} is damaged", hex_, from_.describe(), part))
        .with_hint("`cacs repo check` says what needs it; the copy goes on when that is removed or stored anew");
  }

  Status read(std::uint64_t offset, std::span<std::byte> out) {
    if (what_.stop.stop_requested()) return make_error(ErrorCode::kAborted, "copy pack " + hex_ + ": told to stop");
    CACS_ASSIGN(const std::size_t got, from_.read(what_.pack.name, offset, out));
    if (got != out.size()) return damaged("its end");
    return {};
  }

  Status pass(std::span<const std::byte> bytes) {
    CACS_TRY(writer_->append(bytes));
    at_ += bytes.size();
    if (what_.on_bytes) what_.on_bytes(bytes.size());
    return {};
  }

  Status read_trailer() {
    if (what_.size < kPackHeaderBytes + kPackTrailerBytes || what_.size > kMaxPackBytes) return damaged("its length");
    CACS_TRY(read(what_.size - kPackTrailerBytes, trailer_bytes_));
    auto trailer = parse_pack_trailer(trailer_bytes_, what_.size);
    if (!trailer) return damaged("its trailer");
    trailer_ = *trailer;
    return {};
  }

  Status pass_header() {
    std::array<std::byte, kPackHeaderBytes> header{};
    CACS_TRY(read(0, header));
    if (!std::ranges::equal(header, as_bytes(what_.pack.context))) return damaged("its header");
    return pass(header);
  }

  Status pass_segments() {
    std::vector<std::uint32_t> order;
    const auto& segments = what_.pack.table.segments();
    for (std::uint32_t segment = 0; segment < segments.size(); ++segment) {
      if (segments[segment].stored > 0) order.push_back(segment);
    }
    std::sort(order.begin(), order.end(),
              [&](auto one, auto other) { return segments[one].offset < segments[other].offset; });
    for (const std::uint32_t segment : order) CACS_TRY(pass_segment(segment));
    if (at_ != trailer_.table_offset) return damaged("its table");  // which has to name all that lies before it
    return {};
  }

  Status pass_segment(std::uint32_t segment) {
    const SegmentInfo& info = what_.pack.table.segments()[segment];
    if (info.offset != at_ || info.stored < kTagBytes) return damaged("its table");
    sealed_.resize(info.stored);
    CACS_TRY(read(info.offset, sealed_));
    plain_.resize(info.stored - kTagBytes);
    const std::string context = segment_context(what_.pack.context, segment);
    if (!sealer_.open(segment, as_bytes(context), sealed_, plain_)) return damaged(fmt::format("segment {}", segment));
    return pass(sealed_);
  }

  /// Table, hooks and trailer.
  Status pass_end() {
    sealed_.resize(what_.size - trailer_.table_offset);
    CACS_TRY(read(trailer_.table_offset, sealed_));
    const auto end = std::span<const std::byte>(sealed_);
    if (!std::ranges::equal(end.last(kPackTrailerBytes), trailer_bytes_)) return damaged("its trailer");
    CACS_TRY(check_part(kTablePart, end.first(trailer_.table_bytes), "its table"));
    CACS_TRY(check_part(kHooksPart, end.subspan(trailer_.table_bytes, trailer_.hooks_bytes), "its list of hooks"));
    return pass(end);
  }

  Status check_part(std::uint64_t number, std::span<const std::byte> sealed, std::string_view part) {
    if (sealed.size() < kTagBytes) return damaged(part);
    plain_.resize(sealed.size() - kTagBytes);
    const std::string context =
        what_.pack.context + std::string(reinterpret_cast<const char*>(trailer_bytes_.data()), trailer_bytes_.size());
    if (!sealer_.open(number, as_bytes(context), sealed, plain_)) return damaged(part);
    return {};
  }

  Backend& from_;
  const PackCopy& what_;
  Sealer sealer_;
  const std::string hex_;
  std::unique_ptr<ObjectWriter> writer_;
  std::array<std::byte, kPackTrailerBytes> trailer_bytes_{};
  PackTrailer trailer_;
  std::uint64_t at_ = 0;
  std::vector<std::byte> sealed_;
  std::vector<std::byte> plain_;
};

}  // namespace

Status copy_pack(Backend& from, Backend& to, const PackCopy& what, Overwrite overwrite) {
  return Copy(from, what).run(to, overwrite);
}

}  // namespace cacs::repository
