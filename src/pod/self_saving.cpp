#include "pod/self_saving.h"

#include <algorithm>
#include <array>
#include <csignal>
#include <string_view>
#include <utility>

#include "base/text.h"

namespace cacs::pod {

namespace {

constexpr std::size_t kMaxWords = 4096;
constexpr std::size_t kMaxFiles = 256;
constexpr std::size_t kMaxPath = 4095;
constexpr std::int64_t kLongestTimeoutMs = 3'600'000;

Error bad(const std::string& what) {
  return make_error(ErrorCode::kInvalidArgument, "pod specification: engine_options." + what);
}

bool is_safe_path(std::string_view path) {
  if (!path.starts_with('/') || path.size() > kMaxPath || path.find('\0') != std::string_view::npos) return false;
  const auto parts = split(path, '/');
  return std::none_of(parts.begin(), parts.end(), [](const std::string& part) { return part == ".." || part == "."; });
}

Status read_strings(const JsonObject& object, const char* name, std::size_t most, std::vector<std::string>& out) {
  const JsonArray* list = json_find_array(object, name);
  if (list == nullptr) return {};
  if (list->size() > most) return bad(std::string(name) + " has more than " + std::to_string(most) + " items");
  for (const auto& item : *list) {
    if (!item.is_string()) return bad(std::string(name) + " must be strings");
    std::string text(item.get_string());
    if (text.find('\0') != std::string::npos) return bad(std::string(name) + " must be strings without NUL");
    out.push_back(std::move(text));
  }
  return {};
}

Status read_flag(const JsonObject& object, const char* name, std::string& out) {
  out = json_string_or(object, name, "");
  if (out.empty() || (is_safe_path(out) && !out.ends_with('/'))) return {};
  return bad(std::string(name) + " must be an absolute path of a file");
}

Status check(const SelfSaving& saving) {
  const int ways = (saving.command.empty() ? 0 : 1) + (saving.signal.empty() ? 0 : 1) + (saving.file.empty() ? 0 : 1);
  if (ways != 1) return bad("command, signal and file: exactly one must be given");
  if (!saving.signal.empty() && signal_number(saving.signal) == 0) {
    return bad("signal: '" + printable(saving.signal) + "' is none that programs are asked by");
  }
  if (!saving.signal.empty() && saving.done.empty()) return bad("done must be given with signal");
  if (!saving.command.empty() && saving.command.front().empty()) return bad("command names no program");
  if (saving.files.empty()) return bad("files must name at least one");
  if (!std::all_of(saving.files.begin(), saving.files.end(), is_safe_path)) return bad("files must be absolute paths");
  return {};
}

}  // namespace

int signal_number(const std::string& name) {
  constexpr std::array<std::pair<std::string_view, int>, 8> kSignals{{{"HUP", SIGHUP},
                                                                      {"INT", SIGINT},
                                                                      {"QUIT", SIGQUIT},
                                                                      {"USR1", SIGUSR1},
                                                                      {"USR2", SIGUSR2},
                                                                      {"ALRM", SIGALRM},
                                                                      {"TERM", SIGTERM},
                                                                      {"WINCH", SIGWINCH}}};
  for (const auto& [known, number] : kSignals) {
    if (known == name) return number;
  }
  return 0;
}

std::string SelfSaving::way() const {
  if (!signal.empty()) return "signal " + signal;
  if (!file.empty()) return "the file " + printable(file);
  std::string words;
  for (const auto& word : command) words += (words.empty() ? "" : " ") + word;
  return "'" + printable(words) + "'";
}

Result<SelfSaving> parse_self_saving(const JsonObject& object) {
  SelfSaving saving;
  CACS_TRY(read_strings(object, "command", kMaxWords, saving.command));
  saving.signal = json_string_or(object, "signal", "");
  CACS_TRY(read_flag(object, "file", saving.file));
  CACS_TRY(read_flag(object, "done", saving.done));
  saving.in = json_string_or(object, "in", "");
  const std::int64_t timeout = json_int_or(object, "timeout_ms", saving.timeout.count());
  if (timeout < 1 || timeout > kLongestTimeoutMs) return bad("timeout_ms must be from 1 to an hour");
  saving.timeout = std::chrono::milliseconds(timeout);
  CACS_TRY(read_strings(object, "files", kMaxFiles, saving.files));
  CACS_TRY(read_strings(object, "restart_command", kMaxWords, saving.restart_command));
  CACS_TRY(check(saving));
  return saving;
}

JsonObject self_saving_to_json(const SelfSaving& saving) {
  return {{"command", JsonArray(saving.command.begin(), saving.command.end())},
          {"signal", saving.signal},
          {"file", saving.file},
          {"done", saving.done},
          {"in", saving.in},
          {"timeout_ms", saving.timeout.count()},
          {"files", JsonArray(saving.files.begin(), saving.files.end())},
          {"restart_command", JsonArray(saving.restart_command.begin(), saving.restart_command.end())}};
}

}  // namespace cacs::pod
