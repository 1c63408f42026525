#include "application/fake_node.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

namespace cacs::application {

namespace {

Error not_found(std::string_view what) { return make_error(ErrorCode::kNotFound, fmt::format("no {}", what)); }

/// The agent's calls, handed on to the node.
class FakeAgent final : public cloud::NodeAgent {
 public:
  explicit FakeAgent(std::shared_ptr<FakeNode> node) : node_(std::move(node)) {}

  Result<JsonObject> info() override { return node_->info(); }
  Result<JsonObject> events(std::uint64_t after, std::string_view instance, std::chrono::milliseconds wait) override {
    return node_->events(after, instance, wait);
  }
  Result<JsonObject> list_pods() override { return node_->list_pods(); }
  Result<JsonObject> put_pod(std::string_view uid, const JsonObject& spec) override {
    return node_->put_pod(uid, spec);
  }
  Result<JsonObject> get_pod(std::string_view uid) override { return node_->get_pod(uid); }
  Status delete_pod(std::string_view uid, int incarnation) override { return node_->delete_pod(uid, incarnation); }
  Result<JsonObject> ask_to_save(std::string_view uid, std::string_view checkpoint, const JsonObject& body) override {
    return node_->ask_to_save(uid, checkpoint, body);
  }
  Result<JsonObject> begin_cut(std::string_view uid, std::string_view checkpoint, const JsonObject& body) override {
    return node_->begin_cut(uid, checkpoint, body);
  }
  Result<JsonObject> thaw(std::string_view uid, std::string_view checkpoint, int incarnation) override {
    return node_->thaw(uid, checkpoint, incarnation);
  }
  Result<JsonObject> abort_cut(std::string_view uid, std::string_view checkpoint, int incarnation) override {
    return node_->abort_cut(uid, checkpoint, incarnation);
  }
  Result<JsonObject> get_cut(std::string_view uid, std::string_view checkpoint, std::chrono::milliseconds) override {
    return node_->get_cut(uid, checkpoint);
  }
  Result<JsonObject> commit_checkpoint(std::string_view checkpoint, const JsonObject& body) override {
    return node_->commit_checkpoint(checkpoint, body);
  }
  Result<JsonObject> list_checkpoints() override { return node_->list_checkpoints(); }
  Result<JsonObject> get_checkpoint(std::string_view checkpoint) override { return node_->get_checkpoint(checkpoint); }
  Result<JsonObject> verify_checkpoint(std::string_view checkpoint) override {
    return node_->verify_checkpoint(checkpoint);
  }
  Status delete_checkpoint(std::string_view checkpoint) override { return node_->delete_checkpoint(checkpoint); }
  Result<std::string> permit_export(std::string_view checkpoint, std::string_view pod) override {
    return node_->permit_export(checkpoint, pod);
  }
  Status open_network(std::string_view uid, int incarnation) override { return node_->open_network(uid, incarnation); }
  Status report_outcome(std::string_view, const JsonObject& body) override {
    node_->record_outcome(body);
    return {};
  }
  Result<JsonObject> logs(std::string_view uid, const cloud::LogQuery& query) override {
    return node_->logs(uid, query);
  }
  Result<JsonObject> checkpoint_logs(std::string_view checkpoint, std::string_view,
                                     const cloud::LogQuery& query) override {
    return node_->checkpoint_logs(checkpoint, query);
  }
  Result<JsonObject> exec(std::string_view uid, const JsonObject&) override { return not_found(uid); }
  Result<JsonObject> explain(std::string_view uid) override { return not_found(uid); }

