#include "application/pod_request.h"

#include <fmt/format.h>

#include <string>
#include <utility>

#include "application/app_options.h"

namespace cacs::application {
namespace {

/// From a range that no node routes, the same for the application's whole life.
std::string address_of(int pod) { return fmt::format("10.77.{}.{}", (pod + 1) / 256, (pod + 1) % 256); }

JsonObject network_of(const Asr& asr, int pod, const Json& underlay) {
  JsonArray hosts;
  for (int each = 0; asr.pods > 1 && each < asr.pods; ++each) {
    hosts.push_back(JsonObject{{"name", fmt::format("pod-{}", each)}, {"address", address_of(each)}});
  }
  return {{"address", address_of(pod)}, {"prefix", 16},         {"hosts", std::move(hosts)},
          {"underlay", underlay},       {"egress", asr.egress}, {"ports", JsonArray{}}};
}

/// Made plain, where the program saves itself: the node does not read what users write.
JsonObject engine_options_of(const Asr& asr) {
  if (!saves_itself(asr)) return asr.engine_options;
  ParseFailure known;  // they were read when the application was submitted
  return app_options_json(read_app_options(asr, known));
}

}  // namespace

JsonObject pod_request(const ActionContext& context, const Action& action, const Json& underlay,
                       const JsonArray& sources) {
  const Asr& asr = *context.asr;
  const JsonObject json = asr_to_stored_json(asr, true);
  JsonArray command;  // of the first pod; the others run what it launches there
  for (const std::string& word : asr.command) {
    if (action.pod == 0) command.emplace_back(word);
  }
  JsonObject env;
  for (const auto& [name, value] : asr.env) env[name] = value;
  JsonArray files;
  for (const AsrFile& file : asr.files) {
    files.push_back(
        JsonObject{{"path", file.path}, {"content", file.content}, {"mode", static_cast<std::int64_t>(file.mode)}});
  }
  const std::string pod = fmt::format("pod-{}", action.pod);
  return {
      {"application", context.application},
      {"pod", pod},
      {"name", asr.name},
      {"incarnation", action.incarnation},
      {"tenant", context.tenant},
      {"command", std::move(command)},
      {"env", std::move(env)},
      {"workdir", asr.workdir},
      {"user", asr.user},
      {"files", std::move(files)},
      {"resources", JsonObject{{"cpus", asr.cpus},
                               {"memory_bytes", static_cast<std::int64_t>(asr.memory_bytes)},
                               {"disk_bytes", static_cast<std::int64_t>(asr.disk_bytes)},
                               {"pids", 0}}},
      {"mounts", json.at("mounts")},
      {"network", network_of(asr, action.pod, underlay)},
      {"base", asr.base},
      {"engine", asr.engine},
      {"engine_options", engine_options_of(asr)},
      {"external_connections", asr.reset_external_connections ? "reset" : "refuse"},
      {"health", json.contains("health") ? json.at("health") : Json(nullptr)},
      {"restore", action.checkpoint.empty() ? Json(nullptr)
                                            : Json(JsonObject{{"checkpoint", action.checkpoint}, {"from", sources}})}};
}

}  // namespace cacs::application
