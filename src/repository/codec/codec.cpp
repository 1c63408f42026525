#include "repository/codec/codec.h"

#include <fmt/format.h>
#include <lz4.h>
#include <zstd.h>

#include <cstdlib>
#include <cstring>

namespace cacs::repository {

namespace {

struct FreeCompressor {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
};
struct FreeExpander {
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

/// Bytes for LZ4's table, aligned as it wants it.
using Lz4Memory = std::vector<std::max_align_t>;

const char* as_chars(std::span<const std::byte> bytes) { return reinterpret_cast<const char*>(bytes.data()); }

Error does_not_expand(Codec codec, std::size_t stored, std::size_t raw, std::string_view why) {
  return make_error(ErrorCode::kCorrupt, fmt::format("{} stored bytes do not expand with {} to {}: {}", stored,
                                                     codec_name(codec), raw, why));
}

}  // namespace

std::string_view codec_name(Codec codec) {
  switch (codec) {
    case Codec::kNone:
      return "none";
    case Codec::kZstd:
      return "zstd";
    case Codec::kLz4:
      return "lz4";
  }
  return "unknown";
}

std::string to_string(const Compression& compression) {
  if (compression.codec != Codec::kZstd) return std::string(codec_name(compression.codec));
  return fmt::format("zstd-{}", compression.level);
}

struct SegmentCodec::State {
  std::unique_ptr<ZSTD_CCtx, FreeCompressor> compressor;
  std::unique_ptr<ZSTD_DCtx, FreeExpander> expander;
  Lz4Memory lz4;
  std::vector<std::byte> buffer;  ///< what compression made; only what is kept of it is copied to its place

  // Out of memory for a few hundred KiB there is nothing left to do: as where operator new fails.
  std::size_t zstd(std::span<const std::byte> raw, int level) {
    if (!compressor) compressor.reset(ZSTD_createCCtx());
    if (!compressor) std::abort();
    reserve(ZSTD_compressBound(raw.size()));
    const std::size_t size =
        ZSTD_compressCCtx(compressor.get(), buffer.data(), buffer.size(), raw.data(), raw.size(), level);
    return ZSTD_isError(size) != 0U ? raw.size() : size;
  }

  std::size_t lz4_block(std::span<const std::byte> raw) {
    if (lz4.empty()) {
      lz4.resize((static_cast<std::size_t>(LZ4_sizeofState()) + sizeof(std::max_align_t) - 1) /
                 sizeof(std::max_align_t));
    }
    const int length = static_cast<int>(raw.size());
    reserve(static_cast<std::size_t>(LZ4_compressBound(length)));
    const int size = LZ4_compress_fast_extState(lz4.data(), as_chars(raw), reinterpret_cast<char*>(buffer.data()),
                                                length, static_cast<int>(buffer.size()), 1);
    return size <= 0 ? raw.size() : static_cast<std::size_t>(size);
  }

  void reserve(std::size_t size) {
    if (buffer.size() < size) buffer.resize(size);
  }
};

SegmentCodec::SegmentCodec() : state_(std::make_unique<State>()) {}
SegmentCodec::~SegmentCodec() = default;
SegmentCodec::SegmentCodec(SegmentCodec&&) noexcept = default;
SegmentCodec& SegmentCodec::operator=(SegmentCodec&&) noexcept = default;

Codec SegmentCodec::compress(std::span<const std::byte> raw, const Compression& how, std::vector<std::byte>& out) {
  std::size_t size = raw.size();
  if (raw.size() <= kMaxSegmentBytes) {
    if (how.codec == Codec::kZstd) size = state_->zstd(raw, how.level);
    if (how.codec == Codec::kLz4) size = state_->lz4_block(raw);
  }
  // Also for an empty segment: nothing can be saved of it.
  if (size >= raw.size() || raw.size() - size < (raw.size() + 31) / 32) {
    out.insert(out.end(), raw.begin(), raw.end());
    return Codec::kNone;
  }
  out.insert(out.end(), state_->buffer.begin(), state_->buffer.begin() + static_cast<std::ptrdiff_t>(size));
  return how.codec;
}

Status SegmentCodec::expand(std::span<const std::byte> stored, Codec codec, std::span<std::byte> out) {
  switch (codec) {
    case Codec::kNone:
      if (stored.size() != out.size()) return does_not_expand(codec, stored.size(), out.size(), "another length");
      if (!out.empty()) std::memcpy(out.data(), stored.data(), out.size());
      return {};
    case Codec::kZstd: {
      // libzstd takes no bytes for nothing; we never wrote that.
      if (stored.empty()) return does_not_expand(codec, 0, out.size(), "nothing is there");
      State& state = *state_;
      if (!state.expander) state.expander.reset(ZSTD_createDCtx());
      if (!state.expander) std::abort();
      const std::size_t size =
          ZSTD_decompressDCtx(state.expander.get(), out.data(), out.size(), stored.data(), stored.size());
      if (ZSTD_isError(size) != 0U) return does_not_expand(codec, stored.size(), out.size(), ZSTD_getErrorName(size));
      if (size != out.size())
        return does_not_expand(codec, stored.size(), out.size(), fmt::format("{} came out", size));
      return {};
    }
    case Codec::kLz4: {
      if (stored.size() > kMaxSegmentBytes || out.size() > kMaxSegmentBytes)
        return does_not_expand(codec, stored.size(), out.size(), "longer than any segment");
      const int size = LZ4_decompress_safe(as_chars(stored), reinterpret_cast<char*>(out.data()),
                                           static_cast<int>(stored.size()), static_cast<int>(out.size()));
      if (size < 0) return does_not_expand(codec, stored.size(), out.size(), "the block is damaged");
      if (static_cast<std::size_t>(size) != out.size())
        return does_not_expand(codec, stored.size(), out.size(), fmt::format("{} came out", size));
      return {};
    }
  }
  return make_error(ErrorCode::kCorrupt,
                    fmt::format("{} stored bytes name codec {}, which this build does not know", stored.size(),
                                static_cast<int>(codec)),
                    "if a newer version of cacs wrote them, read them with that version");
}

}  // namespace cacs::repository