 private:
  std::shared_ptr<FakeNode> node_;
};

}  // namespace

Status FakeNode::reach() {
  if (reachable_) return {};
  return make_error(ErrorCode::kUnavailable, "the node does not answer");
}

/// The answer to a call that has taken effect, unless it gets lost on its way.
Result<JsonObject> FakeNode::answer(JsonObject object) {
  if (lose_every_ > 0 && ++calls_ % lose_every_ == 0)
    return make_error(ErrorCode::kUnavailable, "the connection broke before the answer came");
  return object;
}

void FakeNode::push(const std::string& kind, const std::string& uid, JsonObject more) {
  more["seq"] = events_.size() + 1;
  more["kind"] = kind;
  more["uid"] = uid;
  if (const auto pod = pods_.find(uid); pod != pods_.end()) {
    more["incarnation"] = pod->second.incarnation;
    more["log_base"] = pod->second.log_base;
  }
  events_.push_back(std::move(more));
  changed_.notify_all();
}

JsonObject FakeNode::view(const std::string& uid, const Pod& pod) {
  JsonObject object{{"uid", uid}, {"incarnation", pod.incarnation}, {"state", pod.state}, {"log_base", pod.log_base}};
  if (pod.state == "RUNNING") object["ending"] = false;
  if (!pod.exit.empty()) object["exit"] = pod.exit;
  return object;
}

JsonObject FakeNode::cut_view(const std::string& checkpoint, const Cut& cut) {
  JsonObject object{{"checkpoint", checkpoint}, {"uid", cut.uid}, {"phase", cut.phase}, {"timings", JsonObject{}}};
  if (cut.phase == "STORED") object["piece"] = checkpoint + "/" + cut.uid;
  return object;
}

Result<FakeNode::Pod*> FakeNode::current(std::string_view uid, int incarnation) {
  CACS_TRY(reach());
  const auto pod = pods_.find(uid);
  if (pod == pods_.end()) return not_found(uid);
  if (pod->second.incarnation != incarnation) return make_error(ErrorCode::kStale, "another incarnation is there");
  return &pod->second;
}

Result<JsonObject> FakeNode::info() {
  const std::lock_guard lock(mutex_);
  CACS_TRY(reach());
  return JsonObject{
      {"node", "node-0"},
      {"instance", std::to_string(instance_)},
      {"engines", JsonArray{JsonObject{{"name", "criu"}, {"ok", true}}, JsonObject{{"name", "app"}, {"ok", true}}}}};
}

Result<JsonObject> FakeNode::events(std::uint64_t after, std::string_view instance, std::chrono::milliseconds wait) {
  std::unique_lock lock(mutex_);
  const std::string asked(instance);
  changed_.wait_for(lock, wait, [&] {
    return !reachable_ || asked != std::to_string(instance_) || (!hold_events_ && events_.size() > after);
  });
  CACS_TRY(reach());
  JsonArray list;
  const std::size_t first = asked == std::to_string(instance_) ? static_cast<std::size_t>(after) : 0;
  for (std::size_t i = first; !hold_events_ && i < events_.size(); ++i) list.emplace_back(events_[i]);
  return JsonObject{{"instance", std::to_string(instance_)}, {"events", std::move(list)}};
}

Result<JsonObject> FakeNode::list_pods() {
  const std::lock_guard lock(mutex_);
  CACS_TRY(reach());
  JsonArray list;
  for (const auto& [uid, pod] : pods_) list.emplace_back(view(uid, pod));
  return JsonObject{{"pods", std::move(list)}};
}

Result<JsonObject> FakeNode::put_pod(std::string_view uid, const JsonObject& spec) {
  const std::lock_guard lock(mutex_);
  CACS_TRY(reach());
  const int incarnation = static_cast<int>(json_int_or(spec, "incarnation", 0));
  int& newest = newest_[std::string(uid)];
  if (incarnation < newest) return make_error(ErrorCode::kStale, "a newer incarnation was there");
  const auto found = pods_.find(uid);
  if (found != pods_.end() && found->second.incarnation == incarnation)
    return answer(view(std::string(uid), found->second));
  newest = incarnation;
  Pod pod{.incarnation = incarnation, .spec = spec};
  if (const JsonObject* restore = json_find_object(spec, "restore")) {
    pod.restored_from = json_string_or(*restore, "checkpoint", "");
    const std::string name = std::string(uid.substr(uid.rfind('.') + 1));
    if (const JsonArray* from = json_find_array(*restore, "from"); from != nullptr && !from->empty()) {
      JsonObject& part = checkpoints_[pod.restored_from];
      JsonArray pods = json_find_array(part, "pods") == nullptr ? JsonArray{} : *json_find_array(part, "pods");
      pods.emplace_back(name);
      part["checkpoint"] = pod.restored_from;
      part["pods"] = std::move(pods);
    }
    if (!has_pod(pod.restored_from, name)) {
      return make_error(ErrorCode::kNotFound, "no checkpoint " + pod.restored_from + " of " + name);
    }
    pod.output = saved_output_[pod.restored_from];
    const JsonObject* network = json_find_object(spec, "network");
    const JsonArray* hosts = network == nullptr ? nullptr : json_find_array(*network, "hosts");
    pod.open = hosts == nullptr || hosts->size() < 2;
  }
  pod.log_base = {{"stdout", pod.output["stdout"].size()}, {"stderr", pod.output["stderr"].size()}};
  pods_[std::string(uid)] = pod;
  started_.emplace_back(uid);
  push("pod.running", std::string(uid));
  return answer(view(std::string(uid), pod));
}

Result<JsonObject> FakeNode::get_pod(std::string_view uid) {
  const std::lock_guard lock(mutex_);
  CACS_TRY(reach());
  const auto found = pods_.find(uid);
  if (found == pods_.end()) return not_found(uid);
  return view(std::string(uid), found->second);
}

Status FakeNode::delete_pod(std::string_view uid, int incarnation) {
  const std::lock_guard lock(mutex_);
  CACS_TRY(reach());
  const auto found = pods_.find(uid);
  if (found == pods_.end()) return {};
  if (found->second.incarnation > incarnation) return make_error(ErrorCode::kStale, "a newer incarnation is there");
  pods_.erase(found);
  std::erase_if(cuts_, [&](const auto& cut) { return cut.second.uid == uid; });
  changed_.notify_all();
  if (const auto told = answer({}); !told) return told.error();
  return {};
}

Status FakeNode::open_network(std::string_view uid, int incarnation) {
  const std::lock_guard lock(mutex_);
  CACS_TRY(reach());
  CACS_ASSIGN(Pod * pod, current(uid, incarnation));
  pod->open = true;
  if (const auto told = answer({}); !told) return told.error();
  return {};
}

Result<JsonObject> FakeNode::ask_to_save(std::string_view uid, std::string_view, const JsonObject& body) {
  const std::lock_guard lock(mutex_);
  CACS_ASSIGN([[maybe_unused]] Pod * pod, current(uid, static_cast<int>(json_int_or(body, "incarnation", 0))));
  asked_and_cut_.emplace_back("ask");
  if (ask_error_) return *ask_error_;
  return answer(JsonObject{{"phase", "ASKED"}});
}

Result<JsonObject> FakeNode::begin_cut(std::string_view uid, std::string_view checkpoint, const JsonObject& body) {
  std::unique_lock lock(mutex_);
  CACS_ASSIGN(Pod * pod, current(uid, static_cast<int>(json_int_or(body, "incarnation", 0))));
  asked_and_cut_.emplace_back("cut");
  if (const auto known = cuts_.find(checkpoint); known != cuts_.end()) {
    return answer(cut_view(std::string(checkpoint), known->second));
  }
  if (pod->state != "RUNNING") return make_error(ErrorCode::kConflict, "it does not run");
  if (cut_error_) return *cut_error_;
  const std::string id(checkpoint);
  cuts_.emplace(id, Cut{std::string(uid), "DUMPING", pod->output});
  const auto cut = [&] { return cuts_.find(id); };
  changed_.wait(lock, [&] { return !hold_cuts_ || cut() == cuts_.end() || cut()->second.phase != "DUMPING"; });
  if (cut() == cuts_.end()) return not_found(id);
  if (cut()->second.phase == "ABORTED") return make_error(ErrorCode::kAborted, "the cut was aborted");
  cut()->second.phase = "PREPARED";
  return answer(cut_view(id, cut()->second));
}

Result<JsonObject> FakeNode::thaw(std::string_view uid, std::string_view checkpoint, int incarnation) {
  const std::lock_guard lock(mutex_);
  CACS_ASSIGN([[maybe_unused]] Pod * pod, current(uid, incarnation));
  const auto cut = cuts_.find(checkpoint);
  if (cut == cuts_.end()) return not_found(checkpoint);
  if (cut->second.phase == "PREPARED") cut->second.phase = "STORING";
  return answer(cut_view(std::string(checkpoint), cut->second));
}

Result<JsonObject> FakeNode::abort_cut(std::string_view uid, std::string_view checkpoint, int incarnation) {
  const std::lock_guard lock(mutex_);
  CACS_ASSIGN([[maybe_unused]] Pod * pod, current(uid, incarnation));
  const auto [cut, made] = cuts_.try_emplace(std::string(checkpoint), Cut{std::string(uid), "ABORTED", {}});
  if (!made) cut->second.phase = "ABORTED";
  changed_.notify_all();
  return answer(cut_view(std::string(checkpoint), cut->second));
}

Result<JsonObject> FakeNode::get_cut(std::string_view uid, std::string_view checkpoint) {
  const std::lock_guard lock(mutex_);
  CACS_TRY(reach());
  const auto cut = cuts_.find(checkpoint);
  if (cut == cuts_.end()) return not_found(checkpoint);
  if (cut->second.phase == "STORING") cut->second.phase = "STORED";
  JsonObject view = cut_view(std::string(checkpoint), cut->second);
  view["timings"] = JsonObject{{"snapshot_ms", uid.ends_with(".pod-1") ? 70 : 30}};
  return answer(std::move(view));
}

void FakeNode::exit_pod(const std::string& uid, const std::string& kind, int number) {
  const std::lock_guard lock(mutex_);
  const auto found = pods_.find(uid);
  if (found == pods_.end() || found->second.state != "RUNNING") return;
  found->second.state = "EXITED";
  found->second.exit = {{"kind", kind}, {kind == "signaled" ? "signal" : "code", number}};
  std::erase_if(cuts_, [&](const auto& cut) { return cut.second.uid == uid && cut.second.phase != "STORED"; });
  changed_.notify_all();
  push("pod.exited", uid, {{"exit", found->second.exit}});
}

void FakeNode::taint_pod(const std::string& uid) {
  const std::lock_guard lock(mutex_);
  const auto found = pods_.find(uid);
  if (found == pods_.end() || found->second.state != "RUNNING") return;
  found->second.state = "TAINTED";
  push("pod.tainted", uid);
}

void FakeNode::tell(const std::string& kind, const std::string& uid, JsonObject more) {
  const std::lock_guard lock(mutex_);
  push(kind, uid, std::move(more));
}

void FakeNode::ask_for_checkpoint(const std::string& uid, const std::string& request, bool wait) {
  const std::lock_guard lock(mutex_);
  push("pod.checkpoint_requested", uid, {{"request", request}, {"level", "local"}, {"wait", wait}});
}

void FakeNode::hold_events(bool hold) {
  const std::lock_guard lock(mutex_);
  hold_events_ = hold;
  changed_.notify_all();
}

JsonObject FakeNode::spec(const std::string& uid) {
  const std::lock_guard lock(mutex_);
  const auto found = pods_.find(uid);
  return found == pods_.end() ? JsonObject() : found->second.spec;
}

void FakeNode::fail_commits(std::optional<Error> error) {
  const std::lock_guard lock(mutex_);
  commit_error_ = std::move(error);
}

void FakeNode::fail_asks(std::optional<Error> error) {
  const std::lock_guard lock(mutex_);
  ask_error_ = std::move(error);
}

void FakeNode::fail_cuts(std::optional<Error> error) {
  const std::lock_guard lock(mutex_);
  cut_error_ = std::move(error);
}

void FakeNode::hold_cuts(bool hold) {
  const std::lock_guard lock(mutex_);
  hold_cuts_ = hold;
  changed_.notify_all();
}

void FakeNode::lose_answers(int every) {
  const std::lock_guard lock(mutex_);
  lose_every_ = every;
}

void FakeNode::set_reachable(bool reachable) {
  const std::lock_guard lock(mutex_);
  reachable_ = reachable;
  changed_.notify_all();
}

void FakeNode::reboot() {
  const std::lock_guard lock(mutex_);
  pods_.clear();
  cuts_.clear();
  events_.clear();
  ++instance_;
  changed_.notify_all();
}

std::optional<FakeNode::Pod> FakeNode::pod(const std::string& uid) {
  const std::lock_guard lock(mutex_);
  const auto found = pods_.find(uid);
  return found == pods_.end() ? std::nullopt : std::optional(found->second);
}

std::size_t FakeNode::pods() {
  const std::lock_guard lock(mutex_);
  return pods_.size();
}

std::vector<JsonObject> FakeNode::outcomes() {
  const std::lock_guard lock(mutex_);
  return outcomes_;
}

void FakeNode::record_outcome(const JsonObject& body) {
  const std::lock_guard lock(mutex_);
  outcomes_.push_back(body);
}

std::vector<std::string> FakeNode::asked_and_cut() {
  const std::lock_guard lock(mutex_);
  return asked_and_cut_;
}

std::vector<std::string> FakeNode::started() {
  const std::lock_guard lock(mutex_);
  return started_;
}

int FakeNode::frozen() {
  const std::lock_guard lock(mutex_);
  int count = 0;
  for (const auto& [id, cut] : cuts_) count += cut.phase == "PREPARED" || cut.phase == "DUMPING" ? 1 : 0;
  return count;
}

FakeCloud::FakeCloud() {
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    nodes_[i] = std::make_shared<FakeNode>();
    agents_[i] = std::make_shared<FakeAgent>(nodes_[i]);
  }
}

