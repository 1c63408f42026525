#include "application/asr.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>

#include "application/app_options.h"
#include "application/field_reader.h"
#include "application/unsupported.h"
#include "base/text.h"

namespace cacs::application {
namespace {

using std::string_view;
using std::chrono::milliseconds;

constexpr std::size_t kMaxName = 253;
constexpr std::size_t kMaxPath = 4095;
constexpr std::size_t kMaxArgument = std::size_t{128} << 10U;  // the kernel's own limit for one argument
constexpr std::size_t kMaxArguments = 4096;
constexpr std::size_t kMaxFiles = 4096;
constexpr std::size_t kMaxFileBytes = std::size_t{8} << 20U;
constexpr std::size_t kMaxBodyBytes = std::size_t{1} << 20U;  // of everything but the files' contents
constexpr int kMaxPods = 1024;

constexpr auto kFields = std::to_array<string_view>(
    {"name",           "command",    "files",  "workdir",   "env",        "secrets", "user",    "cloud",
     "pods",           "nodes",      "base",   "resources", "provision",  "mounts",  "network", "engine",
     "engine_options", "checkpoint", "health", "recovery",  "time_limit", "priority"});
constexpr auto kFileFields = std::to_array<string_view>({"path", "content", "mode"});
constexpr auto kMountFields = std::to_array<string_view>({"source", "target", "mode", "rollback"});
constexpr auto kSecretFields = std::to_array<string_view>({"name", "env"});
constexpr auto kEnvFields = std::to_array<string_view>({"value", "secret"});
constexpr auto kNodeFields = std::to_array<string_view>({"count", "template"});
constexpr auto kResourceFields = std::to_array<string_view>({"cpus", "memory", "disk"});
constexpr auto kNetworkFields = std::to_array<string_view>({"egress", "ports"});
constexpr auto kCheckpointFields = std::to_array<string_view>({"interval", "keep", "levels", "external_connections"});
constexpr auto kHealthFields = std::to_array<string_view>({"command", "interval", "timeout"});
constexpr auto kRecoveryFields = std::to_array<string_view>({"max_attempts", "restart_on", "fence"});
constexpr auto kEngines = std::to_array<string_view>({"criu", "dmtcp", "app"});
constexpr auto kLevels = std::to_array<string_view>({"local", "peer", "remote"});
constexpr auto kModes = std::to_array<string_view>({"rw", "ro"});
constexpr auto kConnections = std::to_array<string_view>({"refuse", "reset"});
constexpr auto kFences = std::to_array<string_view>({"lease"});

string_view view_of(const boost::json::string& text) { return {text.data(), text.size()}; }

/// Bytes that a value holds, without the contents of `files`. The depth is bounded by the JSON parser.
std::size_t weight(const Json& value) {
  if (value.is_string()) return value.get_string().size() + 2;
  std::size_t sum = 8;
  if (value.is_array()) {
    for (const Json& item : value.get_array()) sum += weight(item);
  } else if (value.is_object()) {
    for (const auto& member : value.get_object()) sum += member.key().size() + 2 + weight(member.value());
  }
  return sum;
}

bool is_safe_path(string_view path) {
  if (path.empty() || path.front() != '/' || path.size() > kMaxPath) return false;
  const auto parts = split(path, '/');
  return std::none_of(parts.begin(), parts.end(), [](const std::string& part) { return part == ".."; });
}

bool is_name(string_view text) {
  if (text.empty() || text.size() > kMaxName) return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte >= 0x20 && byte != 0x7f;
  });
}

bool is_env_name(string_view text) {
  if (text.empty() || text.size() > kMaxName || (text.front() >= '0' && text.front() <= '9')) return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
}

/// A user or group name or number as useradd(8) takes it: it goes to a lookup in the pod's own tables.
bool is_user(string_view text) {
  return text.size() <= 32 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
                  c == '.' || c == ':';
         });
}

void read_path(const FieldReader& reader, string_view name, std::string& out) {
  reader.string(name, out, kMaxPath);
  if (reader.has(name) && !is_safe_path(out)) reader.fail(name, "an absolute path without '..'", nullptr);
}

void read_required_path(const FieldReader& reader, string_view name, std::string& out) {
  if (!reader.has(name)) return reader.fail(name, "given: an absolute path without '..'", nullptr);
  read_path(reader, name, out);
}

