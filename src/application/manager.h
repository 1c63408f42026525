#pragma once

#include <chrono>
#include <memory>

#include "application/action_runner.h"
#include "application/service.h"
#include "application/unsupported.h"
#include "database/database.h"

namespace cacs::application {

struct ManagerOptions {
  Offers offers;
  std::size_t workers = 16;                             ///< threads that run actions
  std::chrono::milliseconds poll_wait{2'000};           ///< of one long poll of an agent's events
  std::chrono::milliseconds reconnect_wait{500};        ///< before an agent that does not answer is asked again
  std::chrono::milliseconds time_limit_margin{10'000};  ///< at least; for the checkpoint before the wall time is over
};

/// The Application Manager: drives the life cycle of every application (lifecycle.h). One thread owns all machines; a
/// transition is durable in the database before its actions run on the worker threads; one thread for each node waits
/// for its agent's events. Reads are answered from immutable views and never wait for any of these.
class Manager final : public Service {
 public:
  /// Loads what is stored, compares it with what the agents have, and goes on where it was left. `database` and
  /// `clouds` must outlive the manager. Fails when the database cannot be read; agents that do not answer are no
  /// failure.
  static Result<std::unique_ptr<Manager>> start(database::Database& database, Clouds clouds,
                                                const ManagerOptions& options = {});
  /// Stops all threads; takes up to poll_wait. Applications run on.
  ~Manager() override;
  Manager(const Manager&) = delete;
  Manager& operator=(const Manager&) = delete;

  Result<Started> submit(const Caller& caller, const Asr& asr) override;
  Result<Page<ApplicationView>> list(const Caller& caller, const ListFilter& filter) override;
  Result<std::shared_ptr<const ApplicationView>> get(const Caller& caller, std::string_view application) override;
  Result<Started> terminate(const Caller& caller, std::string_view application) override;
  Result<Page<CheckpointView>> list_checkpoints(const Caller& caller, std::string_view application,
                                                const ListFilter& filter) override;
  Result<CheckpointView> get_checkpoint(const Caller& caller, std::string_view application,
                                        std::string_view checkpoint) override;
  Result<Started> take_checkpoint(const Caller& caller, std::string_view application) override;
  Result<Started> restart(const Caller& caller, std::string_view application, std::string_view checkpoint,
                          const std::optional<NodeWish>& wish) override;
  Result<Started> delete_checkpoint(const Caller& caller, std::string_view application,
                                    std::string_view checkpoint) override;
  Result<OperationView> get_operation(const Caller& caller, std::string_view operation) override;
  Result<std::vector<EventView>> events(const Caller& caller, std::string_view application, std::uint64_t after_id,
                                        std::size_t limit, std::chrono::milliseconds wait) override;
  Result<std::vector<LogChunk>> logs(const Caller& caller, std::string_view application, std::string_view pod,
                                     const std::vector<LogPosition>& positions, std::size_t limit,
                                     std::chrono::milliseconds wait) override;
  Result<JsonObject> exec(const Caller& caller, std::string_view application, const JsonObject& request) override;
  Result<JsonObject> explain(const Caller& caller, std::string_view application) override;
  std::vector<std::string> clouds() override;
  Result<std::vector<NodeView>> nodes(std::string_view cloud) override;
  std::string not_ready_because() override;

 private:
  class Core;
  explicit Manager(std::unique_ptr<Core> core);

  /// The agent and uid of a pod of a running application.
  struct Target {
    std::shared_ptr<cloud::NodeAgent> agent;
    std::string uid;
    std::shared_ptr<const ApplicationView> view;
  };
  /// Whether there are such nodes.
  Status check_wish(const ApplicationView& view, const NodeWish& wish);
  Result<std::vector<cloud::Node>> nodes_of(std::string_view cloud);
  Result<Target> target(const Caller& caller, std::string_view application, std::string_view pod);
  /// The output of a pod as the application's newest checkpoint has it.
  Result<JsonObject> saved_logs(const ApplicationView& view, std::string_view pod, const cloud::LogQuery& query);

  std::unique_ptr<Core> core_;
};

}  // namespace cacs::application
