#include <CLI/CLI.hpp>

#include "cli/command.h"
#include "cli/run_session.h"

namespace cacs::cli {

namespace {

Result<int> run_run(Context& context, RunRequest request) {
  for (const auto& word : context.trailing()) request.command.push_back(word);
  if (request.interval.empty()) request.interval = context.settings().run_interval;
  if (request.keep == 0) request.keep = context.settings().run_keep.value_or(0);
  CACS_ASSIGN(const JsonObject asr, make_asr(request));
  // Before the first thread: signals that come while the server starts count, too.
  CACS_ASSIGN(SignalWatcher signals, SignalWatcher::watch({SIGINT, SIGTERM, SIGHUP}));
  CACS_ASSIGN(Api * api, context.connect(StartServer::kAlways));
  CACS_ASSIGN(const ApiDocument submitted, api->send("POST", "/v1/coordinators", boost::json::serialize(asr)));
  CACS_ASSIGN(const std::string id, json_string(submitted.object, "id"));
  RunSession session(context, *api, signals, id, json_string_or(submitted.object, "name", id));
  return session.run();
}

void add_run_options(CLI::App& app, RunRequest& request) {
  app.add_option("PROGRAM", request.command, "the program and its arguments; put -- before it");
  app.add_option("--name", request.name, "name of the application (default: the program's)")->type_name("NAME");
  app.add_option("--env", request.env, "a variable for it; NAME alone takes its value from here")
      ->type_name("NAME=VALUE")
      ->take_all()
      ->expected(1);
  app.add_option("--workdir", request.workdir, "its working directory (default: this one)")->type_name("DIR");
  app.add_option("--user", request.user, "the user it runs as")->type_name("USER");
  app.add_option("--cloud", request.cloud, "where it runs (default: local)")->type_name("CLOUD");
  auto* interval = app.add_option("--interval", request.interval, "time between checkpoints, or auto (default 5m)");
  interval->type_name("DURATION");
  app.add_flag("--no-checkpoint", request.no_checkpoint, "take no periodic checkpoints")->excludes(interval);
  app.add_option("--keep", request.keep, "checkpoints to keep")->type_name("N")->check(CLI::Range(1, 10'000));
  app.add_option("--pods", request.pods, "pods it has: the program starts in the first, mpirun finds the others")
      ->type_name("N")
      ->check(CLI::Range(1, 1024));
  app.add_option("--nodes", request.nodes,
                 "nodes that the pods are spread over; as many pods where --pods is not given")
      ->type_name("N")
      ->check(CLI::Range(1, 1024));
  app.add_option("--cpus", request.cpus, "processors it may use, in each pod")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  app.add_option("--memory", request.memory, "memory it may use, in each pod")->type_name("SIZE");
  app.add_option("--mount", request.mounts, "a directory of the host to show it")
      ->type_name("SRC:DST[:ro]")
      ->take_all()
      ->expected(1);
  app.add_option("--time-limit", request.time_limit, "wall time given with the job: it is saved before that is over")
      ->type_name("DURATION");
}

}  // namespace

CommandSpec make_run_command() {
  auto request = std::make_shared<RunRequest>();
  return {
      .name = "run",
      .group = "Run",
      .summary = "run a program, save it at intervals, and show its output",
      .example = "cacs run --name melt --interval 2m -- lmp -in in.melt",
      .notes =
          "With no server configured it starts one of your own, which stays until its applications have ended; this "
          "needs root. Ctrl-C detaches (exit code 76; the application runs on), a second one within two seconds asks "
          "whether to delete the application. SIGTERM, as batch systems send it before the end of a job, takes a "
          "checkpoint, waits until it is committed and ends with 75; the application runs on, and what the batch "
          "system "
          "kills comes back from the checkpoint when the server is started again (`cacs ls` is enough). With "
          "--time-limit the application is saved and ended by itself before that time is over, again with 75; "
          "`cacs restart` goes on, with the whole time again. Otherwise it ends with the program's own exit "
          "code, or 128 and the number of the signal that ended it.",
      .setup = [request](CLI::App& app) { add_run_options(app, *request); },
      .run = [request](Context& context) { return run_run(context, *request); }};
}

}  // namespace cacs::cli
