#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/text.h"
#include "inspect/diff.h"
#include "tools/checkpoint_commands.h"
#include "tools/checkpoint_options.h"

// `cacs checkpoint diff`.
namespace cacs::tools {

namespace {

using inspect::Change;
using inspect::ChangeKind;

struct DiffOptions {
  PlaceOptions place;
  std::string before;
  std::string after;
  std::string path;
  bool totals = false;
};

struct Totals {
  std::uint64_t added = 0;
  std::uint64_t removed = 0;
  std::uint64_t changed = 0;
  std::uint64_t bytes_added = 0;
  std::uint64_t bytes_removed = 0;
  std::uint64_t regions = 0;
  std::uint64_t pages = 0;

  void add(const Change& change) {
    if (change.memory) {
      ++regions;
      pages += change.pages;
      return;
    }
    ++(change.kind == ChangeKind::kAdded ? added : change.kind == ChangeKind::kRemoved ? removed : changed);
    bytes_added += change.bytes_added;
    bytes_removed += change.bytes_removed;
  }
  [[nodiscard]] JsonObject json() const {
    return {{"files_added", added},
            {"files_removed", removed},
            {"files_changed", changed},
            {"bytes_added", bytes_added},
            {"bytes_removed", bytes_removed},
            {"regions", regions},
            {"pages", pages},
            {"memory_bytes", pages * repository::kPageBytes}};
  }
  [[nodiscard]] std::string text() const {
    return fmt::format("files: {} added, {} removed, {} changed (+{} -{})\nmemory: {} in {} regions ({} pages)\n",
                       added, removed, changed, format_size(bytes_added), format_size(bytes_removed),
                       format_size(pages * repository::kPageBytes), regions, pages);
  }
};

JsonObject json_of(const Change& change) {
  JsonObject object{{"path", printable(change.path, delta::kMaxPathBytes)},
                    {"change", inspect::change_kind_name(change.kind)},
                    {"attributes", change.attributes},
                    {"bytes_added", change.bytes_added},
                    {"bytes_removed", change.bytes_removed},
                    {"exact", change.exact}};
  if (change.memory) {
    object["pages"] = change.pages;
    object["pages_total"] = change.pages_total;
  }
  return object;
}

std::string line_of(const Change& change) {
  const char letter = change.kind == ChangeKind::kAdded ? 'A' : change.kind == ChangeKind::kRemoved ? 'D' : 'M';
  std::string line = fmt::format("{} {}", letter, printable(change.path, delta::kMaxPathBytes));
  if (change.memory) {
    line += fmt::format("  {} of {} pages", change.pages, change.pages_total);
  } else if (change.bytes_added > 0 || change.bytes_removed > 0) {
    line += fmt::format("  {}+{} -{}", change.exact ? "" : "at most ", format_size(change.bytes_added),
                        format_size(change.bytes_removed));
  }
  if (change.kind == ChangeKind::kChanged && change.attributes)
    line += change.memory ? "  (mapping)" : "  (attributes)";
  return line + '\n';
}

Result<int> run_diff(cli::Context& context, const DiffOptions& options) {
  CACS_ASSIGN(const auto repository, open_repository_of(context, options.place));
  CACS_ASSIGN(const std::string before, find_checkpoint(*repository, options.before));
  CACS_ASSIGN(const std::string after, find_checkpoint(*repository, options.after));
  CACS_ASSIGN(const auto one, inspect::CheckpointTree::open(*repository, before));
  CACS_ASSIGN(const auto other, inspect::CheckpointTree::open(*repository, after));
  const bool json = context.json();
  Totals totals;
  bool first = true;
  if (json) {
    context.terminal().out(
        fmt::format(R"({{"before":"{}","after":"{}",{})", before, after, options.totals ? "" : R"("changes":[)"));
  }
  CACS_TRY(inspect::diff_trees(*repository, *one, *other, options.path, [&](const Change& change) -> Status {
             totals.add(change);
             if (options.totals) return {};
             context.terminal().out(json ? (first ? "" : ",\n") + boost::json::serialize(json_of(change))
                                         : line_of(change));
             first = false;
             return {};
           }).context("compare " + before + " with " + after));
  if (json) {
    context.terminal().out((options.totals ? "" : "],") + std::string("\"totals\":") +
                           boost::json::serialize(totals.json()) + "}\n");
  } else if (options.totals) {
    context.terminal().out(totals.text());
  }
  return 0;
}

}  // namespace

cli::CommandSpec make_checkpoint_diff() {
  auto options = std::make_shared<DiffOptions>();
  return {.name = "checkpoint diff",
          .group = "Subcommands",
          .summary = "show what differs between two checkpoints: files by bytes, memory by pages",
          .example = "cacs checkpoint diff 019ab3d4 lj-melt:latest --stat",
          .notes =
              "A was added, D is gone, M has changed. What the two share is not read, so that comparing costs what "
              "differs. Bytes of files are those of chunks (4 to 64 KiB) that only one of the two has; pages of "
              "memory are 4096 bytes.",
          .setup =
              [options](CLI::App& app) {
                add_place_options(app, options->place);
                app.add_option("A", options->before, "id, unique beginning of an id, or APP:latest")->required();
                app.add_option("B", options->after, "the same: what A is compared with")->required();
                app.add_option("PATH", options->path, "only what is there, as ls-files shows it");
                app.add_flag("--stat", options->totals, "totals only");
              },
          .run = [options](cli::Context& context) { return run_diff(context, *options); }};
}

}  // namespace cacs::tools
