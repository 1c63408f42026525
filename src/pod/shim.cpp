#include "pod/shim.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>

#include "base/io.h"
#include "base/log.h"
#include "base/text.h"
#include "base/time.h"
#include "engine/criu.h"
#include "pod/root.h"
#include "pod/seqpacket.h"

namespace cacs::pod {

Shim::Shim(ShimOptions options, PodSpec spec)
    : options_(std::move(options)), spec_(std::move(spec)), engine_(engine::make_criu(options_.criu)) {}

Status Shim::set_up() {
  // Orphans of the engine and, after a restore, the pod's init become our children.
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) return errno_error(errno, "become a subreaper");
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGHUP, SIG_IGN);
  CACS_TRY(enter_private_mounts());
  CACS_ASSIGN(const ProcessIdentity self, identify_process(::getpid()));
  if (options_.adopt) CACS_TRY(adopt());
  CACS_ASSIGN(notify_listener_, listen_stream(options_.layout.notify_socket()));
  CACS_ASSIGN(listener_, listen_seqpacket(options_.layout.shim_socket()));
  const JsonObject state{{"pid", self.pid},
                         {"start_time", self.start_time},
                         {"boot_id", self.boot_id},
                         {"incarnation", spec_.incarnation}};
  return write_file_durably(options_.layout.shim_state(), boost::json::serialize(state));
}

int Shim::serve() {
  while (!destroyed_) poll_once();
  return 0;
}

