#pragma once

#include <condition_variable>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "agent/checkpoint_store.h"
#include "agent/event_queue.h"
#include "agent/output.h"
#include "agent/switches.h"
#include "base/time.h"
#include "basefs/keeper.h"
#include "engine/engine.h"
#include "pod/exit_status.h"
#include "pod/layout.h"
#include "pod/shim_client.h"
#include "pod/spec.h"

namespace cacs::agent {

/// What a pod needs of its agent. Outlives every pod.
struct PodContext {
  std::filesystem::path state_dir;
  std::filesystem::path mask_dir;  ///< what no pod may see
  std::filesystem::path delta_dir;
  std::filesystem::path program;       ///< cacs itself, to start shims
  std::filesystem::path init_program;  ///< cacs-init
  std::filesystem::path criu;
  const engine::Engine* engine = nullptr;
  JsonObject compatibility;  ///< of this node, as recorded in checkpoints
  CheckpointStore* store = nullptr;
  EventQueue* events = nullptr;
  Switches* switches = nullptr;
  std::vector<int> held_fds;  ///< what shims keep open under the same numbers
  std::function<Status(std::uint64_t needed)> check_room;
  std::function<void()> collect;  ///< something in the repository is needed no more
  /// Before a restore, where this node has nothing of the pod yet: gets it, and looks whether it fits.
  std::function<Status(const pod::PodSpec& spec)> bring;
};

/// One pod on this node, as the agent holds it: the shim's client, what the pod's state is, the cut that is under way,
/// and a worker for what takes long (making, restoring, storing, removing), one thing at a time. Any thread may call.
class NodePod {
 public:
  NodePod(const PodContext& context, pod::PodSpec spec);
  ~NodePod();
  NodePod(const NodePod&) = delete;
  NodePod& operator=(const NodePod&) = delete;

  /// A new pod: writes its specification durably, then makes and starts it on the worker.
  Status create();
  /// A pod that was here before this agent started: takes up its shim, starts one where it died, or makes the pod anew
  /// where its making was interrupted.
  void recover();
  /// Kills it and removes everything it had here. Blocks. Idempotent.
  Status destroy();
  /// Where it has ended: its shim, mounts, control groups and network go; its files, output and exit status stay, for
  /// this agent or a later one to serve. A pod that runs is left as it is. Blocks. Returns whether nothing of it is
  /// left but files.
  Result<bool> retire();

  [[nodiscard]] const pod::PodSpec& spec() const { return spec_; }
  [[nodiscard]] const pod::PodLayout& layout() const { return layout_; }
  [[nodiscard]] JsonObject view();
  /// Host's pid of the pod's init; kConflict when it does not run.
  Result<pid_t> init_pid();

  // The cut (node_pod_cut.cpp; what comes before it where the program saves itself: node_pod_files.cpp)
  /// Asks the program to save itself, and returns when it says that it has. Nothing to do for one that does not.
  Result<JsonObject> ask_to_save(const std::string& checkpoint);
  Result<JsonObject> begin_cut(const std::string& checkpoint, const JsonObject& body);
  Result<JsonObject> thaw(const std::string& checkpoint);
  Result<JsonObject> abort_cut(const std::string& checkpoint);
  Result<JsonObject> cut_view(const std::string& checkpoint, std::chrono::milliseconds wait);

  /// What keeps the pod on the base that it started with; null while there is no root.
  std::shared_ptr<basefs::Keeper> base();
  /// Adds what is known of the base's files to `warnings` of an explanation.
  void add_base_warnings(JsonObject& explanation);

  Status open_network();
  Status report_outcome(const JsonObject& body);
  /// `give_up`, which is called under this object's lock, ends the wait (kAborted); the command goes on.
  Result<JsonObject> exec(const JsonObject& body, const std::function<bool()>& give_up = {});
  /// Both or one of the output streams (docs/agent-api.md, logs), in node_pod_logs.cpp.
  Result<JsonObject> read_logs(const LogWish& wish);

 private:
  enum class State { kCreating, kRunning, kExited, kFailed, kTainted };

  struct Cut {
    std::string checkpoint;
    std::string phase;  ///< ASKING, ASKED, DUMPING, PREPARED, STORING, STORED, ABORTED, FAILED
    std::string piece;
    std::uint64_t bytes_total = 0;
    std::uint64_t bytes_done = 0;
    std::uint64_t size_bytes = 0;
    std::uint64_t stored_bytes = 0;
    std::optional<Error> error;
    JsonObject timings;
    std::vector<CapturedTree> trees;
    bool unwanted = false;  ///< aborted while it was being stored
  };

