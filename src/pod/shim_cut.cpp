// The shim's part of the cut: one engine run at a time, held at the barrier until the agent says thaw or abort.
//
//   none -> DUMPING   cut: part from init, run the engine
//        -> PREPARED  the engine has dumped and waits in its notifier, tasks frozen; cut_prepared
//        -> ENDING    the verdict was given; the engine ends
//        -> none      success: cut_done (thaw) or cut_aborted (abort); own report of failure: cut_failed; else tainted

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>

#include "base/io.h"
#include "base/log.h"
#include "base/text.h"
#include "base/time.h"
#include "pod/application_process.h"
#include "pod/outside.h"
#include "pod/root.h"
#include "pod/shim.h"

namespace cacs::pod {

namespace {

std::int64_t monotonic_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

/// It has to outlive this shim, and no more than that: when the machine itself has ended no task is in doubt. So
/// nothing is waited for but the write.
Status note_cut(const std::filesystem::path& path, const std::string& checkpoint) {
  CACS_ASSIGN(const UniqueFd fd, open_file(path, O_WRONLY | O_CREAT | O_TRUNC, 0600));
  return write_full(fd.get(), boost::json::serialize(JsonObject{{"checkpoint", checkpoint}}))
      .context("write " + path.string());
}

/// One line from the engine's notifier, which is ours and sends it at once.
std::string read_action(int fd) {
  std::string line;
  std::array<char, 1> byte{};
  while (line.size() < 128) {
    pollfd waiting{fd, POLLIN, 0};
    if (::poll(&waiting, 1, 1000) <= 0 || ::recv(fd, byte.data(), 1, 0) != 1) return {};
    if (byte[0] == '\n') return line;
    line += byte[0];
  }
  return {};
}

}  // namespace

void Shim::answer_notify(const UniqueFd& connection, bool go) {
  const std::string_view verdict = go ? "go\n" : "abort\n";
  // If the notifier has died, the engine sees its exit and undoes the dump by itself.
  [[maybe_unused]] const auto sent = ::send(connection.get(), verdict.data(), verdict.size(), MSG_NOSIGNAL);
}

/// Of connections to the outside: that there is none, or that a restore can reset them where the user chose so.
Status Shim::check_outside() const {
  CACS_ASSIGN(const auto connections, outside_connections(init_->pid, spec_));
  if (connections.empty()) return {};
  const auto& first = connections.front();
  if (spec_.reset_external_connections) {
    return can_reset_connections(network_->fd())
        .context("a restore could not reset the connection to the outside, " + first.local + " to " + first.remote);
  }
  return make_error(ErrorCode::kUnsupported,
                    "the application has a connection to the outside, " + first.local + " to " + first.remote +
                        (connections.size() > 1 ? " and " + std::to_string(connections.size() - 1) + " more" : ""),
                    "close it before the checkpoint (`cacs explain` names the process), or submit with "
                    R"("checkpoint": {"external_connections": "reset"})")
      .with_type("outside-connection");
}

/// An application that was killed just before the freeze is in the images as what init has yet to reap: whatever is
/// restored from them dies at once, again and again.
Status Shim::check_application() const {
  if (spec_.command.empty()) return {};
  CACS_ASSIGN(const bool lives, application_lives(init_->pid));
  if (lives) return {};
  return make_error(ErrorCode::kConflict, "the application ended while it was being saved");
}

Status Shim::op_cut(const JsonObject& message) {
  if (phase_ != Phase::kRunning || tainted_) {
    return make_error(ErrorCode::kConflict, "the pod does not run, so there is nothing to save");
  }
  if (cut_.phase != CutPhase::kNone) return make_error(ErrorCode::kConflict, "a cut is under way already");
  CACS_ASSIGN(const std::string checkpoint, json_string(message, "checkpoint"));
  if (spec_.self_saving) return freeze_for_cut(checkpoint, json_int_or(message, "deadline_ms", 120'000));
  CACS_ASSIGN(const std::string images, json_string(message, "images"));
  CACS_TRY(check_outside());
  // The death of an engine is the death of one process. What it has forked is found by the group.
  CACS_ASSIGN(engine_group_, PodCgroup::create_plain(cgroup_name() + kEngineGroup));
  if (link_) {
    Status parted = link_->quiesce(std::chrono::seconds(5));
    link_.reset();
    if (!parted) return parted;
  }
  Cut cut;
  cut.phase = CutPhase::kDumping;
  cut.checkpoint = checkpoint;
  cut.images = images;
  cut.deadline = boottime_ms() + json_int_or(message, "deadline_ms", 120'000);
  engine::DumpRequest request;
  request.init = init_->pid;
  request.images = images;
  request.network_inode = network_->inode();
  request.external_mounts = external_mounts(options_.layout, spec_);
  request.notify = options_.layout.notify_program();
  request.notify_socket = options_.layout.notify_socket();
  Command command = engine_->dump_command(request);
  // If we die the engine must not go on: nobody would give it a verdict. Whoever adopts the pod finds cut.json.
  command.die_with_parent = true;
  command.cgroups = engine_group_->directories();
  Status ready = note_cut(options_.layout.cut_state(), checkpoint);
  if (ready) ready = network_->close();
  auto run = ready ? spawn(command) : Result<Child>(ready.error());
  if (!run) {
    static_cast<void>(leave_cut());
    return run.error();
  }
  engine_run_ = *std::move(run);
  cut_ = std::move(cut);
  return {};
}

/// The tasks run and no engine is on them any more. An adopted pod without cut.json is open.
bool Shim::leave_cut() {
  if (const auto opened = network_->open(); !opened) {
    taint(opened.error().with_context("open the pod's network after the cut"));
    return false;
  }
  ::unlink(options_.layout.cut_state().c_str());
  remove_engine_group();
  connect_init();
  return true;
}

void Shim::on_notify() {
  UniqueFd connection(::accept4(notify_listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!connection.valid()) return;
  const std::string action = read_action(connection.get());
  if (cut_.phase == CutPhase::kDumping && action == "network-lock") {
    // The tasks are frozen from here on: the delta can be captured while the engine writes memory.
    cut_.frozen_at_us = monotonic_us();
    emit({{"event", "cut_frozen"}, {"checkpoint", cut_.checkpoint}});
  }
  if (cut_.phase == CutPhase::kDumping && action == "post-dump") {
    on_post_dump(std::move(connection));
    return;
  }
  const bool made = phase_ == Phase::kRestoring && action == "post-restore";
  answer_notify(connection, !made || reset_outside());
}

void Shim::on_post_dump(UniqueFd connection) {
  if (!cut_.abort_wanted) {
    // A connection may have been opened between the first look and the freeze, and the application may have died.
    Status inside = check_application();
    if (inside) inside = check_outside();
    if (!inside) {
      cut_.abort_wanted = true;
      cut_.failed_in_frozen_check = true;
      cut_.abort_reason = inside.error();
    }
  }
  if (cut_.abort_wanted) {
    cut_.phase = CutPhase::kEnding;
    cut_.released_at_us = monotonic_us();
    answer_notify(connection, false);
    return;
  }
  cut_.phase = CutPhase::kPrepared;
  cut_.prepared_at_us = monotonic_us();
  cut_.held_notify = std::move(connection);
  emit({{"event", "cut_prepared"}, {"checkpoint", cut_.checkpoint}, {"timings", cut_timings()}});
}

Status Shim::op_thaw() {
  if (cut_.phase != CutPhase::kPrepared) return make_error(ErrorCode::kConflict, "no cut is waiting to be thawed");
  if (spec_.self_saving) {
    end_freeze();
    return {};
  }
  cut_.phase = CutPhase::kEnding;
  cut_.released_at_us = monotonic_us();
  cut_.deadline = boottime_ms() + 60'000;
  answer_notify(cut_.held_notify, true);
  cut_.held_notify.reset();
  return {};
}

Status Shim::op_abort(const Error& reason) {
  if (cut_.phase == CutPhase::kNone) return {};
  if (cut_.phase == CutPhase::kEnding) return make_error(ErrorCode::kConflict, "the cut is ending already");
  cut_.abort_wanted = true;
  if (!cut_.abort_reason) cut_.abort_reason = reason;
  if (spec_.self_saving) {
    end_freeze();
  } else if (cut_.phase == CutPhase::kPrepared) {
    cut_.phase = CutPhase::kEnding;
    cut_.released_at_us = monotonic_us();
    cut_.deadline = boottime_ms() + 60'000;
    answer_notify(cut_.held_notify, false);
    cut_.held_notify.reset();
  }
  return {};
}

void Shim::on_engine_end() {
  if (phase_ == Phase::kRestoring) {
    on_restore_end();
    return;
  }
  auto ended = engine_run_->wait();
  engine_run_.reset();
  remove_engine_group();
  if (!ended) {
    taint(ended.error());
    return;
  }
  finish_cut(*ended);
}

void Shim::remove_engine_group() {
  if (!engine_group_) return;
  if (const auto removed = engine_group_->remove(); !removed) spdlog::warn("{}", removed.error().to_string());
  engine_group_.reset();
  reap_orphans();
}

/// Children of engines that ended before them became ours; those that have ended too are waited for.
void Shim::reap_orphans() const {
  while (true) {
    siginfo_t info{};
    if (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) return;
    const bool ours = (init_ && init_->pid == info.si_pid) || (engine_run_ && engine_run_->pid() == info.si_pid) ||
                      (network_ && network_->egress_pid() == info.si_pid);
    if (ours) return;  // whoever waits for it does so; the others are found after that
    ::waitpid(info.si_pid, nullptr, WNOHANG);
  }
}

void Shim::finish_cut(const ExitStatus& status) {
  const Cut cut = std::exchange(cut_, Cut{});
  const bool verdict_given = cut.phase == CutPhase::kEnding;
  const auto log = read_text_file(engine_->dump_log(cut.images), std::size_t{64} << 20U);
  JsonObject timings{{"dump_ms", (cut.prepared_at_us - cut.frozen_at_us) / 1000},
                     {"barrier_ms", (cut.released_at_us - cut.prepared_at_us) / 1000},
                     {"frozen_ms", (monotonic_us() - cut.frozen_at_us) / 1000}};
  if (status.success() && verdict_given && !cut.abort_wanted) {
    if (!leave_cut()) return;
    emit({{"event", "cut_done"}, {"checkpoint", cut.checkpoint}, {"timings", std::move(timings)}});
    return;
  }
  const bool orderly = !status.signaled && !status.success() && log && engine_->reported_failure(*log);
  if (!orderly) {
    taint(make_error(ErrorCode::kInternal,
                     "the engine ended in the middle of a dump with " + status.to_string() + " and no report"));
    return;
  }
  if (!leave_cut()) return;
  const Error why = cut.abort_reason ? *cut.abort_reason : engine_->reason(*log, false);
  const bool aborted = cut.abort_wanted && !cut.failed_in_frozen_check;
  emit({{"event", aborted ? "cut_aborted" : "cut_failed"},
        {"checkpoint", cut.checkpoint},
        {"error", error_to_json(why)},
        {"timings", std::move(timings)}});
}

void Shim::taint(const Error& error) {
  spdlog::error("the pod is tainted and is killed: {}", error.to_string());
  tainted_ = true;
  cut_ = Cut{};
  emit({{"event", "tainted"}, {"error", error_to_json(error)}});
  // Never resumed, never saved: on_init_exit tells the rest.
  if (init_ && init_pidfd_.valid()) ::kill(init_->pid, SIGKILL);
}

JsonObject Shim::cut_timings() const { return {{"dump_ms", (cut_.prepared_at_us - cut_.frozen_at_us) / 1000}}; }

}  // namespace cacs::pod
