#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "base/log.h"
#include "repository/core.h"
#include "repository/hold.h"
#include "repository/layout.h"
#include "repository/pack_file.h"
#include "repository/pack_rewriter.h"
#include "repository/reach.h"
#include "repository/repository.h"
#include "repository/session_collection.h"

namespace cacs::repository {

namespace {

/// One collection. The order of its steps, and what an interruption leaves, is a table in docs/repository-format.md.
class Collection {
 public:
  Collection(Core& core, const CollectOptions& options) : core_(core), options_(options), reach_(core) {}

  Result<CollectResult> run() {
    CACS_TRY(mark_all(core_, reach_, [](const Error& error) -> Status {
      return error.with_hint("nothing was removed; remove what it names, then collect again");
    }));
    CACS_TRY(settle_removals());
    CACS_TRY(remove_superseded());
    for (const std::uint32_t number : core_.store.catalog().present()) {
      CACS_TRY(reach_.is_needed(number) ? rewrite_if_worth_it(number) : remove_pack(number));
    }
    core_.store.catalog().drop_stale_hooks();
    CACS_TRY(remove_quarantines());
    return std::move(result_);
  }

 private:
  /// A manifest or piece that was not listed may have been removed by somebody who died, or failed, before that was
  /// durable: it would come back with a power loss, and what it names would be gone. Backend::remove() of a name that
  /// is not there makes earlier removals durable.
  Status settle_removals() {
    for (const auto prefix : {kManifestPrefix, kPiecePrefix}) {
      auto settled = core_.backend().remove(std::string(prefix) + "none");
      if (!settled && settled.error().code != ErrorCode::kNotFound) return settled;
    }
    return {};
  }

  /// Generations that a later one has replaced, in a collection that was interrupted.
  Status remove_superseded() {
    std::vector<std::pair<std::string, std::uint64_t>> superseded;
    CACS_TRY(core_.backend().list(std::string(kPackPrefix), [&](const ObjectInfo& object) -> Status {
      const auto name = parse_pack_name(object.name);
      if (!name) return {};
      const auto known = core_.store.catalog().pack(core_.store.catalog().number_of(name->id));
      if (name->generation < known.generation) superseded.emplace_back(object.name, object.size);
      return {};
    }));
    for (const auto& [name, size] : superseded) CACS_TRY(remove_object(name, size));
    return {};
  }

  Status remove_object(const std::string& name, std::uint64_t size) {
    auto status = core_.backend().remove(name);
    if (!status && status.error().code != ErrorCode::kNotFound) return status;
    ++result_.packs_removed;
    result_.bytes_freed += size;
    return {};
  }

  /// Everything that is reached was found in other packs. One that a newer version has written is not ours to judge.
  Status remove_pack(std::uint32_t number) {
    const auto pack = core_.store.catalog().pack(number);
    // Read and not kept: the index of a large repository takes more memory than all that a collection needs.
    const auto hooks = read_pack_hooks(core_.backend(), core_.keys(), pack.id, pack.generation, pack.size);
    if (!hooks) {
      const ErrorCode code = hooks.error().code;
      if (code == ErrorCode::kUnsupported) return {};
      if (code != ErrorCode::kCorrupt && code != ErrorCode::kNotFound) return hooks.error();
      if (code == ErrorCode::kCorrupt) {
        spdlog::warn("collection removes a damaged pack that nothing needs: {}", hooks.error().to_string());
      }
    }
    CACS_TRY(remove_object(pack_name(pack.id, pack.generation), pack.size));
    core_.store.forget(number);
    return {};
  }

  Status rewrite_if_worth_it(std::uint32_t number) {
    CACS_ASSIGN(const auto pack, core_.store.open(number));
    std::uint64_t live = 0;
    std::uint64_t all = 0;
    pack->table.for_each([&](Slot slot, const SlotPlace& place) {
      all += place.length;
      if (reach_.is_live(number, slot)) live += place.length;
    });
    const std::uint64_t size = core_.store.catalog().pack(number).size;
    const double garbage = static_cast<double>(all - live) / static_cast<double>(all);
    const auto garbage_bytes = static_cast<std::uint64_t>(static_cast<double>(size) * garbage);
    if (live == all) return {};
    if (garbage <= options_.max_garbage) {
      result_.bytes_garbage += garbage_bytes;
      return {};
    }
    if (!rewriter_) rewriter_.emplace(core_);
    auto rewritten =
        rewriter_->rewrite(*pack, pack->generation + 1, [&](Slot slot) { return reach_.is_live(number, slot); });
    if (!rewritten && rewritten.error().code == ErrorCode::kCorrupt) {
      result_.problems.push_back(rewritten.error());  // the pack stays as it is
      result_.bytes_garbage += garbage_bytes;
      return {};
    }
    if (!rewritten) return rewritten.error();
    ++result_.packs_written;
    CACS_TRY(remove_object(pack->name, size));
    result_.bytes_freed -= std::min(result_.bytes_freed, rewritten->size);
    core_.store.add(rewritten->pack, rewritten->size, rewritten->hooks);
    return {};
  }

