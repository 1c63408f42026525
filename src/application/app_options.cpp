#include "application/app_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/text.h"

namespace cacs::application {
namespace {

using std::string_view;

constexpr std::size_t kMaxPath = 4095;
constexpr std::size_t kMaxFiles = 256;
constexpr std::size_t kMaxArgument = std::size_t{128} << 10U;
constexpr std::size_t kMaxArguments = 4096;
constexpr std::chrono::milliseconds kLongestTimeout{3'600'000};

constexpr auto kFields =
    std::to_array<string_view>({"command", "signal", "file", "done", "in", "timeout", "files", "restart_command"});
// Those that a program may catch, and that nothing else sends as a rule.
constexpr auto kSignals = std::to_array<string_view>({"HUP", "INT", "QUIT", "USR1", "USR2", "ALRM", "TERM", "WINCH"});
// Made anew with each start, so that nothing in them is ever saved.
constexpr auto kNotOfTheDelta = std::to_array<string_view>({"/dev", "/proc", "/sys", "/.cacs"});

bool is_absolute(string_view path) {
  if (!path.starts_with('/') || path.size() > kMaxPath) return false;
  const auto parts = split(path, '/');
  return std::none_of(parts.begin(), parts.end(), [](const std::string& part) { return part == ".." || part == "."; });
}

bool lies_in(string_view path, string_view directory) {
  return path.starts_with(directory) && (path.size() == directory.size() || path[directory.size()] == '/');
}

/// Of a path with wildcards, the directory that all it may name lies in; of one without, itself.
string_view fixed_part(string_view pattern) {
  const std::size_t wild = pattern.find_first_of("*?[\\");
  return wild == string_view::npos ? pattern : pattern.substr(0, pattern.rfind('/', wild));
}

/// `path` must be where a checkpoint finds it.
void check_kept(const FieldReader& reader, string_view name, string_view path, const Asr& asr) {
  const string_view fixed = fixed_part(path);
  for (const string_view place : kNotOfTheDelta) {
    if (lies_in(fixed, place)) {
      return reader.fail(name, fmt::format("outside of {}, which is made anew with each start", place), nullptr);
    }
  }
  for (const AsrMount& mount : asr.mounts) {
    if (!lies_in(fixed, mount.target)) continue;
    return reader.fail(
        name,
        fmt::format("outside of the mount {}, whose files are not saved with the application", printable(mount.target)),
        nullptr);
  }
}

void read_files(const FieldReader& reader, const Asr& asr, AppOptions& options) {
  constexpr string_view kWanted = "an array of at least one absolute path (wildcards are allowed): what is saved";
  if (!reader.has("files")) return reader.fail("files", "given: the files that the program saves itself into", nullptr);
  reader.strings("files", options.files, kMaxFiles, kMaxPath);
  if (options.files.empty()) return reader.fail("files", kWanted, nullptr);
  for (std::size_t i = 0; i < options.files.size(); ++i) {
    const std::string place = fmt::format("files[{}]", i);
    const std::string& path = options.files[i];
    if (!is_absolute(path) || path.find_first_not_of('/') == std::string::npos) {
      return reader.fail(place, "an absolute path without '..'", nullptr);
    }
    check_kept(reader, place, path, asr);
  }
}

/// A file by which program and CACS tell each other something. It may lie in a mount: it is not saved.
void read_flag(const FieldReader& reader, string_view name, std::string& out) {
  if (!reader.has(name)) return;
  reader.string(name, out, kMaxPath);
  const bool named = is_absolute(out) && !out.ends_with('/');
  if (!named) return reader.fail(name, "an absolute path of a file, without '..'", nullptr);
  for (const string_view place : {"/proc", "/sys", "/.cacs"}) {
    if (lies_in(out, place)) return reader.fail(name, fmt::format("outside of {}", place), nullptr);
  }
}

void read_signal(const FieldReader& reader, std::string& out, ParseFailure& failure) {
  const Json* given = reader.find("signal");
  if (given == nullptr || !given->is_string()) return reader.choice("signal", out, kSignals);
  const string_view text(given->get_string().data(), given->get_string().size());
  const JsonObject bare{{"signal", text.starts_with("SIG") ? text.substr(3) : text}};
  FieldReader(bare, "engine_options", kFields, failure).choice("signal", out, kSignals);
}

void read_pod(const FieldReader& reader, const Asr& asr, std::string& out) {
  if (!reader.has("in")) return;
  const std::string wanted =
      asr.pods == 1 ? "\"pod-0\", the application's only pod" : fmt::format("one of pod-0 to pod-{}", asr.pods - 1);
  reader.string("in", out, 16);
  int number = -1;
  const string_view digits = out.starts_with("pod-") ? string_view(out).substr(4) : string_view();
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  const bool whole = parsed.ec == std::errc() && out == fmt::format("pod-{}", number);
  if (!whole || number < 0 || number >= asr.pods) return reader.fail("in", wanted, nullptr);
}

/// What of the fields goes together.
void check_way(const FieldReader& reader, AppOptions& options) {
  const int ways = (reader.has("command") ? 1 : 0) + (reader.has("signal") ? 1 : 0) + (reader.has("file") ? 1 : 0);
  if (ways != 1) {
    return reader.fail(ways == 0               ? "command"
                       : reader.has("command") ? "command"
                                               : "file",
                       ways == 0 ? "given, or 'signal' or 'file': how the program is asked to save itself"
                                 : "the only one of 'command', 'signal' and 'file': the program is asked in one way",
                       nullptr);
  }
  if (reader.has("command") && (options.command.empty() || options.command.front().empty())) {
    return reader.fail("command", "an array of at least the program's name", nullptr);
  }
  if (reader.has("command") && reader.has("done")) {
    return reader.fail("done", "left out where a command asks: it has saved when the command exits with 0", nullptr);
  }
  if (!options.done.empty() && options.done == options.file) {
    return reader.fail("done", "another file than 'file'", nullptr);
  }
  if (!reader.has("signal")) return;
  if (!reader.has("done")) {
    return reader.fail("done", "given with 'signal': the file by which the program says that it has saved", nullptr);
  }
  // The command, and with it the application's main process, is in the first.
  if (!options.in.empty() && options.in != "pod-0") {
    return reader.fail("in", R"("pod-0" or left out with 'signal': the main process is there)", nullptr);
  }
  options.in = "pod-0";
}

JsonArray strings_json(const std::vector<std::string>& strings) {
  JsonArray json;
  for (const std::string& each : strings) json.emplace_back(each);
  return json;
}

}  // namespace

AppOptions read_app_options(const Asr& asr, ParseFailure& failure) {
  AppOptions options;
  const FieldReader reader(asr.engine_options, "engine_options", kFields, failure);
  reader.strings("command", options.command, kMaxArguments, kMaxArgument);
  read_signal(reader, options.signal, failure);
  read_flag(reader, "file", options.file);
  read_flag(reader, "done", options.done);
  read_pod(reader, asr, options.in);
  reader.duration("timeout", options.timeout, std::chrono::seconds(1));
  if (options.timeout > kLongestTimeout) reader.fail("timeout", "from 1s to 1h", nullptr);
  read_files(reader, asr, options);
  reader.strings("restart_command", options.restart_command, kMaxArguments, kMaxArgument);
  if (reader.has("restart_command") && (options.restart_command.empty() || options.restart_command.front().empty())) {
    reader.fail("restart_command", "an array of at least the program's name", nullptr);
  }
  check_way(reader, options);
  return options;
}

JsonObject app_options_json(const AppOptions& options) {
  JsonObject json{{"in", options.in},
                  {"timeout_ms", options.timeout.count()},
                  {"files", strings_json(options.files)},
                  {"restart_command", strings_json(options.restart_command)}};
  if (!options.command.empty()) json["command"] = strings_json(options.command);
  if (!options.signal.empty()) json["signal"] = options.signal;
  if (!options.file.empty()) json["file"] = options.file;
  if (!options.done.empty()) json["done"] = options.done;
  return json;
}

}  // namespace cacs::application
