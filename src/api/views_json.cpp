#include "api/views_json.h"

#include "net/http_message.h"

namespace cacs::api {
namespace {

Json time_or_null(const std::optional<WallTime>& time) { return time ? Json(format_time(*time)) : Json(nullptr); }

Json text_or_null(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

JsonArray texts(const std::vector<std::string>& list) {
  JsonArray array;
  for (const std::string& text : list) array.emplace_back(text);
  return array;
}

Json last_checkpoint_to_json(const std::optional<application::CheckpointView>& view) {
  if (!view) return nullptr;
  JsonObject object;
  object["id"] = view->id;
  object["created_at"] = format_time(view->created_at);
  object["state"] = view->state;
  object["levels"] = texts(view->levels);
  return object;
}

JsonObject pod_to_json(const application::PodView& view) {
  JsonObject object;
  object["pod"] = view.pod;
  object["node"] = view.node;
  object["state"] = view.state;
  object["exit"] = exit_to_json(view.exit);
  return object;
}

}  // namespace

Json exit_to_json(const std::optional<application::ExitView>& exit) {
  if (!exit) return nullptr;
  JsonObject object;
  object["kind"] = exit->kind;
  object["code"] = exit->code;
  object["signal"] = exit->signal;
  return object;
}

JsonObject problem_to_json(const Error& error) {
  const net::Response response = net::problem_response(error);
  auto parsed = parse_json_object(response.body, "problem");
  return parsed.ok() ? std::move(parsed).value() : JsonObject();
}

JsonObject event_to_json(const application::EventView& view) {
  JsonObject object;
  object["id"] = view.id;
  object["time"] = format_time(view.time);
  object["application"] = text_or_null(view.application);
  object["kind"] = view.kind;
  object["message"] = view.message;
  object["data"] = view.data;
  return object;
}

JsonObject application_to_json(const application::ApplicationView& view, bool whole) {
  JsonObject object;
  object["id"] = view.id;
  object["name"] = view.name;
  object["state"] = view.state;
  object["reason"] = view.reason;
  object["cloud"] = view.cloud;
  object["engine"] = view.engine;
  object["incarnation"] = view.incarnation;
  object["attempts"] = view.attempts;
  object["created_at"] = format_time(view.created_at);
  object["started_at"] = time_or_null(view.started_at);
  object["updated_at"] = format_time(view.updated_at);
  object["ended_at"] = time_or_null(view.ended_at);
  JsonArray pods;
  for (const auto& pod : view.pods) pods.emplace_back(pod_to_json(pod));
  object["pods"] = std::move(pods);
  object["nodes"] = texts(view.nodes);
  object["health"] = view.health;
  object["exit"] = exit_to_json(view.exit);
  object["restored_from"] = text_or_null(view.restored_from);
  object["last_checkpoint"] = last_checkpoint_to_json(view.last_checkpoint);
  object["checkpoint_count"] = view.checkpoint_count;
  object["progress"] = view.progress ? Json(*view.progress) : Json(nullptr);
  object["next_checkpoint_at"] = time_or_null(view.next_checkpoint_at);
  object["operation"] = text_or_null(view.operation);
  if (!whole) return object;
  object["asr"] = view.asr;
  JsonArray events;
  for (const auto& event : view.events) events.emplace_back(event_to_json(event));
  object["events"] = std::move(events);
  return object;
}

JsonObject checkpoint_to_json(const application::CheckpointView& view) {
  JsonObject object;
  object["id"] = view.id;
  object["application"] = view.application;
  object["state"] = view.state;
  object["reason"] = view.reason;
  object["problem"] = view.problem ? Json(problem_to_json(*view.problem)) : Json(nullptr);
  object["incarnation"] = view.incarnation;
  object["created_at"] = format_time(view.created_at);
  object["available_at"] = time_or_null(view.available_at);
  object["size_bytes"] = view.size_bytes;
  object["stored_bytes"] = view.stored_bytes;
  object["levels"] = texts(view.levels);
  object["pods"] = texts(view.pods);
  object["compatibility"] = view.compatibility;
  object["timings"] = view.timings;
  return object;
}

JsonObject operation_to_json(const application::OperationView& view) {
  JsonObject object;
  object["id"] = view.id;
  object["kind"] = view.kind;
  object["application"] = text_or_null(view.application);
  object["checkpoint"] = text_or_null(view.checkpoint);
  object["state"] = view.state;
  object["phase"] = view.phase;
  object["bytes_done"] = view.bytes_done;
  object["bytes_total"] = view.bytes_total;
  object["eta_ms"] = view.eta_ms ? Json(*view.eta_ms) : Json(nullptr);
  object["created_at"] = format_time(view.created_at);
  object["updated_at"] = format_time(view.updated_at);
  object["result"] = view.state == "SUCCEEDED" ? Json(view.result) : Json(nullptr);
  object["problem"] = view.problem ? Json(problem_to_json(*view.problem)) : Json(nullptr);
  return object;
}

JsonObject node_to_json(const application::NodeView& view) {
  JsonObject object;
  object["id"] = view.id;
  object["cloud"] = view.cloud;
  object["state"] = view.state;
  object["info"] = view.info;
  return object;
}

std::string base64_encode(std::string_view bytes) {
  static constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t have = std::min<std::size_t>(3, bytes.size() - i);
    unsigned group = 0;
    for (std::size_t j = 0; j < 3; ++j) {
      group = (group << 8U) | (j < have ? static_cast<unsigned char>(bytes[i + j]) : 0U);
    }
    for (std::size_t j = 0; j < 4; ++j) {
      out.push_back(j <= have ? kDigits[(group >> (18U - 6U * j)) & 63U] : '=');
    }
  }
  return out;
}

}  // namespace cacs::api
