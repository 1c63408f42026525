#include "repository/session_collection.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "repository/layout.h"

namespace cacs::repository {

namespace {

bool in_ranges(const std::vector<SlotRange>& ranges, Slot slot) {
  const auto after = std::upper_bound(ranges.begin(), ranges.end(), slot,
                                      [](Slot value, const SlotRange& range) { return value < range.first; });
  return after != ranges.begin() && slot - std::prev(after)->first < std::prev(after)->count;
}

Result<PackId> pack_id(const std::string& pack) {
  const auto id = PackId::from_hex(pack);
  if (!id) return corrupt("what collections have decided names a pack that is none: " + pack);
  return *id;
}

/// How an error met while roots are read becomes what Repository::collect says.
Error nothing_removed(const Error& error) {
  return error.with_hint("nothing was removed; remove what it names, then collect again");
}

}  // namespace

void RepositoryHooks::begin(const CollectOptions& options) {
  max_garbage_ = options.max_garbage;
  result_ = {};
  removed_bytes_ = 0;
  written_bytes_ = 0;
  packs_.clear();
  sizes_.clear();
  roots_.clear();
}

CollectResult RepositoryHooks::result() const {
  CollectResult result = result_;
  result.bytes_freed = removed_bytes_ - std::min(removed_bytes_, written_bytes_);
  return result;
}

Result<std::vector<std::string>> RepositoryHooks::list(const RootCatalogue& catalogue) {
  catalogue_ = catalogue;
  // Packs first: one that is listed belongs to a session whose register is there for the collector to read.
  CACS_TRY(core_.backend().list(std::string(kPackPrefix), [&](const ObjectInfo& object) -> Status {
    const auto name = parse_pack_name(object.name);
    if (!name || name->generation == 0) return {};
    packs_.push_back({.id = name->id, .generation = name->generation, .size = object.size});
    sizes_[object.name] = object.size;
    return {};
  }));
  if (const auto view = core_.sessions->view(); !view) return view.error();
  CACS_TRY(core_.store.refresh());
  std::vector<std::string> roots;
  for (const auto prefix : {kManifestPrefix, kPiecePrefix}) {
    // A root that was removed by somebody who died before that was durable would come back with a power loss:
    // Backend::remove() of a name that is not there makes earlier removals durable.
    const auto settled = core_.roots().remove(std::string(prefix) + "none");
    if (!settled && settled.error().code != ErrorCode::kNotFound) return settled.error();
    CACS_TRY(core_.roots().list(std::string(prefix), [&](const ObjectInfo& object) -> Status {
      roots.push_back(object.name);
      return {};
    }));
  }
  return roots;
}

Result<std::optional<RepositoryHooks::Root>> RepositoryHooks::load_root(const std::string& key) {
  const bool manifest = key.starts_with(kManifestPrefix);
  auto json =
      load_document(core_.roots(), manifest ? DocumentKind::kManifest : DocumentKind::kPiece, core_.keys(), key);
  if (!json && json.error().code == ErrorCode::kNotFound) return std::optional<Root>();
  if (!json) return json.error();
  const auto root = [&](const auto& document) -> Result<std::optional<Root>> {
    if (!document) return document.error();
    if (!document->origin) return corrupt("it names no session");
    return std::optional(
        Root{.origin = *document->origin, .entries = document->entries, .entry_count = document->entry_count});
  };
  return manifest ? root(manifest_from_json(*json)) : root(piece_from_json(*json));
}

Result<std::optional<RootOrigin>> RepositoryHooks::read_root(const std::string& key) {
  auto root = load_root(key);
  if (!root) return nothing_removed(root.error().with_context(key));
  if (!*root) return std::optional<RootOrigin>();
  const RootOrigin origin = (*root)->origin;
  roots_.insert_or_assign(key, **root);
  return std::optional(origin);
}

Result<MarkResult> RepositoryHooks::mark(const std::vector<std::string>& roots,
                                         const std::vector<CondemnedPack>& condemned) {
  Reach reach(core_);
  for (const auto& key : roots) {
    const Root& root = roots_.at(key);
    if (const auto marked = reach.mark(root.entries, root.entry_count); !marked) {
      return nothing_removed(marked.error().with_context(key));
    }
  }
  MarkResult result;
  for (const auto& entry : condemned) {
    CACS_ASSIGN(const PackId id, pack_id(entry.pack));
    const std::uint32_t number = core_.store.catalog().number_of(id);
    bool used = entry.slots.empty() && reach.is_needed(number);
    for (const SlotRange& range : entry.slots) {
      for (std::uint32_t i = 0; i < range.count && !used; ++i) used = reach.is_live(number, range.first + i);
    }
    if (used) result.referenced.push_back(entry.pack);
  }
  for (const Listed& listed : packs_) {
    result.objects.push_back({listed.id.to_hex(), listed.generation - 1U});
    const bool current = listed.generation == object_generation(pack_generation(catalogue_, listed.id.to_hex()));
    if (current) CACS_TRY(report(listed, reach, result.reports));
  }
  return result;
}

Status RepositoryHooks::report(const Listed& listed, const Reach& reach, std::vector<PackReport>& reports) {
  const std::uint32_t number = core_.store.catalog().number_of(listed.id);
  return reach.is_needed(number) ? report_part(listed, reach, reports) : report_dead(listed, reports);
}

/// A pack that nothing refers to. One that a newer version has written is not ours to judge.
Status RepositoryHooks::report_dead(const Listed& listed, std::vector<PackReport>& reports) {
  const auto pack = open_pack(core_.backend(), core_.keys(), listed.id, listed.generation, listed.size);
  if (!pack) {
    if (pack.error().code == ErrorCode::kNotFound || pack.error().code == ErrorCode::kUnsupported) return {};
    if (pack.error().code != ErrorCode::kCorrupt) return pack.error();
    spdlog::warn("collection condemns a damaged pack that nothing needs: {}", pack.error().to_string());
  }
  reports.push_back({listed.id.to_hex(), pack ? (*pack)->creator : SessionId{}, true, {}});
  return {};
}

Status RepositoryHooks::report_part(const Listed& listed, const Reach& reach, std::vector<PackReport>& reports) {
  const std::uint32_t number = core_.store.catalog().number_of(listed.id);
  CACS_ASSIGN(const auto pack, core_.store.open(number));
  if (pack->generation != listed.generation) return {};
  std::uint64_t live = 0;
  std::uint64_t all = 0;
  std::vector<SlotRange> dead;
  pack->table.for_each([&](Slot slot, const SlotPlace& place) {
    all += place.length;
    if (reach.is_live(number, slot)) {
      live += place.length;
    } else if (!dead.empty() && dead.back().first + dead.back().count == slot) {
      ++dead.back().count;
    } else {
      dead.push_back({slot, 1});
    }
  });
  if (live == all) return {};
  const double garbage = static_cast<double>(all - live) / static_cast<double>(all);
  if (garbage > max_garbage_) {
    reports.push_back({listed.id.to_hex(), pack->creator, false, std::move(dead)});
  } else {
    result_.bytes_garbage += static_cast<std::uint64_t>(static_cast<double>(listed.size) * garbage);
  }
  return {};
}

Status RepositoryHooks::remove_pack(const std::string& pack, std::uint64_t generation) {
  CACS_ASSIGN(const PackId id, pack_id(pack));
  const std::string name = pack_name(id, object_generation(generation));
  auto removed = core_.backend().remove(name);
  if (!removed && removed.error().code != ErrorCode::kNotFound) return removed;
  const std::uint32_t number = core_.store.catalog().number_of(id);
  if (core_.store.catalog().pack(number).generation == object_generation(generation)) core_.store.forget(number);
  if (const auto size = sizes_.find(name); removed && size != sizes_.end()) {
    ++result_.packs_removed;
    removed_bytes_ += size->second;
  }
  return {};
}

Status RepositoryHooks::rewrite_pack(const std::string& pack, std::uint64_t from, std::uint64_t to,
                                     const std::vector<SlotRange>& without) {
  CACS_ASSIGN(const PackId id, pack_id(pack));
  const std::string name = pack_name(id, object_generation(from));
  if (to >= kMaxSessionGeneration)
    return make_error(ErrorCode::kTooLarge, "pack " + pack + " has too many generations");
  CACS_ASSIGN(const std::uint64_t size, core_.backend().size(name));
  CACS_ASSIGN(const auto old, open_pack(core_.backend(), core_.keys(), id, object_generation(from), size));
  if (!rewriter_) rewriter_.emplace(core_);
  auto rewritten =
      rewriter_->rewrite(*old, object_generation(to), [&](Slot slot) { return !in_ranges(without, slot); });
  if (!rewritten) {
    if (rewritten.error().code == ErrorCode::kCorrupt) result_.problems.push_back(rewritten.error());
    return rewritten.error();
  }
  ++result_.packs_written;
  written_bytes_ += rewritten->size;
  return {};
}

Result<CollectResult> collect_sessions(Core& core, const CollectOptions& options) {
  const std::lock_guard lock(core.collector_mutex);
  if (!core.collector) core.collector = std::make_unique<SessionCollector>(core);
  RepositoryHooks& hooks = core.collector->hooks;
  hooks.begin(options);
  const auto report = core.collector->driver.run();
  hooks.end();
  // Of packs that are gone; by name, for a listing may be late.
  for (const PackId& id : core.store.quarantine_list().packs()) {
    const auto there = core.sessions->locate(id, true);
    if (!there && there.error().code == ErrorCode::kNotFound) CACS_TRY(core.store.quarantine_list().drop(id));
  }
  if (!report) return report.error();
  CollectResult result = hooks.result();
  result.packs_condemned = report->condemned;
  return result;
}

}  // namespace cacs::repository
