#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/text.h"
#include "base/time.h"
#include "inspect/tree.h"
#include "tools/checkpoint_commands.h"
#include "tools/checkpoint_options.h"

// `cacs checkpoint ls-files` and `cat`.
namespace cacs::tools {

namespace {

using inspect::CheckpointTree;
using inspect::Node;

constexpr std::size_t kReadBytes = std::size_t{1} << 20U;

struct LookOptions {
  PlaceOptions place;
  std::string checkpoint;
  std::string path;
  bool is_long = false;
  bool recursive = false;
  std::uint64_t offset = 0;
  std::optional<std::uint64_t> length;
};

std::string_view type_name(const Node& node) {
  using delta::EntryType;
  if (node.whiteout) return "whiteout";
  if (node.region) return "memory";
  switch (node.type) {
    case EntryType::kRegular:
      return "file";
    case EntryType::kDirectory:
      return "directory";
    case EntryType::kSymlink:
      return "symlink";
    case EntryType::kFifo:
      return "fifo";
    case EntryType::kSocket:
      return "socket";
    case EntryType::kCharDevice:
      return "character-device";
    case EntryType::kBlockDevice:
      break;
  }
  return "block-device";
}

/// As ls -l writes it; a whiteout is a w.
std::string mode_text(const Node& node) {
  constexpr std::string_view kTypes = "?-dlpscb";
  std::string text(1, node.whiteout ? 'w' : kTypes.at(static_cast<std::size_t>(node.type)));
  constexpr std::string_view kLetters = "rwxrwxrwx";
  for (std::size_t bit = 0; bit < kLetters.size(); ++bit) {
    text += (node.mode & (0400U >> bit)) != 0 ? kLetters[bit] : '-';
  }
  const auto special = [&](std::uint32_t bit, std::size_t at, char with, char without) {
    if ((node.mode & bit) != 0) text[at] = text[at] == 'x' ? with : without;
  };
  special(04000, 3, 's', 'S');
  special(02000, 6, 's', 'S');
  special(01000, 9, 't', 'T');
  return text;
}

std::string time_text(const Node& node) {
  return format_time(WallTime(std::chrono::seconds(node.mtime.seconds) +
                              std::chrono::milliseconds(node.mtime.nanoseconds / 1'000'000)));
}

std::string line_of(const std::string& path, const Node& node) {
  std::string line = fmt::format("{} {:>5} {:>5} {:>12} {} {}", mode_text(node), node.uid, node.gid, node.size,
                                 time_text(node), printable(path, delta::kMaxPathBytes));
  if (node.type == delta::EntryType::kSymlink) line += " -> " + printable(node.target, delta::kMaxPathBytes);
  if (node.whiteout) line += "  (deleted in the pod)";
  if (node.opaque) line += "  (hides the base's)";
  if (node.region) line += fmt::format("  ({} of {} pages saved)", node.region->saved, node.region->pages);
  return line;
}

JsonObject json_of(const std::string& path, const Node& node) {
  JsonObject object{{"path", printable(path, delta::kMaxPathBytes)},
                    {"type", type_name(node)},
                    {"mode", fmt::format("{:04o}", node.mode)},
                    {"uid", node.uid},
                    {"gid", node.gid},
                    {"size", node.size},
                    {"modified_at", time_text(node)}};
  if (node.type == delta::EntryType::kSymlink) object["target"] = printable(node.target, delta::kMaxPathBytes);
  if (node.opaque) object["opaque"] = true;
  if (node.region) {
    const auto& region = node.region->region;
    object["region"] = JsonObject{{"kind", engine::region_kind_name(region.kind)},
                                  {"name", printable(region.name, delta::kMaxPathBytes)},
                                  {"protection", inspect::protection_text(region)},
                                  {"offset", region.offset},
                                  {"pages", node.region->pages},
                                  {"pages_saved", node.region->saved},
                                  {"pages_elsewhere", node.region->elsewhere()}};
  }
  return object;
}

/// Prints names as they are found.
class Lister {
 public:
  Lister(cli::Context& context, CheckpointTree& tree, const LookOptions& options)
      : context_(context), tree_(tree), options_(options) {}

  Status run(std::string path) {
    while (!path.empty() && path.back() == '/') path.pop_back();
    while (!path.empty() && path.front() == '/') path.erase(0, 1);
    CACS_ASSIGN(const Node node, tree_.find(path));
    if (context_.json()) context_.terminal().out("{\"files\":[");
    CACS_TRY(node.type == delta::EntryType::kDirectory ? directory(path) : print(path, node));
    if (context_.json()) context_.terminal().out("]}\n");
    return {};
  }

 private:
  Status print(const std::string& path, const Node& node) {
    std::string text;
    if (context_.json()) {
      text = (first_ ? "" : ",\n") + boost::json::serialize(json_of(path, node));
    } else if (options_.is_long) {
      text = line_of(path, node) + '\n';
    } else {
      text = printable(path, delta::kMaxPathBytes) + (node.type == delta::EntryType::kDirectory ? "/\n" : "\n");
    }
    first_ = false;
    context_.terminal().out(text);
    if (context_.terminal().out_failed()) return make_error(ErrorCode::kAborted, "standard output was closed");
    return {};
  }