void read_file_mode(const FieldReader& reader, unsigned& mode) {
  constexpr string_view kWanted = R"(a file mode in octal, as a string from "0000" to "07777")";
  if (!reader.has("mode")) return;
  std::string text;
  reader.string("mode", text, 5);
  unsigned value = 0;
  for (const char c : text) {
    if (c < '0' || c > '7') return reader.fail("mode", kWanted, nullptr);
    value = value * 8 + static_cast<unsigned>(c - '0');
  }
  if (text.empty() || value > 07777) return reader.fail("mode", kWanted, nullptr);
  mode = value;
}

void read_files(const FieldReader& top, Asr& asr, ParseFailure& failure) {
  const JsonArray* items = top.array("files", kMaxFiles);
  if (items == nullptr) return;
  std::size_t total = 0;
  for (std::size_t i = 0; i < items->size(); ++i) {
    const std::string place = fmt::format("files[{}]", i);
    if (!(*items)[i].is_object()) return top.fail(place, "an object with path and content", &(*items)[i]);
    const FieldReader reader((*items)[i].get_object(), place, kFileFields, failure);
    AsrFile file;
    read_required_path(reader, "path", file.path);
    read_file_mode(reader, file.mode);
    const Json* content = reader.find("content");
    if (content == nullptr || !content->is_string()) return reader.fail("content", "a string", content);
    file.content = view_of(content->get_string());
    total += file.content.size();
    if (total > kMaxFileBytes) {
      return failure.fail(make_error(ErrorCode::kTooLarge,
                                     fmt::format("field 'files' holds more than {}", format_size(kMaxFileBytes)),
                                     "bring large inputs in by 'mounts'"));
    }
    const auto same = [&](const AsrFile& other) { return other.path == file.path; };
    if (std::any_of(asr.files.begin(), asr.files.end(), same)) {
      return reader.fail("path", "different from that of every other file", nullptr);
    }
    asr.files.push_back(std::move(file));
  }
}

void read_env(const FieldReader& top, Asr& asr, ParseFailure& failure) {
  const JsonObject* env = top.object("env");
  if (env == nullptr) return;
  if (env->size() > kMaxArguments) return top.fail("env", fmt::format("at most {} variables", kMaxArguments), nullptr);
  for (const auto& member : *env) {
    const string_view name(member.key().data(), member.key().size());
    const std::string place = fmt::format("env.{}", printable(name, 80));
    if (!is_env_name(name)) {
      return top.fail(place, "named with letters, digits and '_', and no digit first", nullptr);
    }
    std::string value;
    if (member.value().is_object()) {
      const FieldReader reader(member.value().get_object(), place, kEnvFields, failure);
      bool secret = false;
      if (!reader.has("value")) return reader.fail("value", "a string", nullptr);
      reader.string("value", value, kMaxArgument);
      reader.boolean("secret", secret);
      if (secret) asr.secret_env.emplace(name);
    } else if (member.value().is_string()) {
      value = view_of(member.value().get_string());
      if (value.size() > kMaxArgument || value.find('\0') != std::string::npos) {
        return top.fail(place, fmt::format("a string of at most {} bytes without NUL", kMaxArgument), nullptr);
      }
    } else {
      return top.fail(place, R"(a string, or {"value": ..., "secret": true})", &member.value());
    }
    asr.env.emplace(name, std::move(value));
  }
}

void read_secrets(const FieldReader& top, Asr& asr, ParseFailure& failure) {
  const JsonArray* items = top.array("secrets", kMaxFiles);
  if (items == nullptr) return;
  for (std::size_t i = 0; i < items->size(); ++i) {
    const std::string place = fmt::format("secrets[{}]", i);
    if (!(*items)[i].is_object()) return top.fail(place, "an object with name and env", &(*items)[i]);
    const FieldReader reader((*items)[i].get_object(), place, kSecretFields, failure);
    AsrSecret secret;
    reader.string("name", secret.name, kMaxName);
    reader.string("env", secret.env, kMaxName);
    if (!is_name(secret.name)) return reader.fail("name", "the name of a secret", nullptr);
    if (!is_env_name(secret.env)) return reader.fail("env", "the name of a variable", nullptr);
    asr.secrets.push_back(std::move(secret));
  }
}

