#pragma once

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <string>

#include "application/log_lineage.h"
#include "application/service.h"
#include "base/time.h"
#include "base/uuid.h"

/// A Service in memory, for tests of the API: what it is told happens at once. It waits as the real one does.
namespace cacs::api::testing {

class FakeService final : public application::Service {
 public:
  FakeService() { lineage_.begin(1, 0, 1); }

  using Caller = application::Caller;
  using Started = application::Started;

  Result<Started> submit(const Caller& caller, const application::Asr& asr) override {
    const std::lock_guard lock(mutex_);
    if (auto known = keys_.find(caller.idempotency_key); !caller.idempotency_key.empty() && known != keys_.end()) {
      if (known->second.first != caller.request_digest) {
        return make_error(ErrorCode::kConflict, "the idempotency key was used for another request");
      }
      Started again = known->second.second;
      again.replayed = true;
      return again;
    }
    auto view = std::make_shared<application::ApplicationView>();
    view->id = new_uuid();
    view->name = asr.name;
    view->state = "RUNNING";
    view->cloud = asr.cloud;
    view->engine = asr.engine;
    view->incarnation = 1;
    view->created_at = view->updated_at = wall_now();
    view->started_at = wall_now();
    view->pods = {{.pod = "pod-0", .node = "local-0", .state = "RUNNING", .exit = {}}};
    view->nodes = {"local-0"};
    JsonArray command;
    for (const std::string& part : asr.command) command.emplace_back(part);
    view->asr["command"] = std::move(command);
    view->events = {add_event(view->id, "application.state", "RUNNING")};
    applications_[view->id] = view;
    const Started started{.id = view->id, .operation = add_operation("submit", view->id)};
    if (!caller.idempotency_key.empty()) keys_[caller.idempotency_key] = {caller.request_digest, started};
    return started;
  }

  Result<application::Page<application::ApplicationView>> list(const Caller& /*caller*/,
                                                               const application::ListFilter& filter) override {
    const std::lock_guard lock(mutex_);
    application::Page<application::ApplicationView> page;
    for (auto it = applications_.upper_bound(filter.cursor); it != applications_.end(); ++it) {
      if (!filter.state.empty() && it->second->state != filter.state) continue;
      if (!filter.name.empty() && it->second->name != filter.name) continue;
      if (page.items.size() == filter.limit) {
        page.next_cursor = page.items.back().id;
        break;
      }
      page.items.push_back(*it->second);
    }
    return page;
  }

  Result<std::shared_ptr<const application::ApplicationView>> get(const Caller& /*caller*/,
                                                                  std::string_view id) override {
    const std::lock_guard lock(mutex_);
    return find(id);
  }

  Result<Started> terminate(const Caller& /*caller*/, std::string_view id) override {
    const std::lock_guard lock(mutex_);
    CACS_TRY(find(id));
    const std::string gone(id);
    applications_.erase(gone);
    return Started{.id = gone, .operation = add_operation("delete", gone)};
  }

  Result<application::Page<application::CheckpointView>> list_checkpoints(
      const Caller& /*caller*/, std::string_view id, const application::ListFilter& /*f*/) override {
    const std::lock_guard lock(mutex_);
    CACS_TRY(find(id));
    application::Page<application::CheckpointView> page;
    for (const auto& [key, view] : checkpoints_) {
      if (view.application == id) page.items.push_back(view);
    }
    return page;
  }

  Result<application::CheckpointView> get_checkpoint(const Caller& /*caller*/, std::string_view id,
                                                     std::string_view checkpoint) override {
    const std::lock_guard lock(mutex_);
    return find_checkpoint(id, checkpoint);
  }

  Result<Started> take_checkpoint(const Caller& /*caller*/, std::string_view id) override {
    const std::lock_guard lock(mutex_);
    CACS_TRY(find(id));
    application::CheckpointView view;
    view.id = new_uuid();
    view.application = id;
    view.state = "AVAILABLE";
    view.reason = "request";
    view.incarnation = 1;
    view.created_at = wall_now();
    view.available_at = view.created_at;
    view.size_bytes = 1'000'000;
    view.levels = {"local"};
    view.pods = {"pod-0"};
    view.timings["frozen_ms"] = 12;
    checkpoints_[view.id] = view;
    auto changed = std::make_shared<application::ApplicationView>(*applications_.at(std::string(id)));
    changed->last_checkpoint = view;
    ++changed->checkpoint_count;
    applications_[changed->id] = changed;
    return Started{.id = view.id, .operation = add_operation("checkpoint", std::string(id))};
  }