Result<std::vector<cloud::Node>> FakeCloud::claim_nodes(std::string_view claim, int count, std::string_view,
                                                        const std::vector<std::string>& home) {
  CACS_ASSIGN(std::vector<cloud::Node> all, list_nodes());
  // Those of home first, in that order.
  std::ranges::stable_sort(all, {},
                           [&](const cloud::Node& node) { return std::ranges::find(home, node.id) - home.begin(); });
  if (static_cast<std::size_t>(count) > all.size()) return make_error(ErrorCode::kUnavailable, "there are two nodes");
  all.resize(static_cast<std::size_t>(count));
  const std::lock_guard lock(mutex_);
  claims_.emplace(claim);
  return all;
}

Status FakeCloud::release_nodes(std::string_view claim) {
  const std::lock_guard lock(mutex_);
  if (const auto found = claims_.find(claim); found != claims_.end()) claims_.erase(found);
  return {};
}

Result<std::vector<cloud::Node>> FakeCloud::list_nodes() {
  return std::vector<cloud::Node>{
      {.id = "node-0", .state = "ready", .address = "192.0.2.1", .agent = "192.0.2.1:7072"},
      {.id = "node-1", .state = "ready", .address = "192.0.2.2", .agent = "192.0.2.2:7072"}};
}

Result<std::shared_ptr<cloud::NodeAgent>> FakeCloud::agent(std::string_view node) {
  if (node == "node-0") return agents_[0];
  if (node == "node-1") return agents_[1];
  return not_found(node);
}

std::size_t FakeCloud::claims() {
  const std::lock_guard lock(mutex_);
  return claims_.size();
}

}  // namespace cacs::application
