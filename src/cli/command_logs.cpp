#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "cli/command.h"
#include "cli/exit_codes.h"
#include "cli/log_follower.h"
#include "net/http_target.h"

namespace cacs::cli {

namespace {

struct LogsOptions {
  std::string application;
  bool follow = false;
  std::string stream = "both";
  std::string pod;
  int attempt = 0;

  [[nodiscard]] std::string query(std::string_view stream_name) const {
    std::string text = follow ? "?follow=1" : "";
    const auto add = [&text](std::string_view key, std::string_view value) {
      text += fmt::format("{}{}={}", text.empty() ? '?' : '&', key, net::percent_encode(value));
    };
    if (!stream_name.empty()) add("stream", stream_name);
    if (!pod.empty()) add("pod", pod);
    if (attempt > 0) add("attempt", std::to_string(attempt));
    return text;
  }
};

/// The bytes as they are now, without waiting for more.
Result<int> print_now(Context& context, const std::string& id, const LogsOptions& options) {
  Terminal& terminal = context.terminal();
  CACS_ASSIGN(Api * api, context.connect());
  for (const char* stream : {"stdout", "stderr"}) {
    if (options.stream != "both" && options.stream != stream) continue;
    const bool to_out = options.stream != "both" || std::string_view(stream) == "stdout";
    const auto sink = [&](std::string_view bytes) -> Status {
      to_out ? terminal.out(bytes) : terminal.err(bytes);
      return terminal.out_failed() ? make_error(ErrorCode::kIo, "standard output cannot be written") : ok_status();
    };
    CACS_ASSIGN(const ApiAnswer answer,
                api->client().stream(
                    {.target = application_path(id, "/logs" + options.query(stream)), .accept = "text/plain"}, sink));
    if (answer.status >= 400) return error_of_answer(answer);
  }
  return 0;
}

Result<int> run_logs(Context& context, const LogsOptions& options) {
  CACS_ASSIGN(Api * api, context.connect());
  CACS_ASSIGN(const std::string id, api->find_application(options.application));
  if (!options.follow && !context.json()) return print_now(context, id, options);
  LogsOptions streaming = options;
  const std::string stream = options.stream == "both" ? "" : options.stream;
  CACS_ASSIGN(std::unique_ptr<ApiClient> client, context.another_client());
  FollowOptions follow{.target = application_path(id, "/logs" + streaming.query(stream)), .json = context.json()};
  CACS_ASSIGN(const auto follower, LogFollower::start(std::move(client), context.terminal(), std::move(follow)));
  CACS_TRY(follower->result());
  return 0;
}

}  // namespace

CommandSpec make_logs_command() {
  auto options = std::make_shared<LogsOptions>();
  return {
      .name = "logs",
      .group = "Look",
      .summary = "print the output of an application",
      .example = "cacs logs -f lj-melt",
      .notes =
          "With -f it follows the output to the end of the application. When the application is restored from a "
          "checkpoint its output goes back with it: one line on standard error says so, and lines that were "
          "printed before are not printed again. With -o json it prints the API's records, a line each.",
      .setup =
          [options](CLI::App& app) {
            app.add_option("APP", options->application, "id, unique beginning of an id, or unique name")->required();
            app.add_flag("-f,--follow", options->follow, "wait for more, to the end of the application");
            app.add_option("--stream", options->stream, "stdout, stderr or both (each to its own)")
                ->type_name("STREAM")
                ->check(CLI::IsMember({"stdout", "stderr", "both"}));
            app.add_option("--pod", options->pod, "the pod (default pod-0)")->type_name("POD");
            app.add_option("--attempt", options->attempt, "what an earlier attempt had printed")
                ->type_name("N")
                ->check(CLI::Range(1, 1'000'000));
          },
      .run = [options](Context& context) { return run_logs(context, *options); }};
}

}  // namespace cacs::cli