  Result<Started> restart(const Caller& /*caller*/, std::string_view id, std::string_view checkpoint,
                          const std::optional<application::NodeWish>& wish) override {
    const std::lock_guard lock(mutex_);
    last_wish_ = wish;
    CACS_ASSIGN(const application::CheckpointView view, find_checkpoint(id, checkpoint));
    return Started{.id = view.id, .operation = add_operation("restart", std::string(id))};
  }

  Result<Started> delete_checkpoint(const Caller& /*caller*/, std::string_view id,
                                    std::string_view checkpoint) override {
    const std::lock_guard lock(mutex_);
    CACS_ASSIGN(const application::CheckpointView view, find_checkpoint(id, checkpoint));
    checkpoints_.erase(view.id);
    return Started{.id = view.id, .operation = add_operation("delete-checkpoint", std::string(id))};
  }

  Result<application::OperationView> get_operation(const Caller& /*caller*/, std::string_view id) override {
    const std::lock_guard lock(mutex_);
    const auto found = operations_.find(std::string(id));
    if (found == operations_.end()) return make_error(ErrorCode::kNotFound, "no such operation");
    return found->second;
  }

  Result<std::vector<application::EventView>> events(const Caller& /*caller*/, std::string_view id, std::uint64_t after,
                                                     std::size_t limit, std::chrono::milliseconds wait) override {
    std::unique_lock lock(mutex_);
    if (!id.empty()) CACS_TRY(find(id));
    std::vector<application::EventView> found;
    changed_.wait_for(lock, wait, [&] {
      for (const auto& event : events_) {
        if (event.id > after && (id.empty() || event.application == id) && found.size() < limit) found.push_back(event);
      }
      return !found.empty();
    });
    return found;
  }

  Result<std::vector<application::LogChunk>> logs(const Caller& /*caller*/, std::string_view id,
                                                  std::string_view /*pod*/,
                                                  const std::vector<application::LogPosition>& positions,
                                                  std::size_t limit, std::chrono::milliseconds wait) override {
    std::unique_lock lock(mutex_);
    CACS_TRY(find(id));
    changed_.wait_for(lock, wait, [&] {
      return ended_ || std::any_of(positions.begin(), positions.end(), [&](const application::LogPosition& position) {
               return output_[position.stream].size() != position.offset || kept(position) != position.offset;
             });
    });
    std::vector<application::LogChunk> chunks;
    for (const auto& position : positions) {
      const std::string& output = output_[position.stream];
      application::LogChunk chunk{.incarnation = incarnation_, .stream = position.stream, .offset = kept(position)};
      chunk.rollback = chunk.offset < position.offset;
      if (!chunk.rollback) chunk.data = output.substr(chunk.offset, limit);
      chunk.end = ended_ && !chunk.rollback && chunk.data.empty();
      chunks.push_back(std::move(chunk));
    }
    return chunks;
  }

  Result<JsonObject> exec(const Caller& /*caller*/, std::string_view id, const JsonObject& /*request*/) override {
    const std::lock_guard lock(mutex_);
    CACS_TRY(find(id));
    return JsonObject{
        {"exit", JsonObject{{"kind", "exited"}, {"code", 0}, {"signal", 0}}}, {"stdout", "aGk="}, {"stderr", ""}};
  }

  Result<JsonObject> explain(const Caller& /*caller*/, std::string_view id) override {
    const std::lock_guard lock(mutex_);
    CACS_TRY(find(id));
    return JsonObject{{"savable", true}, {"obstacles", JsonArray()}, {"warnings", JsonArray()}};
  }

  std::vector<std::string> clouds() override { return {"local"}; }

  Result<std::vector<application::NodeView>> nodes(std::string_view cloud) override {
    if (cloud != "local") return make_error(ErrorCode::kNotFound, "no such cloud");
    return std::vector<application::NodeView>{{.id = "local-0", .cloud = "local", .state = "READY", .info = {}}};
  }

