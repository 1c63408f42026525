#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cloud/cloud.h"

namespace cacs::application {

/// A node in memory for tests of the manager: its agent keeps docs/agent-api.md, but nothing runs in its pods, and the
/// test says when one exits, fails, or when the node cannot be reached. What is committed outlives a new agent, pods do
/// not. Any thread.
class FakeNode {
 public:
  using Output = std::map<std::string, std::string>;  ///< of each stream

  struct Pod {
    int incarnation = 0;
    std::string state = "RUNNING";
    std::string restored_from;
    JsonObject exit;
    Output output;
    JsonObject log_base;
    bool open = true;  ///< its application's other pods hear it
    JsonObject spec;   ///< as it was asked for
  };

  // What the agent answers; see cloud/node_agent.h.
  Result<JsonObject> info();
  Result<JsonObject> events(std::uint64_t after, std::string_view instance, std::chrono::milliseconds wait);
  Result<JsonObject> list_pods();
  Result<JsonObject> put_pod(std::string_view uid, const JsonObject& spec);
  Result<JsonObject> get_pod(std::string_view uid);
  Status delete_pod(std::string_view uid, int incarnation);
  Status open_network(std::string_view uid, int incarnation);
  Result<JsonObject> ask_to_save(std::string_view uid, std::string_view checkpoint, const JsonObject& body);
  Result<JsonObject> begin_cut(std::string_view uid, std::string_view checkpoint, const JsonObject& body);
  Result<JsonObject> thaw(std::string_view uid, std::string_view checkpoint, int incarnation);
  Result<JsonObject> abort_cut(std::string_view uid, std::string_view checkpoint, int incarnation);
  Result<JsonObject> get_cut(std::string_view uid, std::string_view checkpoint);
  Result<JsonObject> commit_checkpoint(std::string_view checkpoint, const JsonObject& body);
  Result<JsonObject> list_checkpoints();
  Result<JsonObject> get_checkpoint(std::string_view checkpoint);
  Result<JsonObject> verify_checkpoint(std::string_view checkpoint);
  Result<std::string> permit_export(std::string_view checkpoint, std::string_view pod);
  Status delete_checkpoint(std::string_view checkpoint);
  Result<JsonObject> logs(std::string_view uid, const cloud::LogQuery& query);
  Result<JsonObject> checkpoint_logs(std::string_view checkpoint, const cloud::LogQuery& query);

  // What happens there.
  void exit_pod(const std::string& uid, const std::string& kind, int number);
  void taint_pod(const std::string& uid);
  void print(const std::string& uid, const std::string& stream, const std::string& text);
  void tell(const std::string& kind, const std::string& uid, JsonObject more);  ///< an event of its agent
  void ask_for_checkpoint(const std::string& uid, const std::string& request, bool wait);
  void fail_cuts(std::optional<Error> error);  ///< every cut from now on; unset: no more
  void fail_asks(std::optional<Error> error);
  void fail_commits(std::optional<Error> error);
  void hold_cuts(bool hold);     ///< dumps take until they are aborted, or let go
  void lose_answers(int every);  ///< each n-th call takes effect, and its answer is lost; 0: none
  void set_reachable(bool reachable);
  void hold_events(bool hold);  ///< what happens is told later
  void reboot();                ///< all pods are gone, and the agent is a new one
  void lose_checkpoint(const std::string& checkpoint);

  // What is there.
  std::optional<Pod> pod(const std::string& uid);
  JsonObject spec(const std::string& uid);
  std::size_t pods();
  std::set<std::string> checkpoints();
  /// From now on it is found damaged when it is verified.
  void damage_checkpoint(const std::string& checkpoint);
  std::vector<JsonObject> outcomes();
  void record_outcome(const JsonObject& body);
  int frozen();                              ///< pods that a cut holds
  std::vector<std::string> asked_and_cut();  ///< "ask" and "cut", in the order in which they came
  std::vector<std::string> started();        ///< uids of pods, likewise

 private:
  struct Cut {
    std::string uid;
    std::string phase;
    Output output;  ///< when it was taken
  };
  [[nodiscard]] bool has_pod(const std::string& checkpoint, const std::string& pod) const;
  Status reach();
  Result<JsonObject> answer(JsonObject object);
  void push(const std::string& kind, const std::string& uid, JsonObject more = {});
  static JsonObject view(const std::string& uid, const Pod& pod);
  JsonObject cut_view(const std::string& checkpoint, const Cut& cut);
  Result<Pod*> current(std::string_view uid, int incarnation);

  std::mutex mutex_;
  std::condition_variable changed_;
  int instance_ = 1;
  bool reachable_ = true;
  bool hold_cuts_ = false;
  bool hold_events_ = false;
  int lose_every_ = 0;
  int calls_ = 0;
  std::optional<Error> cut_error_;
  std::optional<Error> ask_error_;
  std::optional<Error> commit_error_;
  std::vector<JsonObject> events_;
  std::map<std::string, Pod, std::less<>> pods_;
  std::map<std::string, int, std::less<>> newest_;  ///< incarnation seen of each uid
  std::map<std::string, Cut, std::less<>> cuts_;
  std::map<std::string, JsonObject, std::less<>> checkpoints_;
  std::set<std::string, std::less<>> damaged_;
  std::map<std::string, Output, std::less<>> saved_output_;  ///< of each checkpoint
  std::vector<JsonObject> outcomes_;
  std::vector<std::string> asked_and_cut_;
  std::vector<std::string> started_;
};

/// A cloud with two such nodes, "node-0" and "node-1".
class FakeCloud final : public cloud::Cloud {
 public:
  FakeCloud();
  [[nodiscard]] std::string name() const override { return "local"; }
  Result<std::vector<cloud::Node>> claim_nodes(std::string_view claim, int count, std::string_view,
                                               const std::vector<std::string>& home) override;
  Status release_nodes(std::string_view claim) override;
  Result<std::vector<cloud::Node>> list_nodes() override;
  Result<std::shared_ptr<cloud::NodeAgent>> agent(std::string_view node) override;

  FakeNode& node(std::size_t index = 0) { return *nodes_.at(index); }
  std::size_t claims();

 private:
  std::array<std::shared_ptr<FakeNode>, 2> nodes_;
  std::array<std::shared_ptr<cloud::NodeAgent>, 2> agents_;
  std::mutex mutex_;
  std::set<std::string, std::less<>> claims_;
};

}  // namespace cacs::application