void read_mounts(const FieldReader& top, Asr& asr, ParseFailure& failure) {
  const JsonArray* items = top.array("mounts", 64);
  if (items == nullptr) return;
  for (std::size_t i = 0; i < items->size(); ++i) {
    const std::string place = fmt::format("mounts[{}]", i);
    if (!(*items)[i].is_object()) return top.fail(place, "an object with source and target", &(*items)[i]);
    const FieldReader reader((*items)[i].get_object(), place, kMountFields, failure);
    AsrMount mount;
    std::string mode = "rw";
    read_required_path(reader, "source", mount.source);
    read_required_path(reader, "target", mount.target);
    reader.choice("mode", mode, kModes);
    reader.boolean("rollback", mount.rollback);
    mount.read_only = mode == "ro";
    if (mount.target == "/") return reader.fail("target", "a directory below '/'", nullptr);
    asr.mounts.push_back(std::move(mount));
  }
}

void read_placement(const FieldReader& top, Asr& asr, ParseFailure& failure) {
  top.string("cloud", asr.cloud, kMaxName);
  if (!is_name(asr.cloud)) top.fail("cloud", "the name of a cloud", nullptr);
  top.integer("pods", asr.pods, 1, kMaxPods);
  top.string("base", asr.base, kMaxName);
  top.strings("provision", asr.provision, kMaxArguments, kMaxArgument);
  if (const JsonObject* nodes = top.object("nodes")) {
    const FieldReader reader(*nodes, "nodes", kNodeFields, failure);
    reader.integer("count", asr.node_count, 1, kMaxPods);
    reader.string("template", asr.node_template, kMaxName);
    if (top.find("pods") == nullptr) asr.pods = asr.node_count;
    if (asr.node_count > asr.pods) reader.fail("count", "no more than the number of pods", reader.find("count"));
  }
  if (const JsonObject* resources = top.object("resources")) {
    const FieldReader reader(*resources, "resources", kResourceFields, failure);
    reader.number("cpus", asr.cpus, 0.01, 65536);
    reader.size("memory", asr.memory_bytes);
    reader.size("disk", asr.disk_bytes);
  }
  if (const JsonObject* network = top.object("network")) {
    const FieldReader reader(*network, "network", kNetworkFields, failure);
    reader.boolean("egress", asr.egress);
    const JsonArray* ports = reader.array("ports", 1024);
    for (std::size_t i = 0; ports != nullptr && i < ports->size(); ++i) {
      const Json& port = (*ports)[i];
      const bool valid = port.is_int64() && port.get_int64() >= 1 && port.get_int64() <= 65535;
      if (!valid) return reader.fail(fmt::format("ports[{}]", i), "a port from 1 to 65535", &port);
      asr.ports.push_back(static_cast<int>(port.get_int64()));
    }
  }
}