  std::string not_ready_because() override {
    const std::lock_guard lock(mutex_);
    return not_ready_;
  }

  // What tests do to it.

  void print(std::string_view text, const std::string& stream = "stdout") {
    const std::lock_guard lock(mutex_);
    output_[stream] += text;
    changed_.notify_all();
  }
  /// A restore to where the streams were so long, and what the restored application prints before anyone looks.
  void roll_back(std::size_t out, std::size_t err = 0, std::string_view then = {}) {
    const std::lock_guard lock(mutex_);
    output_["stdout"].resize(out);
    output_["stderr"].resize(err);
    ++incarnation_;
    lineage_.begin(incarnation_, incarnation_ - 1, 1);
    lineage_.learn(incarnation_, 0, {.out = out, .err = err});
    output_["stdout"] += then;
    changed_.notify_all();
  }
  [[nodiscard]] std::string output(const std::string& stream = "stdout") {
    const std::lock_guard lock(mutex_);
    return output_[stream];
  }
  void end() {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    changed_.notify_all();
  }
  void happen(const std::string& application, const std::string& kind) {
    const std::lock_guard lock(mutex_);
    add_event(application, kind, "it happened");
    changed_.notify_all();
  }
  void set_not_ready(std::string reason) {
    const std::lock_guard lock(mutex_);
    not_ready_ = std::move(reason);
  }
  void rename(const std::string& id, const std::string& name) {
    const std::lock_guard lock(mutex_);
    auto changed = std::make_shared<application::ApplicationView>(*applications_.at(id));
    changed->name = name;
    applications_[id] = changed;
  }
  /// The nodes that the last restart asked for.
  std::optional<application::NodeWish> last_wish() {
    const std::lock_guard lock(mutex_);
    return last_wish_;
  }

 private:
  Result<std::shared_ptr<const application::ApplicationView>> find(std::string_view id) {
    const auto found = applications_.find(std::string(id));
    if (found == applications_.end()) return make_error(ErrorCode::kNotFound, "no application " + std::string(id));
    return found->second;
  }
  /// Up to where what a reader has is still true.
  std::uint64_t kept(const application::LogPosition& position) {
    const auto stream = application::output_stream_from(position.stream);
    const std::uint64_t kept = std::min<std::uint64_t>(position.offset, output_[position.stream].size());
    if (position.incarnation == 0) return kept;
    return std::min(kept, lineage_.kept(0, *stream, position.incarnation, position.offset, incarnation_));
  }
  Result<application::CheckpointView> find_checkpoint(std::string_view id, std::string_view checkpoint) {
    CACS_TRY(find(id));
    // Newest first. NOLINTNEXTLINE(modernize-loop-convert)
    for (auto it = checkpoints_.rbegin(); it != checkpoints_.rend(); ++it) {
      if (it->second.application == id && (checkpoint == "latest" || checkpoint == it->first)) return it->second;
    }
    return make_error(ErrorCode::kNotFound, "no such checkpoint");
  }
  std::string add_operation(std::string kind, std::string application) {
    application::OperationView view;
    view.id = new_uuid();
    view.kind = std::move(kind);
    view.application = std::move(application);
    view.state = "SUCCEEDED";
    view.created_at = view.updated_at = wall_now();
    operations_[view.id] = view;
    return view.id;
  }
  application::EventView add_event(const std::string& application, const std::string& kind,
                                   const std::string& message) {
    application::EventView event{.id = ++last_event_,
                                 .time = wall_now(),
                                 .application = application,
                                 .kind = kind,
                                 .message = message,
                                 .data = {}};
    events_.push_back(event);
    return event;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::shared_ptr<const application::ApplicationView>> applications_;
  std::map<std::string, application::CheckpointView> checkpoints_;
  std::map<std::string, application::OperationView> operations_;
  std::map<std::string, std::pair<Digest, Started>> keys_;
  std::vector<application::EventView> events_;
  std::uint64_t last_event_ = 0;
  std::map<std::string, std::string> output_;
  application::LogLineage lineage_;
  int incarnation_ = 1;
  bool ended_ = false;
  std::optional<application::NodeWish> last_wish_;
  std::string not_ready_;
};

}  // namespace cacs::api::testing
