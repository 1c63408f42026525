#include "repository/reach.h"

#include <fmt/format.h>

#include "repository/blob_reader.h"
#include "repository/layout.h"

namespace cacs::repository {

Reach::Reach(Core& core) : core_(core) {
  for (const auto& pack : core.chunks.packs()) marks_of(pack);
}

Reach::Marks& Reach::marks_of(const std::shared_ptr<const Pack>& pack) {
  Marks& marks = marks_[pack.get()];
  if (!marks.pack) marks = {.pack = pack, .flags = std::vector<std::uint8_t>(pack->entries.size())};
  return marks;
}

std::uint8_t* Reach::flags(const Digest& digest) {
  // During a check, writers of other processes may have added packs since.
  auto location = core_.chunks.find(digest);
  if (!location && core_.chunks.refresh().ok()) location = core_.chunks.find(digest);
  return location ? &marks_of(location->pack).flags[location->slot] : nullptr;
}

Status Reach::mark_chunk(const Digest& digest) {
  std::uint8_t* flag = flags(digest);
  if (flag == nullptr) return corrupt(fmt::format("chunk {} is in no pack that can be read", digest.to_hex()));
  *flag |= kLive;
  return {};
}

Status Reach::mark_blob(const BlobRef& blob) {
  return walk_blob(core_.chunks, codec_, blob,
                   {.enter =
                        [&](const Digest& node) {
                          std::uint8_t* flag = flags(node);
                          if (flag == nullptr) return true;  // reading it will say that it is missing
                          const bool walked = (*flag & kWalked) != 0;
                          *flag |= kLive | kWalked;
                          return !walked;
                        },
                    .leaf = [&](const NodeEntry& chunk) { return mark_chunk(chunk.digest); }});
}

Status Reach::mark(const BlobRef& entries, std::uint64_t count) {
  CACS_TRY(mark_blob(entries).context("its list of entries"));
  auto list = load_entries(core_, entries, count);
  if (!list) return list.error().with_context("its list of entries");
  for (const auto& entry : *list) CACS_TRY(mark_blob(entry.blob).context("entry " + entry.name));
  return {};
}

bool Reach::is_live(const Pack& pack, std::size_t slot) const {
  const auto found = marks_.find(&pack);
  // A pack that has come up since the marking began belongs to somebody.
  return found == marks_.end() || (found->second.flags[slot] & kLive) != 0;
}

std::uint64_t Reach::live_bytes(const Pack& pack) const {
  std::uint64_t bytes = 0;
  for (std::size_t slot = 0; slot < pack.entries.size(); ++slot) {
    if (is_live(pack, slot)) bytes += pack.entries[slot].stored;
  }
  return bytes;
}

Status mark_all(Core& core, Reach& reach, const std::function<Status(const Error&)>& problem) {
  CACS_ASSIGN(const auto checkpoints, list_ids(*core.storage, kManifestDirectory, kManifestSuffix));
  for (const auto& id : checkpoints) {
    auto document = load_manifest_document(*core.storage, id);
    if (!document && document.error().code == ErrorCode::kNotFound) continue;  // removed since
    const Status status = document ? reach.mark(document->entries, document->entry_count) : Status(document.error());
    if (!status) CACS_TRY(problem(status.error().with_context("checkpoint " + id)));
  }
  CACS_ASSIGN(const auto pieces, list_ids(*core.storage, kPieceDirectory, kPieceSuffix));
  for (const auto& id : pieces) {
    auto document = load_piece_document(*core.storage, id);
    if (!document && document.error().code == ErrorCode::kNotFound) continue;
    const Status status = document ? reach.mark(document->entries, document->entry_count) : Status(document.error());
    if (!status) CACS_TRY(problem(status.error().with_context("piece " + id)));
  }
  return {};
}

}  // namespace cacs::repository
