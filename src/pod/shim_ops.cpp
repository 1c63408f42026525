// The shim's operations on the pod itself: making it, starting and restoring it, talking to its init, ending it.

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "base/hash.h"
#include "base/io.h"
#include "base/log.h"
#include "base/text.h"
#include "base/time.h"
#include "init/protocol.h"
#include "pod/launch.h"
#include "pod/outside.h"
#include "pod/restored_files.h"
#include "pod/root.h"
#include "pod/seqpacket.h"
#include "pod/shim.h"

namespace cacs::pod {

namespace {

constexpr std::int64_t kRestoreLimitMs = 600'000;

Error wrong_phase(const std::string& what) {
  return make_error(ErrorCode::kConflict, what + " is not possible in the pod's present state");
}

}  // namespace

/// Unique on the machine: two services may run pods of one application's id (a restore elsewhere), each with its own
/// state.
std::string Shim::cgroup_name() const {
  return sha256(options_.state_dir.string()).to_hex().substr(0, 8) + "-" + spec_.uid() + "-" +
         std::to_string(spec_.incarnation);
}

Result<UniqueFd> Shim::switch_space() const {
  if (!spec_.connected()) return UniqueFd();
  UniqueFd space(options_.switch_fd < 0 ? -1 : ::fcntl(options_.switch_fd, F_DUPFD_CLOEXEC, kSwitchFd + 1));
  if (space.valid()) return space;
  return make_error(ErrorCode::kUnavailable, "the network that connects the application's pods is gone");
}

Status Shim::set_up_surroundings() {
  if (surroundings_) return {};
  CACS_ASSIGN(UniqueFd space, switch_space());
  CACS_ASSIGN(network_, PodNetwork::create(spec_, std::move(space)));
  // Nobody answers in the name of a process that is not back yet: a restored pod is opened when all are.
  if (spec_.restore_checkpoint.empty() || spec_.restarts()) CACS_TRY(network_->open());
  CACS_ASSIGN(cgroup_, PodCgroup::create(cgroup_name(), {spec_.cpus, spec_.memory_bytes, spec_.pids},
                                         spec_.self_saving ? Freezable::kYes : Freezable::kNo));
  CACS_TRY(mount_pod_tmpfs(options_.layout, spec_));
  if (spec_.egress) {
    if (const auto status = network_->start_egress(); !status) {
      spdlog::warn("no egress: {}", status.error().to_string());
    }
  }
  surroundings_ = true;
  return {};
}

Status Shim::op_prepare() {
  if (phase_ == Phase::kReady) return {};
  if (phase_ != Phase::kNew) return wrong_phase("prepare");
  CACS_TRY(set_up_surroundings());
  phase_ = Phase::kReady;
  return {};
}

Status Shim::op_mount(const std::filesystem::path& restored) {
  if (root_mounted_) return {};
  if (phase_ == Phase::kNew) {
    CACS_TRY(set_up_surroundings());
    CACS_TRY(fill_new_delta(options_.layout, spec_, options_.init_program));
  } else if (phase_ == Phase::kReady) {
    CACS_TRY(write_incarnation(options_.layout, spec_));
  } else {
    return wrong_phase("mount");
  }
  CACS_TRY(mask_directory(options_.layout, options_.mask_dir));
  // Last: what a program has made is not gone through by path, in which it could have put links to anywhere.
  if (!restored.empty()) CACS_TRY(put_restored_files(restored, options_.layout.upper()));
  CACS_TRY(mount_pod_root(options_.layout, spec_));
  root_mounted_ = true;
  return {};
}

Status Shim::op_start() {
  if (phase_ == Phase::kRunning) return {};
  if (phase_ != Phase::kNew) return wrong_phase("start");
  CACS_TRY(op_mount());
  CACS_ASSIGN(const pid_t pid, launch_init(options_.layout, spec_, *cgroup_, network_->fd()));
  init_is_child_ = true;
  CACS_TRY(note_init(pid));
  phase_ = Phase::kRunning;
  connect_init();
  return {};
}

Status Shim::op_open_network() {
  if (phase_ != Phase::kRunning) return wrong_phase("open_network");
  if (cut_.phase != CutPhase::kNone) return wrong_phase("open_network during a cut");
  return network_->open();
}

Status Shim::op_restore(const JsonObject& message) {
  if (phase_ != Phase::kReady) return wrong_phase("restore");
  CACS_ASSIGN(const std::string images, json_string(message, "images"));
  CACS_TRY(op_mount());
  engine::RestoreRequest request;
  request.images = images;
  request.root = options_.layout.merged();
  request.pid_file = options_.layout.dir / "init.pid";
  request.network_fd = network_->fd();
  request.external_mounts = external_mounts(options_.layout, spec_);
  request.cgroups = cgroup_->directories();
  if (spec_.reset_external_connections) {
    request.notify = options_.layout.notify_program();
    request.notify_socket = options_.layout.notify_socket();
  }
  outside_reset_ = false;
  restore_problem_.reset();
  ::unlink(request.pid_file.c_str());
  Command command = engine_->restore_command(request);
  // An engine never outlives its shim: what it would leave half-made has no owner.
  command.die_with_parent = true;
  CACS_ASSIGN(engine_run_, spawn(command));
  restore_images_ = images;
  restore_deadline_ = boottime_ms() + kRestoreLimitMs;
  phase_ = Phase::kRestoring;
  return {};
}

/// Between the making of the processes, with their sockets, and the first instruction of any of them.
bool Shim::reset_outside() {
  const auto reset = reset_outside_connections(network_->fd(), spec_);
  if (!reset) {
    restore_problem_ = reset.error().with_context("reset the connections to the outside");
    spdlog::error("{}", restore_problem_->to_string());
    return false;
  }
  if (*reset > 0) spdlog::info("{} connections to the outside were reset", *reset);
  outside_reset_ = true;
  return true;
}

Error Shim::restore_failure(bool engine_gave_up) const {
  if (restore_problem_) return *restore_problem_;
  if (!engine_gave_up) return make_error(ErrorCode::kUnavailable, "the engine was killed during the restore");
  const auto log = read_text_file(engine_->restore_log(restore_images_), std::size_t{64} << 20U);
  Error why = engine_->reason(log ? *log : "", true);
  // Even a connection that is about to be reset is made with the address that it had.
  if (spec_.egress && !network_->egress_running()) why = why.with_context("the pod has no way outside (slirp4netns)");
  return why;
}

void Shim::on_restore_end() {
  auto ended = engine_run_->wait();
  engine_run_.reset();
  restore_deadline_ = 0;
  Status result;
  if (!ended || !ended->success()) {
    result = restore_failure(ended && !ended->signaled);
    phase_ = Phase::kReady;
  } else {
    auto pid_text = read_text_file(options_.layout.dir / "init.pid", 64);
    const pid_t pid = pid_text ? static_cast<pid_t>(std::strtol(pid_text->c_str(), nullptr, 10)) : 0;
    result = pid > 0 ? note_init(pid) : Status(make_error(ErrorCode::kInternal, "the engine left no pid"));
    init_is_child_ = true;
    phase_ = Phase::kRunning;
    if (result && spec_.reset_external_connections && !outside_reset_) {
      result = make_error(ErrorCode::kInternal, "the engine let the processes go before their connections were reset");
      ::kill(pid, SIGKILL);
    }
    if (result) connect_init();
  }
  JsonObject answer;
  if (!result) answer["error"] = error_to_json(result.error());
  answer["reply"] = restore_seq_.value_or(0);
  restore_seq_.reset();
  if (agent_.valid()) {
    if (const auto sent = send_message(agent_.get(), answer); !sent) on_agent_lost();
  }
}

Status Shim::note_init(pid_t pid) {
  CACS_ASSIGN(init_, identify_process(pid));
  CACS_ASSIGN(init_pidfd_, open_process(*init_));
  const JsonObject state{{"pid", init_->pid},
                         {"start_time", init_->start_time},
                         {"boot_id", init_->boot_id},
                         {"incarnation", spec_.incarnation}};
  return write_file_durably(options_.layout.init_state(), boost::json::serialize(state));
}

Status Shim::adopt() {
  CACS_ASSIGN(cgroup_, PodCgroup::open(cgroup_name()));
  CACS_ASSIGN(engine_group_, PodCgroup::open(cgroup_name() + kEngineGroup));
  remove_engine_group();
  if (spec_.self_saving) {
    // The shim before us may have died while all stood still. No engine was at work: nothing is in doubt.
    CACS_TRY(cgroup_->thaw());
    ::unlink(options_.layout.cut_state().c_str());
  }
  // The shim before us died while it made the pod: what it left is found by the cgroup, and there is nothing to run.
  if (::access(options_.layout.init_state().c_str(), F_OK) != 0) return {};
  CACS_ASSIGN(const std::string text, read_text_file(options_.layout.init_state()));
  CACS_ASSIGN(const JsonObject state, parse_json_object(text, "init.json"));
  ProcessIdentity identity;
  CACS_ASSIGN(const std::int64_t pid, json_int(state, "pid"));
  CACS_ASSIGN(const std::int64_t start_time, json_int(state, "start_time"));
  identity.pid = static_cast<pid_t>(pid);
  identity.start_time = static_cast<std::uint64_t>(start_time);
  CACS_ASSIGN(identity.boot_id, json_string(state, "boot_id"));
  init_ = identity;
  auto process = open_process(identity);
  auto space = switch_space();
  const Status connected = space ? ok_status() : Status(space.error());
  auto network = process ? PodNetwork::adopt(spec_, identity.pid, space ? *std::move(space) : UniqueFd())
                         : Result<PodNetwork>(process.error());
  // A dead one that nobody has reaped yet still has its number and its identity, but no namespaces.
  pollfd dead{process ? process->get() : -1, POLLIN, 0};
  if (!process || ::poll(&dead, 1, 0) == 1) {
    adopt_dead();
    return {};
  }
  CACS_TRY(network);
  network_ = *std::move(network);
  init_pidfd_ = *std::move(process);
  surroundings_ = true;
  phase_ = Phase::kRunning;
  if (!connected) {
    taint(connected.error());
    return {};
  }
  if (::access(options_.layout.cut_state().c_str(), F_OK) == 0) {
    taint(make_error(ErrorCode::kInternal, "the shim died while an engine was working on the pod"));
    return {};
  }
  if (spec_.egress) {
    if (const auto status = network_->start_egress(); !status)
      spdlog::warn("no egress: {}", status.error().to_string());
  }
  connect_init();
  return {};
}

/// The pod's init died together with its shim, or before it.
void Shim::adopt_dead() {
  phase_ = Phase::kExited;
  tainted_ = ::access(options_.layout.cut_state().c_str(), F_OK) == 0;
  // The shim before us may have seen its end, as nobody can any more; else all that is left is what init wrote.
  if (const auto seen = read_text_file(options_.layout.exit_state(), 4096); seen) {
    if (const auto exit = parse_json_object(*seen, "exit.json"); exit) {
      exit_ = PodExit::from_json(*exit);
      return;
    }
  }
  const auto record = read_text_file(options_.layout.upper().string() + CACS_EXIT_FILE, 256);
  exit_ = combine_exit(record ? *record : "", spec_.incarnation, std::nullopt, cgroup_->oom_kills() > 0);
}

void Shim::connect_init() {
  auto link = InitLink::connect(init_->pid, std::chrono::seconds(10));
  if (!link) {
    spdlog::warn("{}", link.error().to_string());
    return;
  }
  link_ = *std::move(link);
}

void Shim::on_init_link() {
  bool closed = false;
  auto lines = link_->receive(closed);
  if (lines) {
    for (const auto& line : *lines) on_init_line(line);
  }
  if (closed || !lines) link_.reset();
}

void Shim::on_init_line(const std::string& line) {
  const auto words = split(line, ' ');
  if (words[0] == "request" && words.size() >= 3) {
    emit({{"event", "request"}, {"request", words[1]}, {"level", words[2]}});
  } else if (words[0] == "progress" && words.size() >= 2) {
    emit({{"event", "progress"}, {"value", std::strtoll(words[1].c_str(), nullptr, 10)}});
  } else if (words[0] == "exec-exit" && words.size() >= 3) {
    emit({{"event", "exec_exit"},
          {"id", std::strtoll(words[1].c_str(), nullptr, 10)},
          {"status", std::strtoll(words[2].c_str(), nullptr, 10)}});
  }
}

Status Shim::op_to_init(const std::string& line) {
  if (!link_) return make_error(ErrorCode::kUnavailable, "the pod's init cannot be reached now");
  if (line.find('\n') != std::string::npos) return make_error(ErrorCode::kInvalidArgument, "a line break in a message");
  return link_->send(line);
}

Status Shim::op_exec(const JsonObject& message) {
  if (!link_)
    return make_error(ErrorCode::kUnavailable, "the pod's init cannot be reached now", "try again in a moment");
  const auto strings = [&](std::string_view name) {
    std::vector<std::string> list;
    if (const JsonArray* array = json_find_array(message, name)) {
      for (const auto& item : *array) {
        if (item.is_string()) list.emplace_back(item.as_string());
      }
    }
    return list;
  };
  const auto argv = strings("argv");
  if (argv.empty()) return make_error(ErrorCode::kInvalidArgument, "exec without a command");
  CACS_ASSIGN(const std::int64_t id, json_int(message, "id"));
  return link_->send_exec(static_cast<std::uint64_t>(id), json_string_or(message, "user", "root"),
                          json_string_or(message, "cwd", "/"), strings("env"), argv);
}

void Shim::on_init_exit() {
  std::optional<ExitStatus> ended;
  if (init_is_child_) {
    int wait_status = 0;
    const pid_t reaped = ::waitpid(init_->pid, &wait_status, WNOHANG);
    if (reaped == 0) return;
    if (reaped == init_->pid) ended = ExitStatus::from_wait(wait_status);
  }
  // Orphans of the pod that were given to us are gone too, and must be reaped.
  init_pidfd_.reset();
  link_.reset();
  const auto record = read_text_file(options_.layout.upper().string() + CACS_EXIT_FILE, 256);
  exit_ = combine_exit(record ? *record : "", spec_.incarnation, ended, cgroup_ && cgroup_->oom_kills() > 0);
  phase_ = Phase::kExited;
  const JsonObject exit = exit_->to_json();
  if (const auto written = write_file_durably(options_.layout.exit_state(), boost::json::serialize(exit)); !written) {
    spdlog::error("the exit status could not be recorded: {}", written.error().to_string());
  }
  emit({{"event", "exited"}, {"exit", exit}, {"tainted", tainted_}});
}

JsonObject Shim::status() const {
  constexpr std::array<const char*, 5> kNames{"new", "ready", "restoring", "running", "exited"};
  JsonObject object{{"phase", kNames.at(static_cast<std::size_t>(phase_))},
                    {"incarnation", spec_.incarnation},
                    {"tainted", tainted_},
                    {"cut", cut_.phase == CutPhase::kNone ? "" : cut_.checkpoint}};
  if (init_) object["init"] = init_->pid;
  if (exit_) object["exit"] = exit_->to_json();
  if (cgroup_) {
    if (const auto limits = cgroup_->read_limits(); limits) {
      object["limits"] =
          JsonObject{{"cpus", limits->cpus}, {"memory_bytes", limits->memory_bytes}, {"pids", limits->pids}};
    }
    if (const auto used = cgroup_->memory_used()) object["memory_bytes"] = *used;
  }
  if (network_) object["egress"] = network_->egress_running();
  return object;
}

Status Shim::op_destroy() {
  // The engine first: it may hold the pod's tasks, and must not make new ones behind our back.
  engine_run_.reset();
  remove_engine_group();
  cut_.held_notify.reset();
  if (cgroup_) CACS_TRY(cgroup_->thaw());  // what is frozen does not end
  if (init_ && init_pidfd_.valid()) {
    ::kill(init_->pid, SIGKILL);  // the pidfd is open and the process not reaped: the number is still its own
    pollfd waiting{init_pidfd_.get(), POLLIN, 0};
    while (::poll(&waiting, 1, -1) < 0 && errno == EINTR) {
    }
    on_init_exit();
  }
  // A restore that failed half-way may have left tasks that only the cgroup knows.
  if (cgroup_) CACS_TRY(cgroup_->remove());
  while (::waitpid(-1, nullptr, WNOHANG) > 0) {
  }
  ::unlink(options_.layout.shim_socket().c_str());
  ::unlink(options_.layout.notify_socket().c_str());
  destroyed_ = true;
  return {};
}

}  // namespace cacs::pod
