#include "repository/pack_rewriter.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/io.h"
#include "repository/layout.h"

namespace cacs::repository {

namespace {

class Rewriter {
 public:
  Rewriter(Core& core, const OpenPack& pack, ReadContext& context, std::uint32_t to,
           const std::function<bool(Slot)>& wanted)
      : core_(core), old_(pack), context_(context), to_(to), wanted_(wanted) {}

  Result<RewrittenPack> run() {
    CACS_TRY(begin());
    for (std::uint32_t segment = 0; segment < old_.table.segments().size(); ++segment) CACS_TRY(copy(segment));
    return end();
  }

 private:
  Status begin() {
    PackHeader header{.sealing = core_.keys().sealing(),
                      .identity = core_.keys().identity(),
                      .key_generation = core_.keys().newest(),
                      .id = old_.id,
                      .generation = to_,
                      .salt = make_salt()};
    pack_->id = header.id;
    pack_->generation = header.generation;
    pack_->name = pack_name(header.id, header.generation);
    pack_->sealing = header.sealing;
    pack_->creator = old_.creator;
    pack_->context = encode_pack_header(header);
    CACS_ASSIGN(pack_->key, core_.keys().object_key(header.key_generation, "pack", header.salt));
    sealer_ = std::make_unique<Sealer>(header.sealing, pack_->key);
    // Replaces what an interrupted collection may have left under this name.
    CACS_ASSIGN(object_, core_.backend().create(pack_->name, Overwrite::kYes));
    return append(as_bytes(pack_->context));
  }

  Status append(std::span<const std::byte> bytes) {
    CACS_TRY(object_->append(bytes));
    end_ += bytes.size();
    return {};
  }

  Status copy(std::uint32_t segment) {
    const SegmentInfo& before = old_.table.segments()[segment];
    std::vector<ContentId> ids(before.slots);
    std::vector<std::uint32_t> lengths(before.slots);
    raw_.clear();
    bool any = false;
    bool all = true;
    for (std::uint32_t index = 0; index < before.slots; ++index) {
      const Slot slot = make_slot(segment, index);
      const auto place = old_.table.place(slot);
      if (!place || !wanted_(slot)) {
        all = false;
        continue;
      }
      if (!any) CACS_TRY(read_segment(core_.backend(), old_, segment, context_, bytes_));
      any = true;
      const auto content = std::span(bytes_).subspan(place->offset, place->length);
      if (context_.hasher(content) != place->id) {
        return corrupt(fmt::format("pack {}, slot {}:{} is damaged", old_.id.to_hex(), segment, index));
      }
      ids[index] = place->id;
      lengths[index] = place->length;
      raw_.insert(raw_.end(), content.begin(), content.end());
    }
    if (!any) {
      pack_->table.add({}, {}, {});
      return {};
    }
    return write(segment, before, all, ids, lengths);
  }

  Status write(std::uint32_t segment, const SegmentInfo& before, bool all, std::span<const ContentId> ids,
               std::span<const std::uint32_t> lengths) {
    std::vector<std::byte> packed;
    const Compression how{.codec = before.codec, .level = before.codec == Codec::kZstd ? 3 : 0};
    SegmentInfo info{.offset = end_,
                     .raw = static_cast<std::uint32_t>(raw_.size()),
                     .slots = before.slots,
                     .pages = before.pages && all};
    info.codec = context_.codec.compress(raw_, how, packed);
    std::vector<std::byte> sealed(packed.size() + kTagBytes);
    sealer_->seal(segment, as_bytes(segment_context(pack_->context, segment)), packed, sealed);
    info.stored = static_cast<std::uint32_t>(sealed.size());
    pack_->table.add(info, ids, info.pages ? std::span<const std::uint32_t>() : lengths);
    return append(sealed);
  }

  Result<RewrittenPack> end() {
    // Which slots are hooks is for the index alone to say: the old pack's that are still there.
    CACS_ASSIGN(const std::uint64_t size, core_.backend().size(old_.name));
    CACS_ASSIGN(const auto before, read_pack_hooks(core_.backend(), core_.keys(), old_.id, old_.generation, size));
    std::vector<std::uint64_t> there;
    pack_->table.for_each([&](Slot /*slot*/, const SlotPlace& place) { there.push_back(place.id.prefix()); });
    std::sort(there.begin(), there.end());
    RewrittenPack result;
    for (const std::uint64_t hook : before) {
      if (std::binary_search(there.begin(), there.end(), hook)) result.hooks.push_back(hook);
    }
    CACS_ASSIGN(result.size, finish_pack(*object_, *pack_, result.hooks, end_));
    result.pack = std::move(pack_);
    return result;
  }

  Core& core_;
  const OpenPack& old_;
  ReadContext& context_;
  std::uint32_t to_;
  const std::function<bool(Slot)>& wanted_;
  std::shared_ptr<OpenPack> pack_ = std::make_shared<OpenPack>();
  std::unique_ptr<Sealer> sealer_;
  std::unique_ptr<ObjectWriter> object_;
  std::uint64_t end_ = 0;
  std::vector<std::byte> bytes_;
  std::vector<std::byte> raw_;
};

}  // namespace

Result<RewrittenPack> rewrite_pack(Core& core, const OpenPack& pack, ReadContext& context, std::uint32_t to,
                                   const std::function<bool(Slot)>& wanted) {
  return Rewriter(core, pack, context, to, wanted).run().context(fmt::format("rewrite pack {}", pack.id.to_hex()));
}

}  // namespace cacs::repository