int Shim::poll_timeout() const {
  std::int64_t end = 0;
  for (const std::int64_t deadline : {cut_.deadline, restore_deadline_}) {
    if (deadline != 0 && (end == 0 || deadline < end)) end = deadline;
  }
  if (end == 0) return -1;
  return static_cast<int>(std::clamp<std::int64_t>(end - boottime_ms(), 0, 60'000));
}

void Shim::poll_once() {
  std::array<pollfd, 7> waiting{};
  const std::array<int, 7> fds{listener_.get(),
                               agent_.get(),
                               notify_listener_.get(),
                               init_pidfd_.get(),
                               link_ ? link_->fd() : -1,
                               engine_run_ ? engine_run_->pidfd() : -1,
                               network_ ? network_->egress_pidfd() : -1};
  for (std::size_t i = 0; i < fds.size(); ++i) waiting.at(i) = {fds.at(i), POLLIN, 0};
  const int ready = ::poll(waiting.data(), waiting.size(), poll_timeout());
  if (ready < 0) return;
  on_deadline();
  // The order matters: what the engine and init say comes before what the agent wants of them.
  if (waiting[2].revents != 0) on_notify();
  if (waiting[5].revents != 0) on_engine_end();
  if (waiting[4].revents != 0 && link_ && link_->fd() == fds[4]) on_init_link();
  if (waiting[3].revents != 0 && init_pidfd_.valid()) on_init_exit();
  if (waiting[6].revents != 0 && network_) network_->on_egress_end();
  if (waiting[1].revents != 0 && agent_.valid()) on_agent_message();
  if (waiting[0].revents != 0) accept_agent();
}

void Shim::accept_agent() {
  UniqueFd connection(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!connection.valid()) return;
  ucred peer{};
  socklen_t length = sizeof peer;
  if (::getsockopt(connection.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0 || peer.uid != ::geteuid()) return;
  // A second agent means that the first is gone, even if its end has not been noticed yet.
  if (agent_.valid()) on_agent_lost();
  agent_ = std::move(connection);
}

void Shim::on_agent_message() {
  auto message = receive_message(agent_.get());
  if (!message || !message->has_value()) {
    on_agent_lost();
    return;
  }
  const std::int64_t seq = json_int_or(**message, "seq", 0);
  const std::string op = json_string_or(**message, "op", "");
  if (op == "restore" && phase_ == Phase::kReady) restore_seq_ = seq;
  JsonObject answer = dispatch(**message);
  // A restore is answered when the engine has ended, unless it failed at once.
  if (op == "restore" && restore_seq_ && answer.if_contains("error") == nullptr) return;
  if (op == "restore") restore_seq_.reset();
  answer["reply"] = seq;
  if (!agent_.valid()) return;
  if (const auto sent = send_message(agent_.get(), answer); !sent) on_agent_lost();
}

void Shim::on_agent_lost() {
  agent_.reset();
  if (cut_.phase == CutPhase::kDumping || cut_.phase == CutPhase::kPrepared) {
    spdlog::warn("the agent is gone: aborting the cut of {}", cut_.checkpoint);
    [[maybe_unused]] const auto status =
        op_abort(make_error(ErrorCode::kUnavailable, "the agent's connection closed during the cut"));
  }
}

void Shim::emit(const JsonObject& event) {
  // Without an agent nobody listens; it asks for the status when it comes back.
  if (!agent_.valid()) return;
  if (const auto sent = send_message(agent_.get(), event); !sent) on_agent_lost();
}

JsonObject Shim::dispatch(const JsonObject& message) {
  const std::string op = json_string_or(message, "op", "");
  Status result;
  if (op == "status") return status();
  if (op == "start") {
    result = op_start();
  } else if (op == "prepare") {
    result = op_prepare();
  } else if (op == "mount") {
    result = op_mount(json_string_or(message, "restored", ""));
  } else if (op == "open_network") {
    result = op_open_network();
  } else if (op == "restore") {
    result = op_restore(message);
  } else if (op == "cut") {
    result = op_cut(message);
  } else if (op == "thaw") {
    result = op_thaw();
  } else if (op == "abort") {
    result = op_abort(make_error(ErrorCode::kAborted, "the cut was aborted"));
  } else if (op == "exec") {
    result = op_exec(message);
  } else if (op == "outcome") {
    result = op_to_init("outcome " + json_string_or(message, "line", ""));
  } else if (op == "signal") {
    result = op_to_init("signal " + std::to_string(json_int_or(message, "number", 0)));
  } else if (op == "destroy") {
    result = op_destroy();
  } else {
    result = make_error(ErrorCode::kUnsupported, "this shim does not know '" + printable(op) + "'");
  }
  if (!result) {
    spdlog::warn("{} failed: {}", op, result.error().to_string());
    return {{"error", error_to_json(result.error())}};
  }
  return {};
}

void Shim::on_deadline() {
  const std::int64_t now = boottime_ms();
  if (restore_deadline_ != 0 && now >= restore_deadline_ && engine_run_) {
    spdlog::error("the restore did not end in time: killing the engine");
    restore_deadline_ = 0;
    [[maybe_unused]] const auto sent = engine_run_->signal(SIGKILL);
  }
  if (cut_.deadline == 0 || now < cut_.deadline) return;
  cut_.deadline = 0;
  if (spec_.self_saving && cut_.phase == CutPhase::kEnding) {
    end_freeze();
  } else if (cut_.phase == CutPhase::kPrepared) {
    [[maybe_unused]] const auto status =
        op_abort(make_error(ErrorCode::kTimeout, "neither thaw nor abort came before the cut's deadline"));
  } else if (engine_run_) {
    // Killing an engine in the middle of a dump leaves doubt; on_engine_end taints the pod.
    spdlog::error("the dump did not end in time: killing the engine");
    [[maybe_unused]] const auto sent = engine_run_->signal(SIGKILL);
  }
}

namespace {

/// In the background process: the result of the set-up goes to the parent, which waits for it.
int serve_in_background(const ShimOptions& options, const PodSpec& spec, UniqueFd report) {
  ::setsid();
  const UniqueFd log(::open(options.layout.shim_log().c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  ::dup2(null.get(), 0);
  ::dup2(log.valid() ? log.get() : null.get(), 1);
  ::dup2(log.valid() ? log.get() : null.get(), 2);
  Shim shim(options, spec);
  const Status status = shim.set_up();
  const std::string text = status ? "ok" : status.error().to_string();
  if (!write_full(report.get(), text)) return 1;
  report.reset();
  return status ? shim.serve() : 1;
}

/// Held by the background process, which inherits it, until its end. A shim that was told to destroy may take a moment
/// to be gone; one that lives must never get a second beside it.
Result<UniqueFd> lock_pod(const PodLayout& layout) {
  CACS_ASSIGN(UniqueFd fd, open_file(layout.shim_lock(), O_RDWR | O_CREAT, 0600));
  for (int round = 0; ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0; ++round) {
    if (errno != EWOULDBLOCK || round == 500) return errno_error(errno, "lock the pod: another shim has it");
    ::usleep(10'000);
  }
  return fd;
}

}  // namespace

int run_shim(const ShimOptions& options) {
  init_logging("shim", "info");
  const auto fail = [](const std::string& text) {
    [[maybe_unused]] const auto written = write_full(STDERR_FILENO, "cacs shim: " + text + "\n");
    return 1;
  };
  const auto text = read_text_file(options.layout.spec());
  if (!text) return fail(text.error().to_string());
  const auto object = parse_json_object(*text, "pod specification");
  if (!object) return fail(object.error().to_string());
  const auto spec = parse_pod_spec(*object);
  if (!spec) return fail(spec.error().to_string());
  const auto lock = lock_pod(options.layout);
  if (!lock) return fail(lock.error().to_string());
  std::array<int, 2> report{};
  if (::pipe2(report.data(), O_CLOEXEC) != 0) return fail("pipe");
  UniqueFd read_end(report[0]);
  UniqueFd write_end(report[1]);
  const pid_t pid = ::fork();
  if (pid < 0) return fail("fork");
  if (pid == 0) {
    read_end.reset();
    ::_exit(serve_in_background(options, *spec, std::move(write_end)));
  }
  write_end.reset();
  std::string said(4096, '\0');
  const auto got = read_full(read_end.get(), std::as_writable_bytes(std::span(said)));
  said.resize(got ? *got : 0);
  return said == "ok" ? 0 : fail(said.empty() ? "ended at once" : said);
}

}  // namespace cacs::pod
