#include "repository/codec.h"

#include <zstd.h>

#include <cstdlib>
#include <cstring>

namespace cacs::repository {

namespace {

constexpr int kLevel = 1;

struct FreeCompressor {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
};
struct FreeExpander {
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

}  // namespace

struct ChunkCodec::State {
  std::unique_ptr<ZSTD_CCtx, FreeCompressor> compressor;
  std::unique_ptr<ZSTD_DCtx, FreeExpander> expander;
  std::vector<std::byte> buffer;
};

ChunkCodec::ChunkCodec() : state_(std::make_unique<State>()) {}
ChunkCodec::~ChunkCodec() = default;
ChunkCodec::ChunkCodec(ChunkCodec&&) noexcept = default;
ChunkCodec& ChunkCodec::operator=(ChunkCodec&&) noexcept = default;

ChunkCodec::Packed ChunkCodec::compress(std::span<const std::byte> raw) {
  State& state = *state_;
  if (!state.compressor) state.compressor.reset(ZSTD_createCCtx());
  if (!state.compressor) std::abort();  // out of memory
  const std::size_t room = raw.size() - raw.size() / 16;
  if (state.buffer.size() < room) state.buffer.resize(room);
  const std::size_t size =
      ZSTD_compressCCtx(state.compressor.get(), state.buffer.data(), room, raw.data(), raw.size(), kLevel);
  // The only failure with valid arguments is that the result does not fit into the room: then it is not worth it.
  if (ZSTD_isError(size) != 0U) return {raw, Codec::kNone};
  return {std::span(state.buffer).first(size), Codec::kZstd};
}

Status ChunkCodec::expand(std::span<const std::byte> stored, Codec codec, std::span<std::byte> out) {
  if (codec == Codec::kNone) {
    if (stored.size() != out.size()) return corrupt("a chunk of the wrong length");
    if (!out.empty()) std::memcpy(out.data(), stored.data(), out.size());
    return {};
  }
  State& state = *state_;
  if (!state.expander) state.expander.reset(ZSTD_createDCtx());
  if (!state.expander) std::abort();  // out of memory
  const std::size_t size =
      ZSTD_decompressDCtx(state.expander.get(), out.data(), out.size(), stored.data(), stored.size());
  if (ZSTD_isError(size) != 0U || size != out.size()) return corrupt("a chunk that does not expand");
  return {};
}

}  // namespace cacs::repository