  Status directory(const std::string& path) {
    return tree_.list(path, [&](std::string_view name, const Node& node) -> Status {
      const std::string full = path.empty() ? std::string(name) : path + '/' + std::string(name);
      CACS_TRY(print(full, node));
      const bool below = options_.recursive && node.type == delta::EntryType::kDirectory;
      return below ? directory(full) : Status();
    });
  }

  cli::Context& context_;
  CheckpointTree& tree_;
  const LookOptions& options_;
  bool first_ = true;
};

Result<int> run_ls_files(cli::Context& context, const LookOptions& options) {
  CACS_ASSIGN(const auto repository, open_repository_of(context, options.place));
  CACS_ASSIGN(const std::string id, find_checkpoint(*repository, options.checkpoint));
  CACS_ASSIGN(const auto tree, CheckpointTree::open(*repository, id));
  CACS_TRY(Lister(context, *tree, options).run(options.path));
  return 0;
}

/// What a reader of a region has to know: zeros that were not zeros.
void remark_elsewhere(cli::Context& context, const Node& node) {
  if (!node.region || node.region->elsewhere() == 0) return;
  const std::string& name = node.region->region.name;
  context.terminal().remark(fmt::format(
      "{} of {} pages of this region are not in the checkpoint, and read as zeros: {}", node.region->elsewhere(),
      node.region->pages, name.empty() ? "the kernel or a file has them" : "they are as in " + printable(name)));
}

Result<int> run_cat(cli::Context& context, const LookOptions& options) {
  CACS_ASSIGN(const auto repository, open_repository_of(context, options.place));
  CACS_ASSIGN(const std::string id, find_checkpoint(*repository, options.checkpoint));
  CACS_ASSIGN(const auto tree, CheckpointTree::open(*repository, id));
  CACS_ASSIGN(const Node node, tree->find(options.path));
  const std::string doing = "read " + printable(options.path) + " of checkpoint " + id;
  CACS_ASSIGN(const auto reader, inspect::open_file_reader(*repository, node).context(doing));
  remark_elsewhere(context, node);
  std::string buffer(kReadBytes, '\0');
  std::uint64_t left = options.length.value_or(node.size);
  for (std::uint64_t at = options.offset; left > 0 && !context.terminal().out_failed();) {
    const auto want = std::as_writable_bytes(std::span(buffer)).first(std::min<std::uint64_t>(left, buffer.size()));
    CACS_ASSIGN(const std::size_t got, reader->read_at(at, want).context(doing));
    if (got == 0) break;
    context.terminal().out(std::string_view(buffer).substr(0, got));
    at += got;
    left -= got;
  }
  if (context.terminal().out_failed()) return make_error(ErrorCode::kIo, doing + ": standard output was closed");
  return 0;
}

void add_checkpoint(CLI::App& app, LookOptions& options) {
  add_place_options(app, options.place);
  app.add_option("CHECKPOINT", options.checkpoint, "id, unique beginning of an id, or APP:latest")->required();
}

}  // namespace

cli::CommandSpec make_checkpoint_ls_files() {
  auto options = std::make_shared<LookOptions>();
  return {.name = "checkpoint ls-files",
          .group = "Subcommands",
          .summary = "list what is in a checkpoint, without restoring it",
          .example = "cacs checkpoint ls-files lj-melt:latest pod-0/files -l",
          .notes =
              "A checkpoint is a tree: POD/files has the files of the pod's delta, POD/shm and POD/mountN what else "
              "was saved, POD/base copies of what it needs of its base, POD/memory/PID each region of a process, "
              "POD/images the engine's files, manifest.json the manifest. A file that the pod has deleted from its "
              "base is a whiteout: a character device 0:0, marked w.",
          .setup =
              [options](CLI::App& app) {
                add_checkpoint(app, *options);
                app.add_option("PATH", options->path, "only what is there (default: the top)");
                app.add_flag("-l,--long", options->is_long, "with mode, owner, size and time");
                app.add_flag("-R,--recursive", options->recursive, "with all that is below");
              },
          .run = [options](cli::Context& context) { return run_ls_files(context, *options); }};
}

cli::CommandSpec make_checkpoint_cat() {
  auto options = std::make_shared<LookOptions>();
  return {.name = "checkpoint cat",
          .group = "Subcommands",
          .summary = "write a file or memory region of a checkpoint to standard output",
          .example = "cacs checkpoint cat lj-melt:latest pod-0/files/job/log.lammps",
          .notes =
              "Bytes as they are. Pages of a region that are not in the checkpoint because a file has them read as "
              "zeros, which a remark tells; pages that were never written are zeros.",
          .setup =
              [options](CLI::App& app) {
                add_checkpoint(app, *options);
                app.add_option("PATH", options->path, "as ls-files shows it")->required();
                app.add_option("--offset", options->offset, "begin at this byte")->type_name("BYTES");
                app.add_option("--length", options->length, "write at most so many")->type_name("BYTES");
              },
          .run = [options](cli::Context& context) { return run_cat(context, *options); }};
}

}  // namespace cacs::tools