  using Lock = std::unique_lock<std::mutex>;

  static const char* state_name(State state);
  [[nodiscard]] std::filesystem::path retired_file() const { return layout_.dir / "retired.json"; }
  void on_shim_event(const JsonObject& event);
  void push_event(const char* kind, JsonObject extra = {});
  void set_state(State state);
  void fail(const Error& error);
  void worker_loop();
  void enqueue(std::function<void()> job);

  // node_pod.cpp
  void make();
  Status make_fresh_directories();
  Status start_shim(bool adopt);
  Status connect_shim();
  Status reach_shim();
  bool shim_lives() const;
  bool wait_shim_ends() const;
  bool destroyed();
  Status start_or_restore();
  Status restore();
  Status take_over();
  static pid_t pid_in(const std::filesystem::path& file);
  std::filesystem::path tree_root(const std::string& name);
  std::vector<std::string> tree_names() const;
  Result<JsonObject> call(JsonObject message, std::chrono::milliseconds limit = std::chrono::seconds(60));

  // node_pod_logs.cpp
  Status note_log_base();
  void load_log_base(bool ran);
  void forget_log_base();
  Json log_base();
  bool output_is_whole();
  Result<JsonObject> look_at_logs(const LogWish& wish);

  // node_pod_end.cpp
  Status remove_everything();
  Status keep_only_files();

  // node_pod_base.cpp
  Status watch_base(const std::filesystem::path& root, const basefs::Record& seed);
  void look_at_base();
  std::filesystem::path root_seen_by_shim();

  // node_pod_files.cpp
  Status ask_program(const std::string& checkpoint, int stop);
  Status ask_by_command(const std::string& checkpoint);
  Status ask_by_files(int stop);
  void stop_asking(Cut& cut);
  [[nodiscard]] delta::Selection what_is_saved() const;
  Status check_saved(const delta::Snapshot& snapshot) const;
  Status restart_on_files();

  // node_pod_cut.cpp
  Status check_free_for_cut();
  void add_cut(const std::string& checkpoint, const char* phase);
  Status freeze(const std::string& checkpoint, std::int64_t deadline_ms);
  Status capture_trees(const std::string& checkpoint, delta::MemoryStage& memory);
  void store(const std::string& checkpoint);
  JsonObject cut_json(const Cut& cut) const;
  Result<Cut*> find_cut(const std::string& checkpoint);
  void change_phase(Cut& cut, const std::string& phase);
  void fail_cut(const Error& error, bool aborted);
  void discard_cut_files(const std::string& checkpoint);
  void discard_forgotten_cuts();
  void drop_piece(const Cut& cut);
  bool wait_phase(Lock& lock, const std::string& checkpoint, const std::function<bool(const Cut&)>& done,
                  std::chrono::milliseconds limit);

  const PodContext& context_;
  pod::PodSpec spec_;
  pod::PodLayout layout_;

  std::mutex mutex_;
  std::condition_variable changed_;
  State state_ = State::kCreating;
  std::optional<Error> error_;
  std::optional<pod::PodExit> exit_;
  std::string started_at_;
  std::shared_ptr<pod::ShimClient> shim_;
  std::shared_ptr<basefs::Keeper> base_;
  std::shared_ptr<const UniqueFd> switch_;    ///< null: there are no other pods, or it is gone
  std::vector<Cut> cuts_;                     ///< the last few, newest last
  bool frozen_ = false;                       ///< the shim has told that the tasks are frozen
  std::shared_ptr<const UniqueFd> ask_stop_;  ///< an eventfd that ends the wait for a program that saves itself
  std::map<std::int64_t, std::optional<int>> execs_;
  std::int64_t next_exec_ = 1;
  std::uint64_t quarantines_ = 0;           ///< of the repository, when baselines_ were made; as they
  std::vector<delta::Baseline> baselines_;  ///< worker and cut only, never both at once (cuts_ says which)
  StoredMemory memory_;                     ///< of the last checkpoint that was stored; the worker's

  /// Sizes of the output before this incarnation wrote any; nothing until its files are there. A lock of its own,
  /// inside of mutex_: events that tell it are pushed with and without that.
  std::mutex log_mutex_;
  std::optional<JsonObject> log_base_;

  std::deque<std::function<void()>> jobs_;
  bool stopping_ = false;
  bool destroyed_ = false;  ///< nothing of it is left, and nothing may be made again
  std::thread worker_;
};

}  // namespace cacs::agent
