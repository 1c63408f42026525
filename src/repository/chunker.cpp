#include "repository/chunker.h"

#include <algorithm>
#include <cstring>
#include <string>

namespace cacs::repository {

namespace {

constexpr std::size_t kWindowBytes = std::size_t{1} << 20U;

bool all_zero(std::span<const std::byte> data) {
  // Equal to itself shifted by one byte and starting with zero: memcmp does the work at the speed of memory.
  return data.empty() || (data[0] == std::byte{0} && std::memcmp(data.data(), data.data() + 1, data.size() - 1) == 0);
}

}  // namespace

GearTable make_gear(const SecretKey& key) {
  GearTable gear{};
  for (std::size_t at = 0; at < gear.size(); at += 4) {
    const SecretKey random = derive_key(key, "cacs gear " + std::to_string(at));
    std::memcpy(&gear.at(at), random.bytes().data(), SecretKey::kBytes);
  }
  return gear;
}

std::size_t find_cut(std::span<const std::byte> data, const ChunkSizes& sizes, const GearTable& gear) {
  const std::size_t end = std::min(data.size(), sizes.max);
  const std::uint64_t mask = ((std::uint64_t{1} << sizes.mask_bits) - 1) << (64 - sizes.mask_bits);
  std::uint64_t hash = 0;
  for (std::size_t i = sizes.min; i < end; ++i) {
    hash = (hash << 1U) + gear[static_cast<std::size_t>(data[i])];
    if ((hash & mask) == 0) return i + 1;
  }
  return end;
}

Chunker::Chunker(const ChunkSizes& sizes, const GearTable& gear)
    : sizes_(sizes), gear_(gear), window_(std::max(kWindowBytes, 2 * sizes.max)) {}

Status Chunker::run(Source& source, const Output& output) {
  filled_ = 0;
  position_ = 0;
  at_end_ = false;
  while (!at_end_) {
    at_hole_ = false;
    CACS_TRY(fill(source));
    CACS_TRY(cut(output));
    if (filled_ == 0 && at_hole_) {
      CACS_ASSIGN(std::uint64_t hole, source.hole());
      hole -= hole % sizes_.unit;
      if (hole == 0) continue;
      source.skip(hole);
      position_ += hole;
      CACS_TRY(output.zeros(hole));
    }
  }
  return {};
}

/// Reads until the window is full, the stream ends, or a hole begins that can be skipped. The ends of a hole that are
/// no whole units are read like any bytes.
Status Chunker::fill(Source& source) {
  while (filled_ < window_.size()) {
    std::size_t want = window_.size() - filled_;
    CACS_ASSIGN(const std::uint64_t hole, source.hole());
    if (hole > 0) {
      const std::size_t past_unit = (position_ + filled_) % sizes_.unit;
      if (past_unit == 0 && hole >= sizes_.unit) {
        at_hole_ = true;
        return {};
      }
      // Up to the next unit, and no further: from there the hole may be skipped.
      want = std::min({want, sizes_.unit - past_unit});
    }
    CACS_ASSIGN(const std::size_t got, source.read(std::span(window_).subspan(filled_, want)));
    if (got == 0) {
      at_end_ = true;
      return {};
    }
    filled_ += got;
  }
  return {};
}

/// Gives out what can be cut from the window for certain, and keeps the rest for the next round.
Status Chunker::cut(const Output& output) {
  const bool final = at_end_ || at_hole_;
  // A unit not wholly here may still turn out to be zero, which would end the chunk before it.
  const std::size_t limit =
      final ? filled_ : filled_ - std::min<std::size_t>(filled_, (position_ + filled_) % sizes_.unit);
  const std::size_t longest = sizes_.max;
  std::size_t at = 0;
  std::size_t zero_at = find_zero_unit(0, limit);
  while (at < limit) {
    if (zero_at == at) {
      const std::size_t run = zero_run_length(at, limit);
      CACS_TRY(output.zeros(run));
      at += run;
      zero_at = find_zero_unit(at, limit);
      continue;
    }
    const std::size_t segment_end = std::min(zero_at, limit);
    const bool complete = final || zero_at < limit;
    if (!complete && segment_end - at < longest) break;
    const std::size_t length = find_cut(std::span(window_).subspan(at, segment_end - at), sizes_, gear_);
    CACS_TRY(output.chunk(std::span(window_).subspan(at, length)));
    at += length;
  }
  drop_front(at);
  return {};
}

/// Offset in the window of the first unit at or after `from`, on the stream's grid, that is all zeros; `limit` if none.
/// A last unit cut short by the end of the stream counts.
std::size_t Chunker::find_zero_unit(std::size_t from, std::size_t limit) const {
  const std::size_t past_unit = (position_ + from) % sizes_.unit;
  std::size_t at = past_unit == 0 ? from : from + sizes_.unit - past_unit;
  for (; at < limit; at += sizes_.unit) {
    if (all_zero(std::span(window_).subspan(at, std::min(sizes_.unit, limit - at)))) return at;
  }
  return limit;
}

std::size_t Chunker::zero_run_length(std::size_t from, std::size_t limit) const {
  std::size_t at = from;
  while (at < limit) {
    const std::size_t length = std::min(sizes_.unit, limit - at);
    if (!all_zero(std::span(window_).subspan(at, length))) break;
    at += length;
  }
  return at - from;
}

void Chunker::drop_front(std::size_t bytes) {
  if (bytes == 0) return;
  filled_ -= bytes;
  if (filled_ > 0) std::memmove(window_.data(), window_.data() + bytes, filled_);
  position_ += bytes;
}

}  // namespace cacs::repository
