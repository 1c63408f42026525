#include "pod/spec.h"

#include <arpa/inet.h>

#include <algorithm>

#include "base/text.h"
#include "base/uuid.h"

namespace cacs::pod {

namespace {

Error bad(const std::string& what) { return make_error(ErrorCode::kInvalidArgument, "pod specification: " + what); }

bool is_pod_name(std::string_view name) {
  return name.starts_with("pod-") && name.size() > 4 && name.size() <= 10 &&
         std::all_of(name.begin() + 4, name.end(), [](char c) { return c >= '0' && c <= '9'; });
}

constexpr std::size_t kMaxHosts = 4096;
constexpr std::size_t kMaxSources = 256;
constexpr std::size_t kMaxSourceText = 4096;

bool is_safe_path(std::string_view path) {
  if (!path.starts_with('/') || path.size() > 4095 || path.find('\0') != std::string_view::npos) return false;
  const auto parts = split(path, '/');
  return std::none_of(parts.begin(), parts.end(), [](const std::string& part) { return part == ".."; });
}

bool has_nul(std::string_view text) { return text.find('\0') != std::string_view::npos; }

Result<std::vector<std::string>> parse_command(const JsonObject& object) {
  const JsonArray* list = json_find_array(object, "command");
  if (list == nullptr || list->size() > 4096) return bad("command must have at most 4096 words");
  std::vector<std::string> command;
  for (const auto& word : *list) {
    if (!word.is_string() || has_nul(std::string(word.as_string()))) return bad("command must be strings");
    command.emplace_back(word.as_string());
  }
  return command;
}

Status parse_env(const JsonObject& object, std::map<std::string, std::string>& env) {
  const JsonObject* members = json_find_object(object, "env");
  if (members == nullptr) return {};
  if (members->size() > 4096) return bad("env has more than 4096 variables");
  for (const auto& member : *members) {
    const std::string key(member.key());
    if (!member.value().is_string() || key.empty() || key.find('=') != std::string::npos || has_nul(key) ||
        has_nul(std::string(member.value().as_string()))) {
      return bad("env." + printable(key) + " is not a variable");
    }
    env[key] = std::string(member.value().as_string());
  }
  return {};
}

Status parse_files(const JsonObject& object, std::vector<FileSpec>& files) {
  const JsonArray* list = json_find_array(object, "files");
  if (list == nullptr) return {};
  for (const auto& item : *list) {
    const JsonObject* file = item.if_object();
    if (file == nullptr) return bad("files must be objects");
    FileSpec spec;
    CACS_ASSIGN(spec.path, json_string(*file, "path"));
    if (!is_safe_path(spec.path)) return bad("files: path '" + printable(spec.path) + "' must be absolute");
    spec.content = json_string_or(*file, "content", "");
    spec.mode = static_cast<unsigned>(json_int_or(*file, "mode", 0644)) & 07777U;
    files.push_back(std::move(spec));
  }
  return {};
}

Status parse_mounts(const JsonObject& object, std::vector<MountSpec>& mounts) {
  const JsonArray* list = json_find_array(object, "mounts");
  if (list == nullptr) return {};
  if (list->size() > 64) return bad("more than 64 mounts");
  for (const auto& item : *list) {
    const JsonObject* mount = item.if_object();
    if (mount == nullptr) return bad("mounts must be objects");
    MountSpec spec;
    CACS_ASSIGN(spec.source, json_string(*mount, "source"));
    CACS_ASSIGN(spec.target, json_string(*mount, "target"));
    if (!is_safe_path(spec.source) || !is_safe_path(spec.target) || spec.target == "/") {
      return bad("mounts: source and target must be absolute");
    }
    spec.read_only = json_string_or(*mount, "mode", "rw") == "ro";
    spec.rollback = json_bool_or(*mount, "rollback", false);
    mounts.push_back(std::move(spec));
  }
  return {};
}

Result<Underlay> parse_underlay(const JsonObject& object) {
  constexpr std::int64_t kLastId = (1 << 24) - 1;  // of VXLAN
  const auto is_address = [](const std::string& text) {
    in_addr parsed{};
    return ::inet_pton(AF_INET, text.c_str(), &parsed) == 1;
  };
  Underlay underlay;
  CACS_ASSIGN(const std::int64_t id, json_int(object, "id"));
  if (id < 1 || id > kLastId) return bad("network.underlay.id must be from 1 to 16777215");
  underlay.network_id = static_cast<std::uint32_t>(id);
  CACS_ASSIGN(underlay.local, json_string(object, "local"));
  const JsonArray* peers = json_find_array(object, "peers");
  if (!is_address(underlay.local) || peers == nullptr || peers->empty() || peers->size() > kMaxHosts) {
    return bad("network.underlay: an IPv4 address, and those of at least one other node, are needed");
  }
  for (const auto& item : *peers) {
    std::string peer(item.is_string() ? std::string_view(item.get_string()) : std::string_view());
    if (!is_address(peer)) return bad("network.underlay: '" + printable(peer) + "' is not an IPv4 address");
    underlay.peers.push_back(std::move(peer));
  }
  return underlay;
}

Status parse_network(const JsonObject& object, PodSpec& spec) {
  const JsonObject* network = json_find_object(object, "network");
  if (network == nullptr) return {};
  spec.address = json_string_or(*network, "address", spec.address);
  spec.prefix = static_cast<int>(json_int_or(*network, "prefix", spec.prefix));
  spec.egress = json_bool_or(*network, "egress", true);
  in_addr parsed{};
  if (::inet_pton(AF_INET, spec.address.c_str(), &parsed) != 1 || spec.prefix < 8 || spec.prefix > 30) {
    return bad("network: '" + printable(spec.address) + "' is not an IPv4 address with a prefix of 8 to 30");
  }
  if (const JsonArray* hosts = json_find_array(*network, "hosts")) {
    if (hosts->size() > kMaxHosts) return bad("network.hosts names more pods than an application may have");
    for (const auto& item : *hosts) {
      const JsonObject* host = item.if_object();
      if (host == nullptr) return bad("network.hosts must be objects");
      HostName entry;
      CACS_ASSIGN(entry.name, json_string(*host, "name"));
      CACS_ASSIGN(entry.address, json_string(*host, "address"));
      if (!is_pod_name(entry.name) || ::inet_pton(AF_INET, entry.address.c_str(), &parsed) != 1) {
        return bad("network.hosts: '" + printable(entry.name) + "' is not a pod with an address");
      }
      spec.hosts.push_back(std::move(entry));
    }
  }
  if (const JsonObject* underlay = json_find_object(*network, "underlay")) {
    CACS_ASSIGN(spec.underlay, parse_underlay(*underlay));
  }
  return {};
}

Status parse_sources(const JsonObject& restore, std::vector<PartSource>& sources) {
  const JsonArray* list = json_find_array(restore, "from");
  if (list == nullptr) return {};
  if (list->size() > kMaxSources) return bad("restore.from names more sources than there can be");
  for (const auto& item : *list) {
    const JsonObject* said = item.if_object();
    if (said == nullptr) return bad("restore.from must be objects");
    PartSource source{.node = json_string_or(*said, "node", ""),
                      .agent = json_string_or(*said, "agent", ""),
                      .ticket = json_string_or(*said, "ticket", ""),
                      .place = json_string_or(*said, "place", "")};
    const bool is_hex = source.ticket.find_first_not_of("0123456789abcdef") == std::string::npos;
    const bool of_agent = !source.node.empty() && !source.agent.empty() && !source.ticket.empty() && is_hex;
    if (of_agent == !source.place.empty()) return bad("restore.from: a source is an agent with a ticket, or a place");
    for (const std::string* text : {&source.node, &source.agent, &source.ticket, &source.place}) {
      if (text->size() > kMaxSourceText || has_nul(*text)) return bad("restore.from: a name that is too long");
    }
    sources.push_back(std::move(source));
  }
  return {};
}

}  // namespace

bool is_pod_uid(std::string_view uid) {
  return uid.size() > 37 && uid[36] == '.' && is_uuid(uid.substr(0, 36)) && is_pod_name(uid.substr(37));
}

Result<PodSpec> parse_pod_spec(const JsonObject& object) {
  PodSpec spec;
  CACS_ASSIGN(spec.application, json_string(object, "application"));
  CACS_ASSIGN(spec.pod, json_string(object, "pod"));
  if (!is_pod_uid(spec.uid())) return bad("application and pod do not name a pod");
  CACS_ASSIGN(const std::int64_t incarnation, json_int(object, "incarnation"));
  if (incarnation < 1 || incarnation > 1'000'000'000) return bad("incarnation must be positive");
  spec.incarnation = static_cast<int>(incarnation);
  spec.name = json_string_or(object, "name", "");
  spec.tenant = json_string_or(object, "tenant", "default");
  CACS_ASSIGN(spec.command, parse_command(object));
  CACS_TRY(parse_env(object, spec.env));
  spec.workdir = json_string_or(object, "workdir", "/");
  if (!is_safe_path(spec.workdir)) return bad("workdir must be an absolute path");
  spec.user = json_string_or(object, "user", "root");
  if (spec.user.empty()) spec.user = "root";
  if (spec.user.size() > 63 || spec.user.find_first_of(" \t\n") != std::string::npos || has_nul(spec.user)) {
    return bad("user is not a user name");
  }
  CACS_TRY(parse_files(object, spec.files));
  CACS_TRY(parse_mounts(object, spec.mounts));
  CACS_TRY(parse_network(object, spec));
  if (const JsonObject* resources = json_find_object(object, "resources")) {
    if (const Json* cpus = resources->if_contains("cpus"); cpus != nullptr && cpus->is_number()) {
      spec.cpus = cpus->to_number<double>();
    }
    spec.memory_bytes =
        static_cast<std::uint64_t>(std::max<std::int64_t>(0, json_int_or(*resources, "memory_bytes", 0)));
    spec.disk_bytes = static_cast<std::uint64_t>(std::max<std::int64_t>(0, json_int_or(*resources, "disk_bytes", 0)));
    spec.pids = static_cast<std::uint64_t>(std::max<std::int64_t>(0, json_int_or(*resources, "pids", 0)));
  }
  spec.base = json_string_or(object, "base", "host");
  spec.engine = json_string_or(object, "engine", "criu");
  if (spec.engine == "app") {
    const JsonObject* options = json_find_object(object, "engine_options");
    if (options == nullptr) return bad("engine_options must be given for the engine app");
    CACS_ASSIGN(spec.self_saving, parse_self_saving(*options));
  }
  spec.reset_external_connections = json_string_or(object, "external_connections", "refuse") == "reset";
  if (const JsonObject* restore = json_find_object(object, "restore")) {
    CACS_ASSIGN(spec.restore_checkpoint, json_string(*restore, "checkpoint"));
    if (!is_uuid(spec.restore_checkpoint)) return bad("restore.checkpoint is not a checkpoint's id");
    CACS_TRY(parse_sources(*restore, spec.restore_sources));
  }
  return spec;
}

JsonObject pod_spec_to_json(const PodSpec& spec) {
  JsonObject object;
  object["application"] = spec.application;
  object["pod"] = spec.pod;
  object["name"] = spec.name;
  object["incarnation"] = spec.incarnation;
  object["tenant"] = spec.tenant;
  object["command"] = JsonArray(spec.command.begin(), spec.command.end());
  JsonObject env;
  for (const auto& [key, value] : spec.env) env[key] = value;
  object["env"] = std::move(env);
  object["workdir"] = spec.workdir;
  object["user"] = spec.user;
  JsonArray files;
  for (const auto& file : spec.files) {
    files.push_back(JsonObject{{"path", file.path}, {"content", file.content}, {"mode", file.mode}});
  }
  object["files"] = std::move(files);
  JsonArray mounts;
  for (const auto& mount : spec.mounts) {
    mounts.push_back(JsonObject{{"source", mount.source},
                                {"target", mount.target},
                                {"mode", mount.read_only ? "ro" : "rw"},
                                {"rollback", mount.rollback}});
  }
  object["mounts"] = std::move(mounts);
  JsonArray hosts;
  for (const auto& host : spec.hosts) hosts.push_back(JsonObject{{"name", host.name}, {"address", host.address}});
  JsonObject network{
      {"address", spec.address}, {"prefix", spec.prefix}, {"egress", spec.egress}, {"hosts", std::move(hosts)}};
  if (spec.underlay) {
    network["underlay"] = JsonObject{{"id", spec.underlay->network_id},
                                     {"local", spec.underlay->local},
                                     {"peers", JsonArray(spec.underlay->peers.begin(), spec.underlay->peers.end())}};
  }
  object["network"] = std::move(network);
  object["resources"] = JsonObject{
      {"cpus", spec.cpus}, {"memory_bytes", spec.memory_bytes}, {"disk_bytes", spec.disk_bytes}, {"pids", spec.pids}};
  object["base"] = spec.base;
  object["engine"] = spec.engine;
  if (spec.self_saving) object["engine_options"] = self_saving_to_json(*spec.self_saving);
  object["external_connections"] = spec.reset_external_connections ? "reset" : "refuse";
  if (!spec.restore_checkpoint.empty()) {
    JsonArray from;
    for (const auto& source : spec.restore_sources) {
      from.push_back(source.place.empty()
                         ? JsonObject{{"node", source.node}, {"agent", source.agent}, {"ticket", source.ticket}}
                         : JsonObject{{"place", source.place}});
    }
    object["restore"] = JsonObject{{"checkpoint", spec.restore_checkpoint}, {"from", std::move(from)}};
  }
  return object;
}

}  // namespace cacs::pod
