#include "repository/reach.h"

#include <fmt/format.h>

#include <algorithm>

namespace cacs::repository {

Status Reach::mark_slot(const Ref& ref) {
  if (is_live(ref.pack, ref.slot)) return {};
  CACS_TRY(core_.store.place(ref));
  marks_[ref.pack].add(ref.slot);
  return {};
}

Result<bool> Reach::enter_node(const Ref& ref) {
  CACS_TRY(mark_slot(ref));
  if (!entered_[ref.pack].add(ref.slot)) return false;
  entered_now_.push_back(ref);
  return true;
}

Status Reach::mark_blob(const BlobRef& blob) {
  return walk_blob(core_.store, context_, blob,
                   {.enter = [&](const Ref& node) { return enter_node(node); },
                    .leaf = [&](const Ref& chunk) { return mark_slot(chunk); }});
}

Status Reach::mark(const BlobRef& entries, std::uint64_t count) {
  entered_now_.clear();
  Status status = mark_entries(entries, count);
  if (status) return {};
  // Whoever else shares what is broken is to be told so too: nothing of this one counts as seen through.
  for (const Ref& node : entered_now_) entered_[node.pack].remove(node.slot);
  return status;
}

Status Reach::mark_entries(const BlobRef& entries, std::uint64_t count) {
  CACS_TRY(mark_blob(entries).context("its list of entries"));
  auto list = load_entries(core_, entries, count);
  if (!list) return list.error().with_context("its list of entries");
  for (const auto& entry : *list) CACS_TRY(mark_blob(entry.blob).context("entry " + entry.name));
  return {};
}

bool Reach::is_live(std::uint32_t pack, Slot slot) const {
  const auto found = marks_.find(pack);
  return found != marks_.end() && found->second.contains(slot);
}

std::vector<std::uint32_t> Reach::needed() const {
  std::vector<std::uint32_t> numbers;
  for (const auto& [number, slots] : marks_) numbers.push_back(number);
  const auto id = [&](std::uint32_t number) { return core_.store.catalog().id_of(number); };
  std::sort(numbers.begin(), numbers.end(), [&](auto one, auto other) { return id(one) < id(other); });
  return numbers;
}

bool Reach::is_covered(std::uint32_t pack, const PackTable& table) const {
  const auto found = marks_.find(pack);
  return found == marks_.end() || found->second.all_of([&](Slot slot) { return table.place(slot).has_value(); });
}

Status mark_all(Core& core, Reach& reach, const std::function<Status(const Error&)>& problem) {
  CACS_TRY(for_each_manifest(core, [&](const ListedManifest& manifest) -> Status {
    if (!manifest.document) return problem(manifest.document.error().with_context("manifest " + manifest.name));
    const auto status = reach.mark(manifest.document->entries, manifest.document->entry_count);
    if (status) return {};
    return problem(status.error().with_context("checkpoint " + manifest.document->head.checkpoint));
  }));
  CACS_ASSIGN(const auto pieces, list_pieces(core));
  for (const auto& id : pieces) {
    auto document = load_piece_document(core, id);
    if (!document && document.error().code == ErrorCode::kNotFound) continue;  // committed or dropped since
    const Status status = document ? reach.mark(document->entries, document->entry_count) : Status(document.error());
    if (!status) CACS_TRY(problem(status.error().with_context("piece " + id)));
  }
  return {};
}

}  // namespace cacs::repository
