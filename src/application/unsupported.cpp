#include "application/unsupported.h"

#include <fmt/format.h>

#include <algorithm>

namespace cacs::application {
namespace {

struct Refusal {
  bool asked;
  std::string_view field;
  std::string_view what;
  std::string_view instead;
};

bool asks_for(const Asr& asr, std::string_view level) {
  return std::find(asr.checkpoint_levels.begin(), asr.checkpoint_levels.end(), level) != asr.checkpoint_levels.end();
}

}  // namespace

Status refuse_unoffered(const Asr& asr, const Offers& offers) {
  if (!asks_for(asr, "remote") || offers.remote_level) return ok_status();
  return make_error(ErrorCode::kUnsupported,
                    "field 'checkpoint.levels' asks for the level remote, which this server was started without",
                    R"(give ["local"], or start the server with --remote LOCATION)")
      .with_type("unsupported");
}

Status refuse_unsupported(const Asr& asr) {
  const Refusal list[] = {
      {asr.engine == "dmtcp", "engine", "the engine dmtcp", R"(leave it out, or give "criu" or "app")"},
      {asr.base != "host", "base", "a base other than the host's root", R"(leave it out or give "host")"},
      {!asr.provision.empty(), "provision", "provisioning", "install what the program needs on the node beforehand"},
      {asks_for(asr, "peer"), "checkpoint.levels", "the level peer", R"(give ["local"] or ["local", "remote"])"},
      {!asks_for(asr, "local"), "checkpoint.levels", "checkpoints that are not stored on the node first",
       R"(add "local")"},
      {!asr.ports.empty(), "network.ports", "published ports", "leave them out"},
      {asr.disk_bytes > 0, "resources.disk", "a limit on disk space", "leave it out"},
      {!asr.health_command.empty(), "health", "a health command", "leave it out"},
      {asr.fence != "lease", "recovery.fence", "a fence other than a lease", R"(leave it out or give "lease")"},
      {asr.priority != 0, "priority", "a priority", "leave it out or give 0"},
      {std::any_of(asr.mounts.begin(), asr.mounts.end(), [](const AsrMount& mount) { return mount.rollback; }),
       "mounts", "a mount whose files roll back", "leave `rollback` out: files outside of mounts always roll back"},
      {!asr.secrets.empty(), "secrets", "secrets", "put the value in a file that only the application's user can read"},
      {!asr.secret_env.empty(), "env", "a variable marked secret (there is no sealed store to keep it in yet)",
       "put the value in a file that only the application's user can read"},
  };
  for (const Refusal& refusal : list) {
    if (!refusal.asked) continue;
    return make_error(ErrorCode::kUnsupported,
                      fmt::format("field '{}' asks for {}, which this version cannot do", refusal.field, refusal.what),
                      std::string(refusal.instead))
        .with_type("unsupported");
  }
  return ok_status();
}

}  // namespace cacs::application
