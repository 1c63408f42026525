#include <fmt/format.h>

#include "application/asr.h"

namespace cacs::application {
namespace {

JsonArray strings_json(const std::vector<std::string>& items) {
  JsonArray array;
  for (const std::string& item : items) array.emplace_back(item);
  return array;
}

/// In the largest unit that says it exactly: what is written here is read again by parse_duration.
std::string exact_duration(std::chrono::milliseconds duration) {
  const auto ms = duration.count();
  if (ms % 3'600'000 == 0) return fmt::format("{}h", ms / 3'600'000);
  if (ms % 60'000 == 0) return fmt::format("{}m", ms / 60'000);
  if (ms % 1'000 == 0) return fmt::format("{}s", ms / 1'000);
  return fmt::format("{}ms", ms);
}

JsonObject env_json(const Asr& asr, bool with_secrets) {
  JsonObject env;
  for (const auto& [name, value] : asr.env) {
    if (!asr.secret_env.contains(name)) {
      env[name] = value;
    } else {
      env[name] = JsonObject{{"value", with_secrets ? value : std::string("***")}, {"secret", true}};
    }
  }
  return env;
}

JsonArray files_json(const Asr& asr) {
  JsonArray files;
  for (const AsrFile& file : asr.files) {
    files.push_back(
        JsonObject{{"path", file.path}, {"content", file.content}, {"mode", fmt::format("{:04o}", file.mode)}});
  }
  return files;
}

JsonArray mounts_json(const Asr& asr) {
  JsonArray mounts;
  for (const AsrMount& mount : asr.mounts) {
    mounts.push_back(JsonObject{{"source", mount.source},
                                {"target", mount.target},
                                {"mode", mount.read_only ? "ro" : "rw"},
                                {"rollback", mount.rollback}});
  }
  return mounts;
}

JsonObject resources_json(const Asr& asr) {
  JsonObject resources;
  if (asr.cpus > 0) resources["cpus"] = asr.cpus;
  if (asr.memory_bytes > 0) resources["memory"] = static_cast<std::int64_t>(asr.memory_bytes);
  if (asr.disk_bytes > 0) resources["disk"] = static_cast<std::int64_t>(asr.disk_bytes);
  return resources;
}

JsonObject checkpoint_json(const Asr& asr) {
  JsonObject checkpoint;
  if (asr.checkpoint_interval_auto) {
    checkpoint["interval"] = "auto";
  } else if (asr.checkpoint_interval) {
    checkpoint["interval"] = exact_duration(*asr.checkpoint_interval);
  }
  checkpoint["keep"] = asr.checkpoint_keep;
  checkpoint["levels"] = strings_json(asr.checkpoint_levels);
  checkpoint["external_connections"] = asr.reset_external_connections ? "reset" : "refuse";
  return checkpoint;
}

JsonObject recovery_json(const Asr& asr) {
  JsonArray restart_on;
  if (asr.restart_on_signal) restart_on.emplace_back("signal");
  if (asr.restart_on_oom) restart_on.emplace_back("oom");
  for (const int code : asr.restart_on_codes) restart_on.emplace_back(code);
  return {{"max_attempts", asr.recovery_max_attempts}, {"restart_on", restart_on}, {"fence", asr.fence}};
}

}  // namespace

JsonObject asr_to_stored_json(const Asr& asr, bool with_secrets) {
  JsonObject json{{"name", asr.name},
                  {"command", strings_json(asr.command)},
                  {"files", files_json(asr)},
                  {"workdir", asr.workdir},
                  {"env", env_json(asr, with_secrets)}};
  JsonArray secrets;
  for (const AsrSecret& secret : asr.secrets) secrets.push_back(JsonObject{{"name", secret.name}, {"env", secret.env}});
  JsonObject nodes{{"count", asr.node_count}};
  if (!asr.node_template.empty()) nodes["template"] = asr.node_template;
  JsonArray ports;
  for (const int port : asr.ports) ports.emplace_back(port);

  json["secrets"] = std::move(secrets);
  if (!asr.user.empty()) json["user"] = asr.user;
  json["cloud"] = asr.cloud;
  json["pods"] = asr.pods;
  json["nodes"] = std::move(nodes);
  json["resources"] = resources_json(asr);
  json["base"] = asr.base;
  json["provision"] = strings_json(asr.provision);
  json["mounts"] = mounts_json(asr);
  json["network"] = JsonObject{{"egress", asr.egress}, {"ports", std::move(ports)}};
  json["engine"] = asr.engine;
  json["engine_options"] = asr.engine_options;
  json["checkpoint"] = checkpoint_json(asr);
  if (!asr.health_command.empty()) {
    json["health"] = JsonObject{{"command", strings_json(asr.health_command)},
                                {"interval", exact_duration(asr.health_interval)},
                                {"timeout", exact_duration(asr.health_timeout)}};
  }
  json["recovery"] = recovery_json(asr);
  if (asr.time_limit.count() > 0) json["time_limit"] = exact_duration(asr.time_limit);
  json["priority"] = asr.priority;
  return json;
}

JsonObject asr_to_json(const Asr& asr) { return asr_to_stored_json(asr, false); }

}  // namespace cacs::application
