// What goes in and out of a running pod: commands run in it, and answers to checkpoints it asked for.

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "agent/node_pod.h"
#include "base/base64.h"
#include "base/io.h"
#include "base/text.h"
#include "init/protocol.h"

namespace cacs::agent {

namespace {

constexpr std::size_t kMaxExecInput = std::size_t{4} << 20U;
constexpr std::size_t kMaxExecOutput = std::size_t{4} << 20U;

std::vector<std::string> string_list(const JsonObject& object, std::string_view name) {
  std::vector<std::string> list;
  if (const JsonArray* array = json_find_array(object, name)) {
    for (const auto& item : *array) {
      if (item.is_string()) list.emplace_back(item.as_string());
    }
  }
  return list;
}

std::string one_line(const std::string& text) {
  std::string line = printable(text, 1500);
  std::replace(line.begin(), line.end(), '\n', ' ');
  return line;
}

}  // namespace

/// Makes ID.in in a pod, seen from within it: a link that the application put in the way leads nowhere outside.
static Status write_input(pid_t init, std::int64_t id, const std::string& bytes) {
  CACS_ASSIGN(const UniqueFd root, open_file("/proc/" + std::to_string(init) + "/root", O_PATH | O_DIRECTORY));
  const std::string path = CACS_EXEC_DIR "/" + std::to_string(id) + ".in";
  open_how how{};
  how.flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
  how.mode = 0600;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS;
  const UniqueFd fd(static_cast<int>(::syscall(SYS_openat2, root.get(), path.c_str(), &how, sizeof how)));
  if (!fd.valid()) return errno_error(errno, "make the command's standard input");
  return write_full(fd.get(), bytes);
}

Status NodePod::open_network() {
  CACS_TRY(call({{"op", "open_network"}}));
  return {};
}

Status NodePod::report_outcome(const JsonObject& body) {
  CACS_ASSIGN(const std::string request, json_string(body, "request"));
  const std::string result = json_string_or(body, "result", "committed");
  const std::string checkpoint = json_string_or(body, "checkpoint", "-");
  std::string line;
  if (result == "failed") {
    const JsonObject* error = json_find_object(body, "error");
    const Error why = error != nullptr ? error_from_json(*error) : make_error(ErrorCode::kInternal, "unknown");
    line = request + " failed " + std::string(error_code_name(why.code)) + " " + one_line(why.to_string());
  } else {
    line = request + " " + result + " " + checkpoint + " " + json_string_or(body, "level", "local");
  }
  CACS_TRY(call({{"op", "outcome"}, {"line", line}}));
  return {};
}

Result<JsonObject> NodePod::exec(const JsonObject& body, const std::function<bool()>& give_up) {
  const auto argv = string_list(body, "command");
  if (argv.empty()) return make_error(ErrorCode::kInvalidArgument, "exec needs `command`, a list of words");
  CACS_ASSIGN(const std::string input, base64_decode(json_string_or(body, "stdin", "")));
  if (input.size() > kMaxExecInput) {
    return make_error(ErrorCode::kTooLarge, "standard input is larger than " + format_size(kMaxExecInput),
                      "bring it in as a file (`files` or `mounts`)");
  }
  std::int64_t id = 0;
  {
    const std::lock_guard lock(mutex_);
    if (state_ != State::kRunning) return make_error(ErrorCode::kConflict, spec_.pod + " does not run now");
    id = next_exec_++;
    execs_[id] = std::nullopt;
  }
  JsonArray env;
  for (const auto& [key, value] : spec_.env) env.emplace_back(key + "=" + value);
  if (const JsonObject* extra = json_find_object(body, "env")) {
    for (const auto& member : *extra) {
      if (member.value().is_string())
        env.emplace_back(std::string(member.key()) + "=" + std::string(member.value().as_string()));
    }
  }
  if (!input.empty()) {
    CACS_ASSIGN(const pid_t init, init_pid());
    CACS_TRY(write_input(init, id, input));
  }
  auto sent = call({{"op", "exec"},
                    {"id", id},
                    {"user", json_string_or(body, "user", spec_.user)},
                    {"cwd", json_string_or(body, "workdir", spec_.workdir)},
                    {"env", std::move(env)},
                    {"argv", JsonArray(argv.begin(), argv.end())}});
  const std::chrono::milliseconds limit(
      std::clamp<std::int64_t>(json_int_or(body, "timeout_ms", 60'000), 1, 3'600'000));
  std::optional<int> ended;
  bool given_up = false;
  {
    Lock lock(mutex_);
    if (sent) {
      changed_.wait_for(lock, limit, [&] {
        given_up = give_up && give_up();
        return given_up || execs_[id].has_value() || state_ != State::kRunning;
      });
    }
    ended = execs_[id];
    execs_.erase(id);
  }
  const std::string base = layout_.upper().string() + CACS_EXEC_DIR "/" + std::to_string(id);
  const auto out = read_text_file(base + ".out", kMaxExecOutput);
  const auto err = read_text_file(base + ".err", kMaxExecOutput);
  ::unlink((base + ".in").c_str());
  ::unlink((base + ".out").c_str());
  ::unlink((base + ".err").c_str());
  if (!sent) return sent.error();
  if (!ended && given_up) return make_error(ErrorCode::kAborted, "nobody waits for the command any more");
  if (!ended) {
    return make_error(ErrorCode::kTimeout, "the command did not end within " + format_duration(limit),
                      "it goes on in the pod; give a longer timeout_ms");
  }
  pod::PodExit exit;
  exit.kind = WIFSIGNALED(*ended) ? pod::PodExit::Kind::kSignaled : pod::PodExit::Kind::kExited;
  exit.signal = WIFSIGNALED(*ended) ? WTERMSIG(*ended) : 0;
  exit.code = WIFEXITED(*ended) ? WEXITSTATUS(*ended) : 0;
  return JsonObject{
      {"exit", exit.to_json()}, {"stdout", base64_encode(out ? *out : "")}, {"stderr", base64_encode(err ? *err : "")}};
}

}  // namespace cacs::agent