void read_checkpoint(const FieldReader& top, Asr& asr, ParseFailure& failure) {
  top.string("engine", asr.engine, kMaxName);
  top.choice("engine", asr.engine, kEngines);
  if (const JsonObject* options = top.object("engine_options")) asr.engine_options = *options;
  if (saves_itself(asr)) read_app_options(asr, failure);
  const JsonObject* checkpoint = top.object("checkpoint");
  if (checkpoint == nullptr) return;
  const FieldReader reader(*checkpoint, "checkpoint", kCheckpointFields, failure);
  const Json* interval = reader.find("interval");
  if (interval != nullptr && interval->is_string() && view_of(interval->get_string()) == "auto") {
    asr.checkpoint_interval_auto = true;
  } else if (interval != nullptr) {
    milliseconds given{0};
    reader.duration("interval", given, std::chrono::seconds(1));
    asr.checkpoint_interval = given;
  }
  reader.integer("keep", asr.checkpoint_keep, 1, 10'000);
  reader.strings("levels", asr.checkpoint_levels, 3, 16);
  for (std::size_t i = 0; i < asr.checkpoint_levels.size(); ++i) {
    if (std::find(kLevels.begin(), kLevels.end(), asr.checkpoint_levels[i]) == kLevels.end()) {
      reader.fail(fmt::format("levels[{}]", i), "one of: local, peer, remote", nullptr);
    }
  }
  if (asr.checkpoint_levels.empty()) reader.fail("levels", "an array of at least one level", nullptr);
  std::string connections = "refuse";
  reader.choice("external_connections", connections, kConnections);
  asr.reset_external_connections = connections == "reset";
}

void read_health(const FieldReader& top, Asr& asr, ParseFailure& failure) {
  const JsonObject* health = top.object("health");
  if (health == nullptr) return;
  const FieldReader reader(*health, "health", kHealthFields, failure);
  reader.strings("command", asr.health_command, kMaxArguments, kMaxArgument);
  reader.duration("interval", asr.health_interval, milliseconds(100));
  reader.duration("timeout", asr.health_timeout, milliseconds(100));
}

void read_recovery(const FieldReader& top, Asr& asr, ParseFailure& failure) {
  const JsonObject* recovery = top.object("recovery");
  if (recovery == nullptr) return;
  const FieldReader reader(*recovery, "recovery", kRecoveryFields, failure);
  reader.integer("max_attempts", asr.recovery_max_attempts, 0, 1'000'000);
  reader.choice("fence", asr.fence, kFences);
  const JsonArray* items = reader.array("restart_on", 256);
  if (items == nullptr) return;
  asr.restart_on_signal = false;
  asr.restart_on_oom = false;
  for (std::size_t i = 0; i < items->size(); ++i) {
    const Json& item = (*items)[i];
    if (item.is_string() && view_of(item.get_string()) == "signal") {
      asr.restart_on_signal = true;
    } else if (item.is_string() && view_of(item.get_string()) == "oom") {
      asr.restart_on_oom = true;
    } else if (item.is_int64() && item.get_int64() >= 1 && item.get_int64() <= 255) {
      asr.restart_on_codes.insert(static_cast<int>(item.get_int64()));
    } else {
      return reader.fail(fmt::format("restart_on[{}]", i), R"("signal", "oom" or an exit code from 1 to 255)", &item);
    }
  }
}

void read_command(const FieldReader& top, Asr& asr) {
  if (!top.has("command")) return top.fail("command", "given: the program and its arguments, as an array", nullptr);
  top.strings("command", asr.command, kMaxArguments, kMaxArgument);
  if (asr.command.empty() || asr.command.front().empty()) {
    return top.fail("command", "an array of at least the program's name", nullptr);
  }
  top.string("name", asr.name, kMaxName);
  if (!top.has("name")) {
    const std::string& program = asr.command.front();
    asr.name = printable(program.substr(program.rfind('/') + 1), kMaxName - 3);
    if (asr.name.empty()) asr.name = "application";
  }
  if (!is_name(asr.name)) {
    top.fail("name", fmt::format("of 1 to {} characters, without control characters", kMaxName), nullptr);
  }
}

Result<Asr> parse_fields(const JsonObject& body) {
  ParseFailure failure;
  Asr asr;
  const FieldReader top(body, "", kFields, failure);
  read_command(top, asr);
  read_files(top, asr, failure);
  read_path(top, "workdir", asr.workdir);
  read_env(top, asr, failure);
  read_secrets(top, asr, failure);
  top.string("user", asr.user, 32);
  if (!is_user(asr.user)) top.fail("user", "the name or number of a user", nullptr);
  read_placement(top, asr, failure);
  read_mounts(top, asr, failure);
  read_checkpoint(top, asr, failure);
  read_health(top, asr, failure);
  read_recovery(top, asr, failure);
  top.duration("time_limit", asr.time_limit, std::chrono::seconds(1));
  top.integer("priority", asr.priority, -1'000'000, 1'000'000);
  if (failure.error) return *std::move(failure.error);
  return asr;
}

}  // namespace

Result<Asr> parse_asr(const JsonObject& body) {
  std::size_t bytes = 0;
  for (const auto& member : body) {
    if (member.key() != "files") bytes += member.key().size() + weight(member.value());
  }
  if (bytes > kMaxBodyBytes) {
    return make_error(ErrorCode::kTooLarge,
                      fmt::format("the ASR is larger than {} even without its files", format_size(kMaxBodyBytes)),
                      "put long values into files");
  }
  CACS_ASSIGN(Asr asr, parse_fields(body));
  CACS_TRY(refuse_unsupported(asr));
  return asr;
}

// What we have stored ourselves is read by the same rules, but may hold what this build would no longer take.
Result<Asr> asr_from_stored_json(const JsonObject& object) {
  return parse_fields(object).context("read the stored ASR");
}

}  // namespace cacs::application
