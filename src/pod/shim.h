#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/json.h"
#include "base/process.h"
#include "engine/engine.h"
#include "pod/cgroup.h"
#include "pod/exit_status.h"
#include "pod/init_link.h"
#include "pod/layout.h"
#include "pod/network.h"
#include "pod/spec.h"

namespace cacs::pod {

struct ShimOptions {
  PodLayout layout;
  std::filesystem::path state_dir;     ///< of the node
  std::filesystem::path mask_dir;      ///< keys, sockets, other pods: what no pod may see
  std::filesystem::path init_program;  ///< cacs-init
  std::filesystem::path criu;
  bool adopt = false;  ///< the pod runs already; its shim died
  int switch_fd = -1;  ///< open on the namespace of the pod's switch (switch.h), where it has one
};

/// `cacs shim`: goes into the background and returns 0 when its socket takes connections, or prints what failed and
/// returns 1. The background process runs until it is told to `destroy`.
int run_shim(const ShimOptions& options);

/// The shim of one pod: parent (or, after an adoption, guardian) of its init, parent of every engine run on it, child
/// of no agent. One thread, one poll loop; every wait is for an event, and every engine run has a deadline.
///
/// The agent says, over seqpacket (one JSON object a message, each with `op` and `seq`; the answer carries `reply` =
/// seq and either `error` or the fields given):
///   status                  -> phase, incarnation, init, exit, limits, memory, cut
///   start                   make delta, root, network, cgroup; launch init
///   mount {restored}        what start and restore begin with: the root is mounted and can be watched, nothing runs in
///                           it yet. May be left out. `restored`: a directory whose files become the delta's, of a pod
///                           that is started anew on them
///   prepare                 the same without delta and init, for a restore: shared memory can be filled
///   restore {images}        the delta is complete: run the engine
///   open_network            every pod of the application is back: frames pass
///   cut {checkpoint, images, deadline_ms}
///                           -> at once; then events cut_frozen, cut_prepared | cut_failed. Of a pod that saves itself:
///                           answered when it is frozen, or could not be
///   thaw | abort            -> at once; then event cut_done | cut_aborted
///   exec {id, user, cwd, env, argv}
///                           -> event exec_exit {id, status}
///   outcome {line}, signal {number}
///   destroy                 kill everything, remove the cgroup, end
/// Events: {"event": NAME, ...}; besides those above: exited {exit}, request {request, level}, progress {value},
/// tainted {error}.
///
/// If the agent's connection closes during a cut, the cut is aborted. An engine that ends in any way but success or its
/// own report of failure taints the pod: it is killed (design, principle 4).
class Shim {
 public:
  static constexpr const char* kEngineGroup = "-engine";
  /// The descriptor under which a shim gets its pod's switch, and keeps it: an agent that comes later finds it there.
  static constexpr int kSwitchFd = 10;

  Shim(ShimOptions options, PodSpec spec);

  /// Everything that must hold before connections are taken. In the background process.
  Status set_up();
  /// Serves until destroyed. Returns the process's exit code.
  int serve();

 private:
  enum class Phase { kNew, kReady, kRestoring, kRunning, kExited };
  enum class CutPhase { kNone, kDumping, kPrepared, kEnding };

  struct Cut {
    CutPhase phase = CutPhase::kNone;
    std::string checkpoint;
    std::filesystem::path images;
    bool abort_wanted = false;
    bool failed_in_frozen_check = false;
    std::optional<Error> abort_reason;
    std::int64_t deadline = 0;  ///< CLOCK_BOOTTIME ms; 0: none
    std::int64_t frozen_at_us = 0;
    std::int64_t prepared_at_us = 0;
    std::int64_t released_at_us = 0;
    UniqueFd held_notify;  ///< the engine waits on this connection for our verdict
  };

  // shim.cpp: the loop
  void poll_once();
  void accept_agent();
  void on_agent_message();
  void on_agent_lost();
  void emit(const JsonObject& event);
  JsonObject dispatch(const JsonObject& message);
  int poll_timeout() const;
  void on_deadline();

  // shim_ops.cpp: starting, ending, talking to init
  Status op_start();
  Status op_prepare();
  Status op_mount(const std::filesystem::path& restored = {});
  Status op_open_network();
  Status op_restore(const JsonObject& message);
  Status op_exec(const JsonObject& message);
  Status op_to_init(const std::string& line);
  Status op_destroy();
  JsonObject status() const;
  Status set_up_surroundings();
  Status adopt();
  void adopt_dead();
  Status note_init(pid_t pid);
  void connect_init();
  void on_init_link();
  void on_init_line(const std::string& line);
  void on_init_exit();
  void on_restore_end();
  bool reset_outside();
  Error restore_failure(bool engine_gave_up) const;
  std::string cgroup_name() const;

  // shim_cut.cpp: engine runs
  Status op_cut(const JsonObject& message);
  Status op_thaw();
  Status op_abort(const Error& reason);
  void on_notify();
  void on_post_dump(UniqueFd connection);
  void on_engine_end();
  void finish_cut(const ExitStatus& status);
  bool leave_cut();
  void taint(const Error& error);
  void remove_engine_group();
  void reap_orphans() const;
  Status check_outside() const;
  Status check_application() const;
  JsonObject cut_timings() const;
  static void answer_notify(const UniqueFd& connection, bool go);

  // shim_freeze.cpp: the cut of a pod that saves itself
  Status freeze_for_cut(const std::string& checkpoint, std::int64_t deadline_ms);
  void end_freeze();

  /// Of the switch, for the network that is made or adopted; invalid where there is none.
  Result<UniqueFd> switch_space() const;

  ShimOptions options_;
  PodSpec spec_;
  std::unique_ptr<engine::Engine> engine_;
  Phase phase_ = Phase::kNew;
  bool destroyed_ = false;
  bool tainted_ = false;
  bool surroundings_ = false;
  bool root_mounted_ = false;
  UniqueFd listener_;
  UniqueFd notify_listener_;
  UniqueFd agent_;
  std::optional<PodNetwork> network_;
  std::optional<PodCgroup> cgroup_;
  std::optional<PodCgroup> engine_group_;  ///< of a dump: so that nothing the engine forks is left behind
  std::optional<ProcessIdentity> init_;
  UniqueFd init_pidfd_;
  bool init_is_child_ = false;
  std::optional<InitLink> link_;
  std::optional<Child> engine_run_;
  std::int64_t restore_deadline_ = 0;
  std::optional<std::int64_t> restore_seq_;  ///< the agent waits for this answer
  std::filesystem::path restore_images_;
  bool outside_reset_ = false;            ///< of what is being restored: no connection leads outside any more
  std::optional<Error> restore_problem_;  ///< why the engine was told to give a restore up
  std::optional<PodExit> exit_;
  Cut cut_;
};

}  // namespace cacs::pod
