#include "cli/run_session.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/io.h"
#include "base/text.h"
#include "cli/exit_codes.h"
#include "cli/format.h"

namespace cacs::cli {

namespace {

constexpr std::chrono::seconds kSecondCtrlC(2);
constexpr std::chrono::milliseconds kAgain(100);  ///< between two attempts to save what cannot be saved just now

Result<JsonObject> mount_json(const std::string& text) {
  const auto parts = split(text, ':');
  const bool read_only = parts.size() == 3 && parts[2] == "ro";
  const bool right = (parts.size() == 2 || read_only || (parts.size() == 3 && parts[2] == "rw")) && !parts[0].empty() &&
                     parts[1].starts_with('/');
  if (!right) {
    return make_error(ErrorCode::kInvalidArgument, "'" + printable(text) + "' is no mount",
                      "write --mount SRC:DST or SRC:DST:ro, DST an absolute path");
  }
  JsonObject mount;
  mount["source"] = std::filesystem::absolute(parts[0]).lexically_normal().string();
  mount["target"] = parts[1];
  mount["mode"] = read_only ? "ro" : "rw";
  return mount;
}

Result<JsonObject> env_json(const std::vector<std::string>& entries) {
  JsonObject env;
  const Environment environment = process_environment();
  for (const auto& entry : entries) {
    const std::size_t equals = entry.find('=');
    if (equals == 0 || entry.empty()) {
      return make_error(ErrorCode::kInvalidArgument, "'" + printable(entry) + "' is no variable",
                        "write --env NAME=VALUE");
    }
    if (equals != std::string::npos) {
      env[entry.substr(0, equals)] = entry.substr(equals + 1);
    } else if (const auto value = environment(entry)) {
      env[entry] = *value;
    } else {
      return make_error(ErrorCode::kInvalidArgument, "variable '" + printable(entry) + "' is not set here",
                        "write --env NAME=VALUE to give it a value");
    }
  }
  return env;
}

}  // namespace

Result<JsonObject> make_asr(const RunRequest& request) {
  if (request.command.empty()) {
    return make_error(ErrorCode::kInvalidArgument, "run: no program given", "cacs run -- PROGRAM ARGS");
  }
  JsonObject asr;
  if (!request.name.empty()) asr["name"] = request.name;
  asr["command"] = JsonArray(request.command.begin(), request.command.end());
  std::error_code problem;
  const auto workdir = std::filesystem::absolute(request.workdir.empty() ? "." : request.workdir, problem);
  if (problem) return errno_error(problem.value(), "find the working directory");
  std::string dir = workdir.lexically_normal().string();
  while (dir.size() > 1 && dir.ends_with('/')) dir.pop_back();
  asr["workdir"] = dir;
  CACS_ASSIGN(JsonObject env, env_json(request.env));
  if (!env.empty()) asr["env"] = std::move(env);
  if (!request.user.empty()) asr["user"] = request.user;
  if (!request.cloud.empty()) asr["cloud"] = request.cloud;
  if (request.pods > 0) asr["pods"] = request.pods;
  if (request.nodes > 0) asr["nodes"] = JsonObject{{"count", request.nodes}};
  JsonObject resources;
  if (request.cpus > 0) resources["cpus"] = request.cpus;
  if (!request.memory.empty()) {
    CACS_TRY(parse_size(request.memory));
    resources["memory"] = request.memory;
  }
  if (!resources.empty()) asr["resources"] = std::move(resources);
  JsonArray mounts;
  for (const auto& text : request.mounts) {
    CACS_ASSIGN(JsonObject mount, mount_json(text));
    mounts.emplace_back(std::move(mount));
  }
  if (!mounts.empty()) asr["mounts"] = std::move(mounts);
  JsonObject checkpoint;
  if (!request.no_checkpoint && !request.interval.empty()) {
    if (request.interval != "auto") CACS_TRY(parse_duration(request.interval));
    checkpoint["interval"] = request.interval;
  }
  if (request.keep > 0) checkpoint["keep"] = request.keep;
  if (!checkpoint.empty()) asr["checkpoint"] = std::move(checkpoint);
  if (!request.time_limit.empty()) {
    CACS_TRY(parse_duration(request.time_limit));
    asr["time_limit"] = request.time_limit;
  }
  return asr;
}

Result<int> RunSession::run() {
  context_.terminal().remark(fmt::format("{} is application {}; Ctrl-C detaches", printable(name_), printable(id_)));
  CACS_ASSIGN(std::unique_ptr<ApiClient> client, context_.another_client());
  CACS_ASSIGN(follower_, LogFollower::start(std::move(client), context_.terminal(),
                                            {.target = application_path(id_, "/logs?follow=1")}));
  while (true) {
    CACS_ASSIGN(const SignalWatcher::Event event, signals_.wait(follower_->done_fd(), std::nullopt));
    if (event.readable) return ended();
    if (event.signal == SIGINT) return detach(true);
    if (event.signal == SIGHUP) return detach(false);
    if (event.signal == SIGTERM) {
      CACS_ASSIGN(const std::optional<int> code, save_and_leave());
      if (code) return *code;
      return ended();
    }
  }
}

Result<int> RunSession::ended() {
  CACS_ASSIGN(JsonObject end, follower_->result());
  // The event tells the exit; the application, if it is still there, why there is none.
  const JsonObject* exit = json_find_object(end, "exit");
  if (exit == nullptr && end.contains("kind")) exit = &end;
  std::string reason = json_string_or(end, "reason", "");
  const auto document = api_.get(application_path(id_));
  const std::string state = document ? json_string_or(document->object, "state", "") : "";
  if (state == "SUSPENDED") return suspended(document->object);
  if (document) {
    if (exit == nullptr) exit = json_find_object(document->object, "exit");
    if (state == "ERROR") reason = json_string_or(document->object, "reason", "");
  }
  if (exit == nullptr) {
    return make_error(ErrorCode::kAborted,
                      fmt::format("run {}: {}", name_, reason.empty() ? "it ended, and nobody knows how" : reason),
                      "`cacs show " + id_ + "` tells what happened");
  }
  const int code = shell_exit_code(exit);
  if (code != 0) {
    // An ordinary exit is its own reason: said once.
    const bool more = !reason.empty() && json_string_or(*exit, "kind", "") != "exited";
    context_.terminal().remark(fmt::format("{} ended with {}{}", printable(name_), describe_exit(exit),
                                           more ? ": " + printable(reason, 1000) : ""));
  }
  return code;
}

/// At the end of its time limit it was saved and ended.
Result<int> RunSession::suspended(const JsonObject& application) {
  const JsonObject* last = json_find_object(application, "last_checkpoint");
  if (last == nullptr) {
    return make_error(ErrorCode::kAborted,
                      fmt::format("run {}: it was ended ({}) and could not be saved", name_,
                                  json_string_or(application, "reason", "no reason given")),
                      "`cacs checkpoints " + id_ + "` tells why");
  }
  context_.terminal().remark(fmt::format("{} was ended ({}); checkpoint {} is committed: `cacs restart {}` goes on",
                                         printable(name_), printable(json_string_or(application, "reason", "")),
                                         printable(json_string_or(*last, "id", "")), id_));
  return kExitCheckpointed;
}

Result<int> RunSession::detach(bool may_ask) {
  follower_->cancel();
  Terminal& terminal = context_.terminal();
  const bool asks = may_ask && terminal.err_is_terminal();
  if (asks) terminal.err("\n");
  terminal.remark(fmt::format("detached; {} runs on. `cacs logs -f {}` follows it{}", printable(name_), id_,
                              asks ? ", Ctrl-C once more asks whether to delete it" : ""));
  if (!asks) return kExitDetached;
  CACS_ASSIGN(const SignalWatcher::Event event, signals_.wait(-1, kSecondCtrlC));
  if (event.signal != SIGINT) return kExitDetached;
  return ask_and_delete();
}

Result<int> RunSession::ask_and_delete() {
  Terminal& terminal = context_.terminal();
  terminal.err(fmt::format("\nDelete {} with all its checkpoints? [y/N] ", printable(name_)));
  CACS_ASSIGN(const bool yes, read_yes());
  if (!yes) {
    terminal.remark(fmt::format("kept; `cacs delete {}` deletes it", id_));
    return kExitDetached;
  }
  CACS_ASSIGN(const ApiDocument started, api_.send("DELETE", application_path(id_)));
  const std::string path = operation_path(started);
  if (!path.empty()) {
    const auto pause = [this](std::chrono::milliseconds span) {
      const auto event = signals_.wait(-1, span);
      return event.ok() && event->signal == 0;
    };
    CACS_TRY(wait_for_operation(api_, terminal, path, pause));
  }
  terminal.remark(fmt::format("deleted {}", printable(name_)));
  return kExitDetached;
}

/// One line from the terminal; only "y" and "yes" mean it. Ctrl-C and the end of input mean no.
Result<bool> RunSession::read_yes() {
  CACS_ASSIGN(const UniqueFd tty, open_file("/dev/tty", O_RDONLY | O_NOCTTY));
  std::string line;
  while (line.size() < 64) {
    CACS_ASSIGN(const SignalWatcher::Event event, signals_.wait(tty.get(), std::nullopt));
    if (event.signal != 0) return false;
    std::array<char, 64> block{};
    const ssize_t got = ::read(tty.get(), block.data(), block.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    line.append(block.data(), static_cast<std::size_t>(got));
    if (line.find('\n') != std::string::npos) break;
  }
  const std::string_view answer = trim(line);
  return answer == "y" || answer == "Y" || answer == "yes";
}

/// A checkpoint that begins now and is committed. While the application starts, or another checkpoint is being taken,
/// that is waited for.
Result<ApiDocument> RunSession::save_now() {
  const int done = follower_->done_fd();
  const auto pause = [this, done](std::chrono::milliseconds span) {
    const auto event = signals_.wait(done, span);
    return event.ok() && event->signal == 0 && !event->readable;
  };
  auto started = api_.send("POST", application_path(id_, "/checkpoints"));
  while (!started && started.error().code == ErrorCode::kConflict && pause(kAgain)) {
    started = api_.send("POST", application_path(id_, "/checkpoints"));
  }
  if (!started) return started;
  const std::string path = operation_path(*started);
  if (path.empty()) return make_error(ErrorCode::kInternal, "the server named no operation for the checkpoint");
  return wait_for_operation(api_, context_.terminal(), path, pause);
}

Result<std::optional<int>> RunSession::save_and_leave() {
  Terminal& terminal = context_.terminal();
  terminal.remark(fmt::format("SIGTERM: saving {}", printable(name_)));
  const auto saved = save_now();
  if (!saved) {
    // An application that has ended meanwhile needs no checkpoint: its own exit code is the answer.
    CACS_ASSIGN(const SignalWatcher::Event event, signals_.wait(follower_->done_fd(), std::chrono::milliseconds(200)));
    if (event.readable) return std::optional<int>();
    return saved.error().with_context("save " + name_ + " at SIGTERM");
  }
  follower_->cancel();
  terminal.remark(fmt::format("checkpoint {} of {} is committed; `cacs logs -f {}` follows it",
                              printable(json_string_or(saved->object, "checkpoint", "")), printable(name_), id_));
  return std::optional<int>(kExitCheckpointed);
}

}  // namespace cacs::cli
