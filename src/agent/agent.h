#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>

#include "agent/adoption.h"
#include "agent/checkpoint_store.h"
#include "agent/event_queue.h"
#include "agent/exports.h"
#include "agent/level_lane.h"
#include "agent/node_pod.h"
#include "delta/delta_store.h"
#include "engine/engine.h"

namespace cacs::agent {

struct AgentOptions {
  std::filesystem::path state_dir;  ///< of this node; made where missing
  std::filesystem::path mask_dir;   ///< what no pod may see: the server's state directory, or this node's
  std::string node = "local-0";
  std::filesystem::path program;       ///< cacs
  std::filesystem::path init_program;  ///< cacs-init
  std::filesystem::path criu;
  std::string remote;                 ///< location of this node's own remote level (docs/levels.md); empty: none
  std::uint64_t remote_rate = 0;      ///< bytes a second that are sent there; 0: no limit
  std::string listen;                 ///< "ADDRESS:PORT" where the server reaches it besides agent.sock; empty: nowhere
  std::string listen_peers;           ///< the same, for other nodes' agents
  std::filesystem::path tls;          ///< what it proves itself by there (net/certificates.h)
  std::filesystem::path cluster_key;  ///< key file of a repository that is made here, the same on all nodes; empty: own
  int network_fd = -1;                ///< the namespace of the nodes' network; -1: the one that the agent is in
  int hold_fd = -1;  ///< what else the network consists of; both are kept open here and by the shims, as these numbers
};

/// The agent of one node: docs/agent-api.md, without HTTP. Any thread may make any call.
class Agent {
 public:
  /// Opens repository and delta store, takes up the pods that are here. kConflict when another agent has the directory.
  static Result<std::unique_ptr<Agent>> start(const AgentOptions& options);
  ~Agent();
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  /// Before an orderly end: of pods that have ended only files stay, and where none runs the delta store is unmounted,
  /// so that no process, mount or control group stays on the machine.
  void leave();

  Result<JsonObject> info();
  EventQueue& events() { return events_; }

  JsonObject list_pods();
  Result<JsonObject> put_pod(const std::string& uid, const JsonObject& spec);
  Status delete_pod(const std::string& uid, int incarnation);
  /// The pod, if its incarnation is not newer than the caller's (kStale); 0: any.
  Result<std::shared_ptr<NodePod>> find_pod(const std::string& uid, int incarnation = 0);

  Result<JsonObject> commit_checkpoint(const std::string& checkpoint, const JsonObject& body);
  Result<JsonObject> list_checkpoints();
  Result<JsonObject> get_checkpoint(const std::string& checkpoint);
  Result<JsonObject> verify_checkpoint(const std::string& checkpoint);
  /// The output of a pod as a checkpoint has it.
  Result<JsonObject> checkpoint_logs(const std::string& checkpoint, const std::string& pod, const LogWish& wish);
  Status delete_checkpoint(const std::string& checkpoint);
  /// What other nodes may have of this one's checkpoints.
  Exports& exports() { return *exports_; }

 private:
  explicit Agent(AgentOptions options);
  Status set_up();
  Status open_store();
  void recover_pods();
  /// What is told of a checkpoint: its manifest's head, and the levels that it has reached.
  JsonObject checkpoint_view(const repository::Manifest& head);
  void tell_levels(const std::string& checkpoint);
  /// Whether this node is one that the pod of the checkpoint can be restored on.
  Status check_fits(const repository::Manifest& manifest, const std::string& pod);
  /// The same, and whether it was saved by the engine that is to bring it back.
  Status check_restorable(const repository::Manifest& manifest, const pod::PodSpec& spec);
  Status bring_part(const pod::PodSpec& spec);
  void collect_garbage();
  void want_collection();

  AgentOptions options_;
  UniqueFd lock_;
  EventQueue events_;
  std::unique_ptr<engine::Engine> engine_;
  engine::ProbeResult probe_;
  delta::DeltaStore delta_store_;
  std::stop_source store_stop_;  ///< ends what waits for the remote level, or for writers to end
  std::unique_ptr<CheckpointStore> store_;
  std::unique_ptr<Exports> exports_;
  std::unique_ptr<Adoption> adoption_;
  std::unique_ptr<LevelLane> lane_;  ///< null without a remote level
  std::unique_ptr<Switches> switches_;
  PodContext context_;
  std::mutex mutex_;
  std::mutex put_mutex_;  ///< one making or removal of pods at a time
  std::map<std::string, std::shared_ptr<NodePod>> pods_;
  std::mutex collect_mutex_;
  bool collect_wanted_ = false;
  bool stopping_ = false;
  std::condition_variable collect_changed_;
  std::thread collector_;
};

/// `cacs agent`: serves the agent's API on STATE/agent.sock until SIGTERM or SIGINT. Pods run on without it.
int run_agent(const AgentOptions& options);

}  // namespace cacs::agent
