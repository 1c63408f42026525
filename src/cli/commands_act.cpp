#include <CLI/CLI.hpp>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/io.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/format.h"
#include "net/http_target.h"

// Commands that change something: submit, exec, checkpoint, restart, delete.
namespace cacs::cli {

namespace {

constexpr std::size_t kMaxAsr = std::size_t{16} << 20U;
constexpr std::size_t kMaxExecInput = std::size_t{4} << 20U;  ///< what the API takes

/// Nothing but Ctrl-C, which ends the command, interrupts these waits.
bool plain_pause(std::chrono::milliseconds span) {
  ::poll(nullptr, 0, static_cast<int>(span.count()));
  return true;
}

Result<std::string> read_stdin(std::size_t limit) {
  std::string text(limit + 1, '\0');
  CACS_ASSIGN(const std::size_t size, read_full(STDIN_FILENO, std::as_writable_bytes(std::span(text))));
  if (size > limit) return make_error(ErrorCode::kTooLarge, "standard input holds more than " + format_size(limit));
  text.resize(size);
  return text;
}

Result<std::string> read_input(const std::string& file) {
  if (file == "-") return read_stdin(kMaxAsr);
  auto text = read_text_file(file, kMaxAsr);
  return text ? text : text.error().with_context("read the ASR");
}

Result<int> run_submit(Context& context, const std::string& file) {
  CACS_ASSIGN(const std::string body, read_input(file));
  // Malformed JSON is told here, where the file's name is known; all else of it is the server's to judge.
  CACS_TRY(parse_json_object(body, file == "-" ? "standard input" : file));
  CACS_ASSIGN(Api * api, context.connect(StartServer::kAlways));
  CACS_ASSIGN(const ApiDocument document, api->send("POST", "/v1/coordinators", body));
  if (context.json()) {
    context.print_raw(document.raw);
  } else {
    context.terminal().out(printable(json_string_or(document.object, "id", "")) + "\n");
  }
  return 0;
}

/// Ends a command that started an operation: waits for it if asked to, and prints.
Result<int> finish_started(Context& context, const ApiDocument& started, bool wait, std::string_view done) {
  Api& api = **context.connect();
  const std::string path = operation_path(started);
  ApiDocument last = started;
  if (wait) {
    if (path.empty()) return make_error(ErrorCode::kInternal, "the server named no operation to wait for");
    CACS_ASSIGN(last, wait_for_operation(api, context.terminal(), path, plain_pause));
  }
  if (context.json()) {
    context.print_raw(last.raw);
    return 0;
  }
  if (wait) {
    const std::string checkpoint = json_string_or(last.object, "checkpoint", "");
    context.terminal().out(fmt::format("{}{}\n", done, checkpoint.empty() ? "" : " " + printable(checkpoint)));
  } else {
    context.terminal().out(fmt::format("started operation {}\n", printable(path.substr(path.rfind('/') + 1))));
  }
  return 0;
}

struct Target {
  std::string application;
  std::string checkpoint;
  bool wait = false;
  int nodes = 0;                ///< of a restart: how many; 0: as it has
  std::vector<std::string> on;  ///< of a restart: which
};

Result<int> run_checkpoint(Context& context, const Target& target) {
  CACS_ASSIGN(Api * api, context.connect());
  CACS_ASSIGN(const std::string id, api->find_application(target.application));
  CACS_ASSIGN(const ApiDocument started, api->send("POST", application_path(id, "/checkpoints")));
  return finish_started(context, started, target.wait, "committed checkpoint");
}

Result<int> run_restart(Context& context, const Target& target) {
  CACS_ASSIGN(Api * api, context.connect());
  CACS_ASSIGN(const std::string id, api->find_application(target.application));
  CACS_ASSIGN(const std::string checkpoint,
              api->find_checkpoint(id, target.checkpoint.empty() ? "latest" : target.checkpoint));
  JsonObject body;
  if (!target.on.empty()) {
    body["nodes"] = JsonObject{{"names", JsonArray(target.on.begin(), target.on.end())}};
  } else if (target.nodes > 0) {
    body["nodes"] = JsonObject{{"count", target.nodes}};
  }
  CACS_ASSIGN(const ApiDocument started,
              api->send("POST", application_path(id, "/checkpoints/" + net::percent_encode(checkpoint)),
                        body.empty() ? std::string() : boost::json::serialize(body)));
  return finish_started(context, started, target.wait, "restarted from checkpoint");
}

Result<int> run_delete(Context& context, const Target& target) {
  CACS_ASSIGN(Api * api, context.connect());
  CACS_ASSIGN(const std::string id, api->find_application(target.application));
  std::string path = application_path(id);
  if (!target.checkpoint.empty()) {
    CACS_ASSIGN(const std::string checkpoint, api->find_checkpoint(id, target.checkpoint));
    path = application_path(id, "/checkpoints/" + net::percent_encode(checkpoint));
  }
  CACS_ASSIGN(const ApiDocument started, api->send("DELETE", path));
  return finish_started(context, started, target.wait,
                        target.checkpoint.empty() ? "deleted the application" : "deleted checkpoint");
}

struct ExecOptions {
  std::string application;
  std::vector<std::string> command;
  std::vector<std::string> env;
  std::string workdir;
  std::string user;
  std::string pod;
  std::string timeout;
  bool input = false;
};

Result<JsonObject> exec_request(const ExecOptions& options, const std::vector<std::string>& trailing) {
  JsonArray command;
  for (const auto* part : {&options.command, &trailing}) {
    for (const auto& word : *part) command.emplace_back(word);
  }
  if (command.empty()) {
    return make_error(ErrorCode::kInvalidArgument, "exec: no command given", "cacs exec APP -- COMMAND ARGS");
  }
  JsonObject request;
  request["command"] = std::move(command);
  JsonObject env;
  for (const auto& entry : options.env) {
    const std::size_t equals = entry.find('=');
    if (equals == std::string::npos || equals == 0) {
      return make_error(ErrorCode::kInvalidArgument, "'" + printable(entry) + "' is no variable",
                        "write --env NAME=VALUE");
    }
    env[entry.substr(0, equals)] = entry.substr(equals + 1);
  }
  if (!env.empty()) request["env"] = std::move(env);
  if (!options.workdir.empty()) request["workdir"] = options.workdir;
  if (!options.user.empty()) request["user"] = options.user;
  if (!options.pod.empty()) request["pod"] = options.pod;
  if (!options.timeout.empty()) {
    CACS_ASSIGN(const auto timeout, parse_duration(options.timeout));
    request["timeout_ms"] = timeout.count();
  }
  if (options.input) {
    CACS_ASSIGN(const std::string input, read_stdin(kMaxExecInput));
    request["stdin"] = base64_encode(input);
  }
  return request;
}

Result<int> run_exec(Context& context, const ExecOptions& options) {
  CACS_ASSIGN(const JsonObject request, exec_request(options, context.trailing()));
  CACS_ASSIGN(Api * api, context.connect());
  CACS_ASSIGN(const std::string id, api->find_application(options.application));
  CACS_ASSIGN(const ApiDocument document,
              api->send("POST", application_path(id, "/exec"), boost::json::serialize(request)));
  if (context.json()) {
    context.print_raw(document.raw);
  } else {
    CACS_ASSIGN(const std::string out, base64_decode(json_string_or(document.object, "stdout", "")));
    CACS_ASSIGN(const std::string err, base64_decode(json_string_or(document.object, "stderr", "")));
    context.terminal().out(out);
    context.terminal().err(err);
  }
  const JsonObject* exit = json_find_object(document.object, "exit");
  if (exit != nullptr) return shell_exit_code(exit);
  CACS_ASSIGN(const auto code, json_int(document.object, "exit"));
  return static_cast<int>(code & 0xff);
}

void add_application(CLI::App& app, std::string& target) {
  app.add_option("APP", target, "id, unique beginning of an id, or unique name")->required();
}

void add_wait(CLI::App& app, bool& wait, const char* what) { app.add_flag("--wait", wait, what); }

}  // namespace

CommandSpec make_submit_command() {
  auto file = std::make_shared<std::string>();
  return {
      .name = "submit",
      .group = "Run",
      .summary = "submit an application described by an ASR (JSON), and print its id",
      .example = "cacs submit -f lj-melt.json",
      .setup =
          [file](CLI::App& app) {
            app.add_option("-f,--file", *file, "the ASR's file; - is standard input")->type_name("FILE")->required();
          },
      .run = [file](Context& context) { return run_submit(context, *file); }};
}

CommandSpec make_checkpoint_command() {
  auto target = std::make_shared<Target>();
  return {.name = "checkpoint",
          .group = "Act",
          .summary = "take a checkpoint of an application now",
          .example = "cacs checkpoint lj-melt --wait",
          .setup =
              [target](CLI::App& app) {
                add_application(app, target->application);
                // Not where a subcommand is given.
                app.get_option("APP")->required(false);
                add_wait(app, target->wait, "return when it is committed");
              },
          .run = [target](Context& context) -> Result<int> {
            if (target->application.empty()) {
              return make_error(ErrorCode::kInvalidArgument, "checkpoint: APP is required",
                                "`cacs checkpoint --help` explains it");
            }
            return run_checkpoint(context, *target);
          }};
}

CommandSpec make_restart_command() {
  auto target = std::make_shared<Target>();
  return {.name = "restart",
          .group = "Act",
          .summary = "restart an application from a checkpoint (the latest, if none is named)",
          .example = "cacs restart lj-melt latest --on local-2,local-3 --wait",
          .setup =
              [target](CLI::App& app) {
                add_application(app, target->application);
                app.add_option("CHECKPOINT", target->checkpoint, "id, unique beginning of an id, or latest");
                CLI::Option* nodes =
                    app.add_option("--nodes", target->nodes, "on so many nodes, whichever the cloud gives")
                        ->type_name("N")
                        ->check(CLI::Range(1, 1024));
                app.add_option("--on", target->on, "on these nodes")
                    ->type_name("NODE,...")
                    ->delimiter(',')
                    ->excludes(nodes);
                add_wait(app, target->wait, "return when it runs again");
              },
          .run = [target](Context& context) { return run_restart(context, *target); }};
}

CommandSpec make_delete_command() {
  auto target = std::make_shared<Target>();
  return {.name = "delete",
          .group = "Act",
          .summary = "end an application and remove it with its checkpoints; or remove one checkpoint",
          .example = "cacs delete lj-melt --wait",
          .setup =
              [target](CLI::App& app) {
                add_application(app, target->application);
                app.add_option("CHECKPOINT", target->checkpoint,
                               "remove only this: an id or a unique beginning of one");
                add_wait(app, target->wait, "return when everything is gone");
              },
          .run = [target](Context& context) { return run_delete(context, *target); }};
}

CommandSpec make_exec_command() {
  auto options = std::make_shared<ExecOptions>();
  return {.name = "exec",
          .group = "Act",
          .summary = "run a command beside a running application, in its pod",
          .example = "cacs exec lj-melt -- ps aux",
          .notes =
              "Ends with the command's own exit code. What it prints is shown when it has ended. With -i it gets the "
              "standard input, which is read to its end first (at most 4 MiB).",
          .setup =
              [options](CLI::App& app) {
                add_application(app, options->application);
                app.add_option("COMMAND", options->command, "the command and its arguments; put -- before it");
                app.add_option("--env", options->env, "a variable for it")
                    ->type_name("NAME=VALUE")
                    ->take_all()
                    ->expected(1);
                app.add_option("--workdir", options->workdir, "its working directory")->type_name("DIR");
                app.add_option("--user", options->user, "the user it runs as")->type_name("USER");
                app.add_option("--pod", options->pod, "the pod (default pod-0)")->type_name("POD");
                app.add_flag("-i,--stdin", options->input, "hand it the standard input");
                app.add_option("--timeout", options->timeout, "kill it after this time")->type_name("DURATION");
              },
          .run = [options](Context& context) { return run_exec(context, *options); }};
}

}  // namespace cacs::cli
