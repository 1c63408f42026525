// The output of pods in memory: as an agent gives it (docs/agent-api.md, logs).

#include <algorithm>

#include "application/fake_node.h"
#include "base/base64.h"

namespace cacs::application {

namespace {

std::vector<std::pair<std::string, std::uint64_t>> wanted_of(const cloud::LogQuery& query) {
  std::vector<std::pair<std::string, std::uint64_t>> wanted;
  if (query.out) wanted.emplace_back("stdout", *query.out);
  if (query.err) wanted.emplace_back("stderr", *query.err);
  return wanted;
}

JsonObject answer_of(int incarnation, bool eof, FakeNode::Output output, const cloud::LogQuery& query) {
  JsonArray streams;
  for (const auto& [name, offset] : wanted_of(query)) {
    const std::string& all = output[name];
    const std::string data = offset < all.size() ? all.substr(offset, query.limit) : "";
    streams.push_back(
        JsonObject{{"stream", name}, {"offset", offset}, {"size", all.size()}, {"data", base64_encode(data)}});
  }
  return {{"incarnation", incarnation}, {"ready", true}, {"eof", eof}, {"streams", std::move(streams)}};
}

}  // namespace

void FakeNode::print(const std::string& uid, const std::string& stream, const std::string& text) {
  const std::lock_guard lock(mutex_);
  const auto found = pods_.find(uid);
  if (found == pods_.end() || found->second.state != "RUNNING") return;
  found->second.output[stream] += text;
  changed_.notify_all();
}

Result<JsonObject> FakeNode::logs(std::string_view uid, const cloud::LogQuery& query) {
  std::unique_lock lock(mutex_);
  const auto news = [&] {
    const auto pod = pods_.find(uid);
    if (!reachable_ || pod == pods_.end() || pod->second.state != "RUNNING") return true;
    const auto wanted = wanted_of(query);
    return std::any_of(wanted.begin(), wanted.end(),
                       [&](const auto& each) { return pod->second.output[each.first].size() != each.second; });
  };
  changed_.wait_for(lock, query.wait, news);
  CACS_TRY(reach());
  const auto pod = pods_.find(uid);
  if (pod == pods_.end()) return make_error(ErrorCode::kNotFound, "no such pod");
  return answer_of(pod->second.incarnation, pod->second.state == "EXITED", pod->second.output, query);
}

Result<JsonObject> FakeNode::checkpoint_logs(std::string_view checkpoint, const cloud::LogQuery& query) {
  const std::lock_guard lock(mutex_);
  CACS_TRY(reach());
  const auto found = checkpoints_.find(checkpoint);
  if (found == checkpoints_.end()) return make_error(ErrorCode::kNotFound, "no such checkpoint");
  const int incarnation = static_cast<int>(json_int_or(found->second, "incarnation", 0));
  return answer_of(incarnation, true, saved_output_[std::string(checkpoint)], query);
}

}  // namespace cacs::application
