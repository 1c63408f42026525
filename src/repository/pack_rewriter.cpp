#include "repository/pack_rewriter.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/io.h"
#include "repository/layout.h"

namespace cacs::repository {

namespace {

/// A worker has so many segments in hand at a time.
constexpr std::size_t kSegmentsAWorker = 2;

/// What becomes of one segment. Its vectors are used again for the next one.
struct Copied {
  Status status;
  bool any = false;  ///< a slot is wanted
  SegmentInfo info;
  std::vector<ContentId> ids;
  std::vector<std::uint32_t> lengths;
  std::vector<std::byte> before;  ///< as it is stored
  std::vector<std::byte> bytes;   ///< the same, opened
  std::vector<std::byte> raw;     ///< of the slots that are wanted
  std::vector<std::byte> packed;
  std::vector<std::byte> sealed;
};

class Rewriting {
 public:
  Rewriting(Core& core, const OpenPack& pack, std::uint32_t to, const std::function<bool(Slot)>& wanted)
      : core_(core), old_(pack), to_(to), wanted_(wanted) {}

  Result<RewrittenPack> run(WorkPool& pool, std::vector<ReadContext>& contexts) {
    CACS_TRY(begin(pool.workers()));
    std::vector<Copied> batch(kSegmentsAWorker * pool.workers());
    const std::size_t segments = old_.table.segments().size();
    for (std::size_t first = 0; first < segments; first += batch.size()) {
      const std::size_t count = std::min(batch.size(), segments - first);
      for (std::size_t index = 0; index < count; ++index) {
        CACS_TRY(load(static_cast<std::uint32_t>(first + index), batch[index]));
      }
      pool.run(count, [&](std::size_t index, std::size_t worker) {
        Copied& copied = batch[index];
        copied.status = copy(static_cast<std::uint32_t>(first + index), copied, contexts[worker], sealers_[worker]);
      });
      for (std::size_t index = 0; index < count; ++index) CACS_TRY(write(batch[index]));
    }
    return end();
  }

 private:
  Status begin(std::size_t workers) {
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
    for (std::size_t worker = 0; worker < workers; ++worker) sealers_.emplace_back(header.sealing, pack_->key);
    // Replaces what an interrupted collection may have left under this name.
    CACS_ASSIGN(object_, core_.backend().create(pack_->name, Overwrite::kYes));
    return append(as_bytes(pack_->context));
  }

  Status append(std::span<const std::byte> bytes) {
    CACS_TRY(object_->append(bytes));
    end_ += bytes.size();
    return {};
  }

  Status load(std::uint32_t segment, Copied& copied) const {
    copied.any = false;
    for (std::uint32_t index = 0; index < old_.table.segments()[segment].slots && !copied.any; ++index) {
      const Slot slot = make_slot(segment, index);
      copied.any = old_.table.place(slot).has_value() && wanted_(slot);
    }
    return copied.any ? load_segment(core_.backend(), old_, segment, copied.before) : ok_status();
  }

  /// On a worker.
  Status copy(std::uint32_t segment, Copied& copied, ReadContext& context, Sealer& sealer) const {
    if (!copied.any) return {};
    const SegmentInfo& before = old_.table.segments()[segment];
    CACS_TRY(open_segment(old_, segment, copied.before, context, copied.bytes));
    copied.ids.assign(before.slots, {});
    copied.lengths.assign(before.slots, 0);
    copied.raw.clear();
    bool all = true;
    for (std::uint32_t index = 0; index < before.slots; ++index) {
      const Slot slot = make_slot(segment, index);
      const auto place = old_.table.place(slot);
      if (!place || !wanted_(slot)) {
        all = false;
        continue;
      }
      const auto content = std::span(copied.bytes).subspan(place->offset, place->length);
      if (context.hasher(content) != place->id) {
        return corrupt(fmt::format("pack {}, slot {}:{} is damaged", old_.id.to_hex(), segment, index));
      }
      copied.ids[index] = place->id;
      copied.lengths[index] = place->length;
      copied.raw.insert(copied.raw.end(), content.begin(), content.end());
    }
    copied.info = {
        .raw = static_cast<std::uint32_t>(copied.raw.size()), .slots = before.slots, .pages = before.pages && all};
    copied.packed.clear();
    const Compression how{.codec = before.codec, .level = before.codec == Codec::kZstd ? 1 : 0};
    copied.info.codec = context.codec.compress(copied.raw, how, copied.packed);
    copied.sealed.resize(copied.packed.size() + kTagBytes);
    sealer.seal(segment, as_bytes(segment_context(pack_->context, segment)), copied.packed, copied.sealed);
    return {};
  }

  /// In the order of the segments.
  Status write(Copied& copied) {
    CACS_TRY(copied.status);
    if (!copied.any) {
      pack_->table.add({}, {}, {});
      return {};
    }
    copied.info.offset = end_;
    copied.info.stored = static_cast<std::uint32_t>(copied.sealed.size());
    pack_->table.add(copied.info, copied.ids,
                     copied.info.pages ? std::span<const std::uint32_t>() : std::span(copied.lengths));
    return append(copied.sealed);
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
  std::uint32_t to_;
  const std::function<bool(Slot)>& wanted_;
  std::shared_ptr<OpenPack> pack_ = std::make_shared<OpenPack>();
  std::vector<Sealer> sealers_;  ///< one a worker
  std::unique_ptr<ObjectWriter> object_;
  std::uint64_t end_ = 0;
};

}  // namespace

PackRewriter::PackRewriter(Core& core) : core_(core) {
  for (std::size_t worker = 0; worker < pool_.workers(); ++worker) contexts_.emplace_back(core.keys());
}

Result<RewrittenPack> PackRewriter::rewrite(const OpenPack& pack, std::uint32_t to,
                                            const std::function<bool(Slot)>& wanted) {
  return Rewriting(core_, pack, to, wanted)
      .run(pool_, contexts_)
      .context(fmt::format("rewrite pack {}", pack.id.to_hex()));
}

}  // namespace cacs::repository
