#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "cli/exit_codes.h"
#include "cli/format.h"
#include "cli/progress.h"
#include "repository/levels/level_copier.h"
#include "repository/levels/open_place.h"
#include "tools/repo_actions.h"

// cacs repo copy: a second repository with some checkpoints of a first one, sealed as they are.
namespace cacs::tools {

using repository::Backend;
using repository::GateMode;
using repository::LevelCopier;
using repository::Location;
using repository::Repository;

namespace {

/// The ids to copy, oldest first: an interrupted copy has what the later ones build upon.
Result<std::vector<std::string>> chosen(Repository& from, const std::vector<std::string>& names) {
  CACS_ASSIGN(auto list, from.list_brief());
  std::ranges::sort(list, {}, [](const auto& item) { return item.created_at; });
  std::vector<std::string> ids;
  std::vector<JsonObject> items;
  for (const auto& item : list) {
    ids.push_back(item.checkpoint);
    items.push_back({{"id", item.checkpoint}});
  }
  if (names.empty()) return ids;
  ids.clear();
  for (const auto& name : names) {
    CACS_ASSIGN(std::string id, cli::pick_item(items, name, "checkpoint"));
    ids.push_back(std::move(id));
  }
  return ids;
}

/// Where it goes; of a directory together with what keeps its collections away meanwhile.
struct Target {
  std::unique_ptr<Backend> store;
  std::unique_ptr<repository::Gate> gate;
  std::unique_ptr<repository::GatePass> pass;
};

Result<Target> open_target(const cli::Context& context, const CopyOptions& options, const FoundPlace& from) {
  PlaceOptions named = options.place;
  named.location = options.to;
  CACS_ASSIGN(const FoundPlace to, named_place(context, named));
  if (to.describe() == from.describe()) {
    return make_error(ErrorCode::kInvalidArgument, "copy: source and target are the same place",
                      "name another one with --to");
  }
  repository::PlaceOptions how;
  if (!options.rate.empty()) {
    auto rate = parse_size(options.rate);
    if (!rate) return rate.error().with_context("--rate");
    how.upload_rate = *rate;
  }
  Target target;
  CACS_ASSIGN(target.store, open_store(to.location, how));
  if (to.location.kind == Location::Kind::kDirectory) {
    target.gate = repository::make_file_gate(to.directory);
    CACS_ASSIGN(target.pass, target.gate->enter(GateMode::kShared, repository::GateWait::kBlock));
  }
  return target;
}

}  // namespace

Result<int> run_repo_copy(cli::Context& context, const CopyOptions& options) {
  CACS_ASSIGN(const FoundPlace place, find_place(context, options.place));
  CACS_ASSIGN(const auto from, open_found(context, options.place, place));
  if (from->has_sessions()) {
    return make_error(ErrorCode::kUnsupported, "copy: " + place.describe() + " is written to by several machines",
                      "`cacs checkpoint export` and `import` take single checkpoints to another repository");
  }
  CACS_ASSIGN(const auto ids, chosen(*from, options.checkpoints));
  CACS_ASSIGN(const Target target, open_target(context, options, place));
  LevelCopier copier(*from, *target.store);
  CACS_TRY(copier.prepare().context("copy"));
  cli::ProgressBar bar(context.terminal());
  repository::CopyResult sum;
  JsonArray problems;
  std::size_t copied = 0;
  for (const auto& id : ids) {
    const auto label = fmt::format("checkpoint {} of {}", copied + problems.size() + 1, ids.size());
    const auto result = copier.copy(id, {.stop = {}, .progress = [&](const repository::CopyProgress& progress) {
                                           bar.update(label, progress.bytes_done, progress.bytes_total, std::nullopt);
                                         }});
    if (!result) {
      // Damage here is that checkpoint's alone, and one may have been removed meanwhile; all else is every one's.
      const auto code = result.error().code;
      if (code == ErrorCode::kNotFound && options.checkpoints.empty()) continue;
      if (code != ErrorCode::kCorrupt && code != ErrorCode::kNotFound) return result.error();
      bar.clear();
      context.terminal().remark(printable(result.error().message, 1000));
      problems.push_back(error_to_json(result.error()));
      continue;
    }
    ++copied;
    sum.packs_copied += result->packs_copied;
    sum.bytes_copied += result->bytes_copied;
  }
  bar.clear();
  const bool whole = problems.empty();
  if (context.json()) {
    context.print_raw(boost::json::serialize(JsonObject{{"checkpoints", copied},
                                                        {"packs_copied", sum.packs_copied},
                                                        {"bytes_copied", sum.bytes_copied},
                                                        {"problems", std::move(problems)}}));
  } else {
    context.terminal().out(fmt::format("{} checkpoints are in {}: {} packs, {} copied\n", copied,
                                       printable(options.to, 4096), sum.packs_copied, format_size(sum.bytes_copied)));
  }
  return whole ? cli::kExitOk : cli::kExitFailure;
}

}  // namespace cacs::tools
