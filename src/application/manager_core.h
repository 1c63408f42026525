#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "application/action_runner.h"
#include "application/manager.h"
#include "application/parts.h"
#include "application/record.h"
#include "application/task_queue.h"
#include "application/view_board.h"
#include "database/database.h"

namespace cacs::application {

/// The inside of the Manager: one thread (the mailbox) owns every Record and steps the machines; workers run actions;
/// one thread for each node listens to its agent. Members marked (mailbox) are touched by that thread only.
class Manager::Core {
 public:
  Core(database::Database& database, Clouds clouds, const ManagerOptions& options);
  ~Core();
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  // manager_start.cpp
  Status load();
  void start_pumps();

  /// Runs `task` on the mailbox and waits for its result. kUnavailable when the manager is stopping.
  template <typename T>
  Result<T> ask(const std::function<Result<T>()>& task);

  // Requests; on the mailbox (manager_requests.cpp)
  Result<Started> submit(const Caller& caller, const Asr& asr);
  Result<Started> request(const Caller& caller, const std::string& application, const std::string& kind, Event event);
  /// The answer given when the caller's key was used before; an empty one when it was not.
  Result<std::optional<Started>> replayed(const Caller& caller);

  /// One step of one machine, made durable, then acted upon. On an error nothing has changed. (mailbox)
  Status apply(Record& record, const Event& event, std::vector<database::Write> extra = {});
  /// An event that nobody waits for: tried again when the database does not take it. (mailbox)
  void handle(const std::string& application, const Event& event);

  [[nodiscard]] Record* find(const std::string& application);

  database::Database& database() { return database_; }
  const Clouds& clouds() const { return clouds_; }
  ViewBoard& board() { return board_; }
  TaskQueue& mailbox() { return mailbox_; }
  TaskQueue& workers() { return workers_; }

 private:
  friend class Manager;

  // manager_core.cpp
  void add_checkpoint_writes(const Record& record, const State& next, std::vector<database::Write>& writes);
  /// What the pod says of itself, which changes nothing of its life.
  void on_progress(const std::string& application, int incarnation, std::int64_t value);
  void on_levels(const std::string& node, const JsonObject& said);
  void on_base_changed(const std::string& application, int incarnation, const JsonObject& said);
  void add_event(Record& record, const Note& note, std::vector<database::Write>& writes,
                 std::vector<EventView>& events);
  std::vector<OperationView> settle_operations(const Record& record, const Transition& transition) const;
  std::optional<OperationView> settle(const Record& record, const OpenOperation& open,
                                      const Transition& transition) const;
  void note_times(Record& record, const State& before);
  std::uint32_t next_network_id();
  void dispatch(Record& record, const std::vector<Action>& actions);
  void start_ready(Record& record);
  void run(Record& record, const Action& action);
  void finish(const std::string& application, const Action& action, const ActionResult& result);
  void arm_timer(Record& record, const Action& action);
  [[nodiscard]] std::optional<WallTime> last_save(const Record& record) const;
  void arm_time_limit(Record& record);
  void time_limit_due(const std::string& application);
  void post_views(const Record& record, const std::vector<OperationView>& finished = {});
  static OperationView open_view(const Record& record, const OpenOperation& open);

  // manager_pump.cpp
  void pump(const std::string& cloud, const std::string& node);
  bool reconcile(const std::string& cloud, const std::string& node, const std::shared_ptr<cloud::NodeAgent>& agent);
  void on_agent_event(const std::string& node, const JsonObject& event);
  bool wait_stop(std::chrono::milliseconds limit);

  // manager_start.cpp
  Status load_applications();
  void reconcile_checkpoints();
  void take_found(const std::string& checkpoint, const std::vector<Part>& parts);
  void remove_incomplete(const std::string& checkpoint, const std::vector<Part>& parts);

  database::Database& database_;
  Clouds clouds_;
  ManagerOptions options_;
  ViewBoard board_;
  std::map<std::string, std::unique_ptr<Record>> records_;  ///< (mailbox)
  std::uint64_t last_event_ = 0;                            ///< (mailbox)
  std::uint32_t last_network_id_ = 0;                       ///< (mailbox)
  std::mutex stop_mutex_;
  std::condition_variable stop_changed_;
  bool stopping_ = false;
  TaskQueue mailbox_{1};
  TaskQueue workers_;
  std::vector<std::thread> pumps_;
};

template <typename T>
Result<T> Manager::Core::ask(const std::function<Result<T>()>& task) {
  std::mutex mutex;
  std::condition_variable changed;
  std::optional<Result<T>> result;
  const bool posted = mailbox_.post([&] {
    Result<T> made = task();
    const std::lock_guard lock(mutex);
    result = std::move(made);
    changed.notify_all();
  });
  const auto stopping = [] { return make_error(ErrorCode::kUnavailable, "the server is stopping", "try again later"); };
  if (!posted) return stopping();
  std::unique_lock lock(mutex);
  // The mailbox runs what it holds or, when it stops, drops it: the Service is taken apart only after its callers are
  // gone, so a task that was posted runs.
  changed.wait(lock, [&] { return result.has_value(); });
  return *std::move(result);
}

}  // namespace cacs::application
