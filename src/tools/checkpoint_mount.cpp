#include <CLI/CLI.hpp>

#include "base/text.h"
#include "inspect/mount.h"
#include "tools/checkpoint_commands.h"
#include "tools/checkpoint_options.h"

// `cacs checkpoint mount`.
namespace cacs::tools {

namespace {

struct MountCommandOptions {
  PlaceOptions place;
  std::string location;
  std::string mountpoint;
  bool foreground = false;
  bool allow_other = false;
};

Result<int> run_mount(cli::Context& context, MountCommandOptions options) {
  // With one argument it is where to, and the repository is the node's own.
  if (options.mountpoint.empty()) std::swap(options.mountpoint, options.location);
  if (!options.location.empty()) options.place.location = options.location;
  CACS_TRY(inspect::check_fuse());
  CACS_ASSIGN(const auto repository, open_repository_of(context, options.place));
  const auto report = [&context](const std::string& path, const Error& error) {
    context.terminal().error(error.with_context(printable(path)));
  };
  const auto mounted = [&] {
    context.terminal().remark("mounted at " + options.mountpoint + "; Ctrl-C, or `umount " + options.mountpoint +
                              "`, ends it");
  };
  CACS_TRY(inspect::serve_mount(*repository, {.mountpoint = options.mountpoint, .allow_other = options.allow_other},
                                report, mounted));
  return 0;
}

}  // namespace

cli::CommandSpec make_checkpoint_mount() {
  auto options = std::make_shared<MountCommandOptions>();
  return {.name = "checkpoint mount",
          .group = "Subcommands",
          .summary = "show all checkpoints of a repository as directories",
          .example = "cacs checkpoint mount /srv/cacs /mnt",
          .notes =
              "by-id/CHECKPOINT and by-application/APP/CHECKPOINT hold what ls-files shows, read-only, read from the "
              "repository as it is looked at. It stays in the foreground until Ctrl-C, SIGTERM, or umount. What is "
              "damaged reads as an I/O error, and standard error says why. A checkpoint that is deleted while it is "
              "read fails once its space is given back.",
          .setup =
              [options](CLI::App& app) {
                add_place_options(app, options->place);
                app.add_option("LOCATION", options->location, "the repository; may be left out")->required();
                app.add_option("MOUNTPOINT", options->mountpoint, "an empty directory");
                app.add_flag("-f,--foreground", options->foreground, "stay in the foreground, which it does anyway");
                app.add_flag("--allow-other", options->allow_other,
                             "let other users look, as far as owners and modes let them");
              },
          .run = [options](cli::Context& context) { return run_mount(context, *options); }};
}

}  // namespace cacs::tools
