// The checkpoints of a node in memory: as an agent gives them (docs/agent-api.md).

#include <fmt/format.h>

#include <algorithm>

#include "application/fake_node.h"

namespace cacs::application {

/// Under the mutex.
bool FakeNode::has_pod(const std::string& checkpoint, const std::string& pod) const {
  const auto found = checkpoints_.find(checkpoint);
  if (found == checkpoints_.end()) return false;
  const JsonArray* pods = json_find_array(found->second, "pods");
  return pods == nullptr || std::ranges::count(*pods, Json(pod)) > 0;
}

Result<JsonObject> FakeNode::get_checkpoint(std::string_view checkpoint) {
  const std::lock_guard lock(mutex_);
  CACS_TRY(reach());
  const auto found = checkpoints_.find(checkpoint);
  if (found == checkpoints_.end()) return make_error(ErrorCode::kNotFound, "no such checkpoint");
  return answer(found->second);
}

Result<std::string> FakeNode::permit_export(std::string_view checkpoint, std::string_view pod) {
  const std::lock_guard lock(mutex_);
  CACS_TRY(reach());
  if (has_pod(std::string(checkpoint), std::string(pod))) return std::string("0123abcd");
  return make_error(ErrorCode::kNotFound, "nothing of it here");
}

Result<JsonObject> FakeNode::commit_checkpoint(std::string_view checkpoint, const JsonObject& body) {
  const std::lock_guard lock(mutex_);
  CACS_TRY(reach());
  if (commit_error_) return *commit_error_;
  JsonObject object = body;
  JsonArray pods;
  for (const Json& pod : body.at("pods").as_array()) {
    const std::string uid = json_string_or(pod.as_object(), "uid", "");
    pods.emplace_back(uid.substr(uid.rfind('.') + 1));
  }
  object["pods"] = std::move(pods);
  object["checkpoint"] = std::string(checkpoint);
  object["size_bytes"] = 4096;
  object["levels"] = JsonArray{"local"};
  checkpoints_[std::string(checkpoint)] = object;
  if (const auto cut = cuts_.find(checkpoint); cut != cuts_.end()) {
    saved_output_[std::string(checkpoint)] = cut->second.output;
  }
  return answer(object);
}

Result<JsonObject> FakeNode::list_checkpoints() {
  const std::lock_guard lock(mutex_);
  CACS_TRY(reach());
  JsonArray list;
  for (const auto& [id, object] : checkpoints_) list.emplace_back(object);
  return JsonObject{{"checkpoints", std::move(list)}};
}

Result<JsonObject> FakeNode::verify_checkpoint(std::string_view checkpoint) {
  const std::lock_guard lock(mutex_);
  CACS_TRY(reach());
  std::optional<Error> problem;
  if (!checkpoints_.contains(checkpoint)) problem = make_error(ErrorCode::kNotFound, fmt::format("no {}", checkpoint));
  if (damaged_.contains(checkpoint)) {
    problem = make_error(ErrorCode::kCorrupt, fmt::format("checkpoint {}, file /data: it is damaged", checkpoint));
  }
  JsonArray problems;
  if (problem) problems.push_back(error_to_json(*problem));
  return answer({{"ok", !problem.has_value()}, {"problems", std::move(problems)}});
}

void FakeNode::damage_checkpoint(const std::string& checkpoint) {
  const std::lock_guard lock(mutex_);
  damaged_.insert(checkpoint);
}

Status FakeNode::delete_checkpoint(std::string_view checkpoint) {
  const std::lock_guard lock(mutex_);
  CACS_TRY(reach());
  if (const auto found = checkpoints_.find(checkpoint); found != checkpoints_.end()) checkpoints_.erase(found);
  if (const auto told = answer({}); !told) return told.error();
  return {};
}

void FakeNode::lose_checkpoint(const std::string& checkpoint) {
  const std::lock_guard lock(mutex_);
  checkpoints_.erase(checkpoint);
}

std::set<std::string> FakeNode::checkpoints() {
  const std::lock_guard lock(mutex_);
  std::set<std::string> ids;
  for (const auto& [id, object] : checkpoints_) ids.insert(id);
  return ids;
}

}  // namespace cacs::application