  /// Those of packs that are gone (their packs' removal is durable), and those that cannot be read.
  Status remove_quarantines() {
    for (const PackId& id : core_.store.quarantine_list().packs()) {
      const auto number = core_.store.catalog().number_of(id);
      if (core_.store.catalog().pack(number).generation == 0) CACS_TRY(core_.store.quarantine_list().drop(id));
    }
    // What stood in these is found again; as they are, they are of no use to anybody.
    for (const PackId& id : core_.store.quarantine_list().unreadable()) {
      CACS_TRY(core_.store.quarantine_list().drop(id));
    }
    return {};
  }

  Core& core_;
  const CollectOptions& options_;
  Reach reach_;
  std::optional<PackRewriter> rewriter_;  ///< once there is something to write
  CollectResult result_;
};

}  // namespace

Result<CollectResult> Repository::collect(const CollectOptions& options) {
  if (core_->sessions) return collect_sessions(*core_, options);
  const std::string doing = "collect garbage in " + core_->backend().describe();
  auto pass = core_->place.gate->enter(GateMode::kExclusive, options.wait, options.stop);
  if (!pass) return pass.error().with_context(doing);
  CACS_TRY(core_->store.refresh().context(doing));
  CollectOptions allowed = options;
  const auto copy = core_->backend().size(std::string(kCopyName));
  if (!copy && copy.error().code != ErrorCode::kNotFound) return copy.error().with_context(doing);
  if (copy) allowed.max_garbage = 1;  // whole packs only
  return Collection(*core_, allowed).run().context(doing);
}

namespace {

/// Reads every slot of a pack. What is damaged is a problem, and goes into quarantine.
Status check_pack(Core& core, std::uint32_t number, CheckResult& result) {
  const auto pack = core.store.open(number);
  if (!pack) {
    result.problems.push_back(pack.error());
    return {};
  }
  ReadContext context(core.keys());
  std::vector<std::byte> bytes;
  bool damaged = false;
  for (std::uint32_t segment = 0; segment < (*pack)->table.segments().size(); ++segment) {
    const auto& info = (*pack)->table.segments()[segment];
    if (info.slots == 0) continue;
    const auto status = read_segment(core.backend(), **pack, segment, context, bytes);
    if (!status) {
      result.problems.push_back(status.error());
      damaged = true;
      continue;
    }
    for (std::uint32_t index = 0; index < info.slots; ++index) {
      const auto place = (*pack)->table.place(make_slot(segment, index));
      if (!place) continue;
      ++result.slots_read;
      if (context.hasher(std::span(bytes).subspan(place->offset, place->length)) == place->id) continue;
      result.problems.push_back(corrupt(fmt::format("pack {}, slot {}:{}: the content is not what its id says",
                                                    (*pack)->id.to_hex(), segment, index)));
      damaged = true;
    }
  }
  if (!damaged) return {};
  if (const auto put = core.store.quarantine(number); !put) result.problems.push_back(put.error());
  return {};
}

}  // namespace

Result<CheckResult> Repository::check(bool read_data) {
  const std::string doing = "check the repository in " + core_->backend().describe();
  // Keeps the collector, not writers, away while we look.
  const auto hold = hold_for_reading(*core_);
  if (!hold) return hold.error().with_context(doing);
  CACS_TRY(core_->store.catalog().load_hooks().context(doing));
  CheckResult result;
  for (const auto& [id, error] : core_->store.catalog().damaged()) result.problems.push_back(error);
  Reach reach(*core_);
  CACS_TRY(mark_all(*core_, reach, [&](const Error& error) -> Status {
             result.problems.push_back(error);
             return {};
           }).context(doing));
  if (!read_data) return result;
  for (const std::uint32_t number : core_->store.catalog().present()) {
    CACS_TRY(check_pack(*core_, number, result).context(doing));
  }
  return result;
}

}  // namespace cacs::repository
