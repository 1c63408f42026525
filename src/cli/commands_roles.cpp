#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "cli/command.h"
#include "cli/exit_codes.h"
#include "cli/format.h"

// Roles of the program that other components implement (roles.h), and what tells about this machine: check, version.
namespace cacs::cli {

namespace {

Error lacking_role(std::string_view role) {
  return make_error(ErrorCode::kUnsupported, fmt::format("this build of cacs has no {}", role));
}

Result<int> run_check(Context& context) {
  if (!context.roles().check) return lacking_role("check");
  CACS_ASSIGN(const std::vector<CheckRow> rows, context.roles().check({.state = context.settings().state}));
  const bool ok = std::all_of(rows.begin(), rows.end(), [](const CheckRow& row) { return row.ok; });
  if (context.json()) {
    JsonArray items;
    for (const auto& row : rows) {
      items.push_back(JsonObject{{"name", row.name}, {"ok", row.ok}, {"detail", row.detail}, {"advice", row.advice}});
    }
    context.print_raw(boost::json::serialize(JsonObject{{"ok", ok}, {"items", std::move(items)}}));
    return ok ? kExitOk : kExitUnsupported;
  }
  Table table({"", "CHECK", "FOUND"});
  std::string advice;
  for (const auto& row : rows) {
    table.add({row.ok ? "ok" : "FAIL", row.name, row.detail});
    if (!row.ok) advice += fmt::format("\n{}: {}", printable(row.name), printable(row.advice, 1000));
  }
  context.terminal().out(table.render(context.terminal().colour_out()));
  if (!advice.empty()) context.terminal().out("\nTo do:" + advice + "\n");
  return ok ? kExitOk : kExitUnsupported;
}

Result<int> run_version(Context& context) {
  std::string server;
  // Only a server that is there: telling the version must not start or need one.
  if (auto api = context.connect(StartServer::kNever)) {
    const auto answer = (*api)->get("/version");
    if (answer) server = answer->raw;
  }
  if (context.json()) {
    JsonObject document{{"version", CACS_VERSION}};
    auto parsed = parse_json(server.empty() ? "null" : server, "version");
    document["server"] = parsed ? *std::move(parsed) : Json(nullptr);
    context.print_raw(boost::json::serialize(document));
    return 0;
  }
  context.terminal().out("cacs " CACS_VERSION "\n");
  if (!server.empty()) {
    CACS_ASSIGN(const JsonObject object, parse_json_object(server, "version"));
    Table table({"server", cell(object, "version")});
    context.terminal().out(table.render(false));
  }
  return 0;
}

CLI::Option* add_log_level(CLI::App& app, std::string& level) {
  return app.add_option("--log-level", level, "trace, debug, info, warn or error")
      ->type_name("LEVEL")
      ->check(CLI::IsMember({"trace", "debug", "info", "warn", "error"}));
}

void append(std::vector<std::string>& arguments, const Context& context) {
  arguments.insert(arguments.end(), context.trailing().begin(), context.trailing().end());
}

}  // namespace

CommandSpec make_check_command() {
  return {.name = "check",
          .group = "Machine",
          .summary = "check whether this machine has what CACS needs",
          .example = "cacs check",
          .notes = "Each line that fails says what to do. Ends with 7 when one fails.",
          .setup = [](CLI::App&) {},
          .run = run_check};
}

CommandSpec make_server_command() {
  auto options = std::make_shared<ServerOptions>();
  auto rate = std::make_shared<std::string>();
  return {.name = "server",
          .group = "Machine",
          .summary = "run the server",
          .example = "cacs server --state /var/lib/cacs --listen http://127.0.0.1:7070",
          .notes = "The state directory is the one of --state or CACS_STATE; without either, the server's own default.",
          .setup =
              [options, rate](CLI::App& app) {
                app.add_option("--listen", options->listen,
                               "where to listen: http://host:port or unix:/path; may be repeated")
                    ->type_name("ADDRESS")
                    ->take_all()
                    ->expected(1);
                app.add_option("--local-nodes", options->local_nodes,
                               "present this machine as so many nodes, each with an agent and a network of its own")
                    ->type_name("N")
                    ->check(CLI::Range(1, 64));
                app.add_option("--remote", options->remote,
                               "where checkpoints go that ask for the level remote: a directory, or "
                               "s3://BUCKET/PREFIX; each node's below it")
                    ->type_name("LOCATION");
                app.add_option("--remote-rate", *rate, "at most so much is sent there by a node in a second (10MiB)")
                    ->type_name("SIZE");
                app.add_flag("--no-auth", options->no_auth,
                             "want no token; only on loopback addresses and unix sockets");
                app.add_flag("--embedded", options->embedded, "end when there is neither an application nor a client");
                app.add_option("--ready-fd", options->ready_fd, "write a byte to this descriptor once ready")
                    ->type_name("FD")
                    ->check(CLI::Range(3, 1'000'000));
                add_log_level(app, options->log_level);
              },
          .run = [options, rate](Context& context) -> Result<int> {
            if (!context.roles().server) return lacking_role("server");
            if (!rate->empty()) {
              CACS_ASSIGN(options->remote_rate, parse_size(*rate));
            }
            options->state = context.explicit_state();
            return context.roles().server(*options);
          }};
}

CommandSpec make_agent_command() {
  auto options = std::make_shared<AgentOptions>();
  return {.name = "agent",
          .group = "Machine",
          .summary = "run the agent of a node (the server starts it)",
          .example = "cacs agent --state /var/lib/cacs/agent",
          .notes = "Arguments after -- are the agent's own.",
          .setup = [options](CLI::App& app) { add_log_level(app, options->log_level); },
          .run = [options](Context& context) -> Result<int> {
            if (!context.roles().agent) return lacking_role("agent");
            options->state = context.explicit_state();
            append(options->arguments, context);
            return context.roles().agent(*options);
          }};
}

CommandSpec make_shim_command() {
  auto arguments = std::make_shared<std::vector<std::string>>();
  return {.name = "shim",
          .group = "Machine",
          .summary = "run the shim of a pod (the agent starts it)",
          .example = "cacs shim -- ARGUMENTS",
          .notes = "Arguments after -- are the shim's own.",
          .setup = [](CLI::App&) {},
          .run = [arguments](Context& context) -> Result<int> {
            if (!context.roles().shim) return lacking_role("shim");
            append(*arguments, context);
            return context.roles().shim(*arguments);
          }};
}

CommandSpec make_version_command() {
  return {.name = "version",
          .group = "Machine",
          .summary = "print the version of this program, and of the server if one is there",
          .example = "cacs version",
          .setup = [](CLI::App&) {},
          .run = run_version};
}

}  // namespace cacs::cli
