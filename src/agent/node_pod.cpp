#include "agent/node_pod.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/io.h"
#include "base/log.h"
#include "base/text.h"
#include "pod/cgroup.h"
#include "pod/shim.h"

namespace cacs::agent {

using pod::ShimClient;

NodePod::NodePod(const PodContext& context, pod::PodSpec spec)
    : context_(context),
      spec_(std::move(spec)),
      layout_{context.state_dir / "pods" / spec_.uid(), context.delta_dir / spec_.uid()},
      next_exec_(boottime_ms()) {
  worker_ = std::thread([this] { worker_loop(); });
}

NodePod::~NodePod() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  worker_.join();
}

void NodePod::worker_loop() {
  while (true) {
    std::function<void()> job;
    {
      Lock lock(mutex_);
      changed_.wait(lock, [&] { return stopping_ || !jobs_.empty(); });
      if (jobs_.empty()) return;
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    job();
  }
}

void NodePod::enqueue(std::function<void()> job) {
  const std::lock_guard lock(mutex_);
  jobs_.push_back(std::move(job));
  changed_.notify_all();
}

const char* NodePod::state_name(State state) {
  switch (state) {
    case State::kCreating:
      return "CREATING";
    case State::kRunning:
      return "RUNNING";
    case State::kExited:
      return "EXITED";
    case State::kTainted:
      return "TAINTED";
    case State::kFailed:
      break;
  }
  return "FAILED";
}

void NodePod::push_event(const char* kind, JsonObject extra) {
  extra["kind"] = kind;
  extra["uid"] = spec_.uid();
  extra["incarnation"] = spec_.incarnation;
  context_.events->push(std::move(extra));
}

void NodePod::set_state(State state) {
  const std::lock_guard lock(mutex_);
  state_ = state;
  changed_.notify_all();
}

void NodePod::fail(const Error& error) {
  spdlog::warn("pod {} failed: {}", spec_.uid(), error.to_string());
  {
    const std::lock_guard lock(mutex_);
    state_ = State::kFailed;
    error_ = error;
    changed_.notify_all();
  }
  const JsonObject text = error_to_json(error);
  if (const auto written = write_file_durably(layout_.dir / "failed.json", boost::json::serialize(text)); !written) {
    spdlog::warn("{}", written.error().to_string());
  }
  push_event("pod.failed", {{"error", text}, {"log_base", log_base()}});
}

Status NodePod::create() {
  CACS_TRY(make_directories(layout_.dir, 0700));
  CACS_TRY(write_file_durably(layout_.spec(), boost::json::serialize(pod::pod_spec_to_json(spec_))));
  CACS_TRY(sync_directory(layout_.dir.parent_path()));
  enqueue([this] { make(); });
  return {};
}

void NodePod::make() {
  if (destroyed()) return;
  Status status = make_fresh_directories();
  if (status) status = start_shim(false);
  if (status) status = start_or_restore();
  // Whatever came of it because the shim was gone says nothing about the checkpoint or the command.
  if (!status && !call({{"op", "status"}})) {
    status = make_error(ErrorCode::kUnavailable, "the pod's shim died: " + status.error().message);
  }
  if (!status) {
    fail(status.error());
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    // It may have ended already; its exit came first then.
    if (state_ == State::kCreating) state_ = State::kRunning;
    started_at_ = format_time(wall_now());
    changed_.notify_all();
  }
  push_event("pod.running", {{"log_base", log_base()}});
}

Status NodePod::make_fresh_directories() {
  // Whatever a making that was interrupted left: a half-filled delta is worth nothing.
  CACS_TRY(remove_everything());
  forget_log_base();
  CACS_TRY(remove_tree(layout_.delta));
  CACS_TRY(remove_tree(layout_.dir / "images"));
  CACS_TRY(remove_tree(layout_.dir / "base"));
  for (const auto& file : {layout_.shim_state(), layout_.init_state(), layout_.exit_state(), layout_.cut_state(),
                           layout_.dir / "failed.json", layout_.notify_program()}) {
    ::unlink(file.c_str());
  }
  for (const auto& dir : {layout_.upper(), layout_.work(), layout_.staging(), layout_.dir / "images"}) {
    CACS_TRY(make_directories(dir, 0755));
  }
  if (::symlink(context_.init_program.c_str(), layout_.notify_program().c_str()) != 0) {
    return errno_error(errno, "make " + layout_.notify_program().string());
  }
  return {};
}

Status NodePod::start_shim(bool adopt) {
  Command command;
  command.argv = {context_.program.string(),
                  "shim",
                  "--dir",
                  layout_.dir.string(),
                  "--delta",
                  layout_.delta.string(),
                  "--state",
                  context_.state_dir.string(),
                  "--mask",
                  context_.mask_dir.string(),
                  "--init",
                  context_.init_program.string(),
                  "--criu",
                  context_.criu.string()};
  if (adopt) command.argv.emplace_back("--adopt");
  std::shared_ptr<const UniqueFd> connection;
  if (adopt) {
    connection = context_.switches->find(spec_);
  } else {
    CACS_ASSIGN(connection, context_.switches->join(spec_));
  }
  if (connection) {
    command.argv.emplace_back("--switch");
    command.fds.emplace_back(connection->get(), pod::Shim::kSwitchFd);
  }
  for (const int fd : context_.held_fds) command.fds.emplace_back(fd, fd);
  {
    const std::lock_guard lock(mutex_);
    switch_ = connection;
  }
  CACS_ASSIGN(const Captured result, run_command(command, std::chrono::seconds(60)));
  if (!result.status.success()) {
    return make_error(ErrorCode::kInternal, "the pod's shim did not start: " + printable(trim(result.err), 400));
  }
  return connect_shim();
}

bool NodePod::shim_lives() const {
  const UniqueFd lock(::open(layout_.shim_lock().c_str(), O_RDWR | O_CLOEXEC));
  return lock.valid() && ::flock(lock.get(), LOCK_EX | LOCK_NB) != 0;
}

bool NodePod::wait_shim_ends() const {
  // A lock on a file gives no event with a time limit: looked at again and again, for some milliseconds as a rule.
  for (int round = 0; shim_lives(); ++round) {
    if (round == 500) return false;
    ::usleep(10'000);
  }
  return true;
}

/// A shim that lives but has no socket yet is being set up: by the agent before us, which died while it waited.
Status NodePod::reach_shim() {
  for (int round = 0;; ++round) {
    // Asked before the connection is tried: a shim may come to its socket between the two.
    const bool lives = shim_lives();
    Status status = connect_shim();
    if (status || !lives || round == 500) return status;
    ::usleep(10'000);
  }
}

bool NodePod::destroyed() {
  const std::lock_guard lock(mutex_);
  return destroyed_;
}

Status NodePod::connect_shim() {
  auto client = ShimClient::connect(layout_, [this](const JsonObject& event) { on_shim_event(event); });
  if (!client) return client.error();
  const std::lock_guard lock(mutex_);
  shim_ = *std::move(client);
  return {};
}

Result<JsonObject> NodePod::call(JsonObject message, std::chrono::milliseconds limit) {
  std::shared_ptr<ShimClient> shim;
  {
    const std::lock_guard lock(mutex_);
    shim = shim_;
  }
  if (shim == nullptr) return make_error(ErrorCode::kUnavailable, "the pod has no shim now", "try again in a moment");
  return shim->call(std::move(message), limit);
}

Status NodePod::start_or_restore() {
  if (!spec_.restore_sources.empty() && context_.bring) CACS_TRY(context_.bring(spec_));
  if (!spec_.restore_checkpoint.empty()) {
    return (spec_.self_saving ? restart_on_files() : restore())
        .context("restore from checkpoint " + spec_.restore_checkpoint);
  }
  CACS_TRY(note_log_base());
  CACS_TRY(call({{"op", "mount"}}));
  if (!spec_.self_saving) CACS_TRY(watch_base(root_seen_by_shim(), {}));
  CACS_TRY(call({{"op", "start"}}));
  look_at_base();
  return {};
}

Status NodePod::restore() {
  CACS_TRY(call({{"op", "prepare"}}));
  CACS_ASSIGN(const repository::Manifest manifest, context_.store->repository().load(spec_.restore_checkpoint));
  for (const auto& tree : tree_names()) {
    CACS_TRY(context_.store->fetch_tree(manifest, spec_.pod, tree, tree_root(tree)));
  }
  CACS_TRY(note_log_base());
  CACS_ASSIGN(const basefs::Record record, context_.store->base_record(manifest, spec_.pod));
  CACS_TRY(context_.store->serve_base(record, layout_.upper()));
  CACS_TRY(call({{"op", "mount"}}));
  CACS_TRY(watch_base(root_seen_by_shim(), record));
  const auto images = layout_.images(spec_.restore_checkpoint);
  CACS_TRY(make_directories(images, 0700));
  Status restored = context_.store->fetch_images(manifest, spec_.pod, images);
  if (restored) {
    auto answer = call({{"op", "restore"}, {"images", images.string()}}, std::chrono::minutes(15));
    if (!answer) restored = answer.error();
  }
  if (restored) {
    look_at_base();
    CACS_TRY(remove_tree(images));  // a failed one is kept until the pod is deleted: its log says why
  }
  return restored;
}

pid_t NodePod::pid_in(const std::filesystem::path& file) {
  const auto text = read_text_file(file, 4096);
  if (!text) return 0;
  const auto state = parse_json_object(*text, file.filename().string());
  return state ? static_cast<pid_t>(json_int_or(*state, "pid", 0)) : 0;
}

std::vector<std::string> NodePod::tree_names() const {
  if (spec_.self_saving) return {"delta"};
  std::vector<std::string> names{"delta", kSharedMemoryTree};
  for (std::size_t i = 0; i < spec_.mounts.size(); ++i) {
    if (spec_.mounts[i].rollback && !spec_.mounts[i].read_only) names.push_back("mount" + std::to_string(i));
  }
  return names;
}

std::filesystem::path NodePod::tree_root(const std::string& name) {
  if (name == "delta") return layout_.upper();
  // Shared memory is a tmpfs of the shim that made the pod and of the pod itself. A shim that adopted the pod has
  // mounts of its own and does not see it: an empty folder is at that place. So the pod is asked as soon as there is
  // one.
  if (name == kSharedMemoryTree) {
    const pid_t init = pid_in(layout_.init_state());
    if (init > 0) return "/proc/" + std::to_string(init) + "/root/dev/shm";
    return "/proc/" + std::to_string(pid_in(layout_.shim_state())) + "/root" + layout_.shm().string();
  }
  return spec_.mounts.at(static_cast<std::size_t>(std::stoul(name.substr(5)))).source;
}

void NodePod::on_shim_event(const JsonObject& event) {
  const std::string name = json_string_or(event, "event", "");
  if (name == "request") {
    push_event("pod.checkpoint_requested", {{"request", json_string_or(event, "request", "")},
                                            {"level", json_string_or(event, "level", "-")},
                                            {"wait", json_string_or(event, "level", "-") != "-"}});
    return;
  }
  if (name == "progress") {
    push_event("pod.progress", {{"value", json_int_or(event, "value", 0)}});
    return;
  }
  Lock lock(mutex_);
  // A shim that we have given up, because the pod is being removed or made anew: its end is no news.
  if (shim_ == nullptr && (name == "exited" || name == "lost")) return;
  if (name == "exec_exit") {
    const auto exec = execs_.find(json_int_or(event, "id", 0));
    if (exec != execs_.end()) exec->second = static_cast<int>(json_int_or(event, "status", 0));
  } else if (name == "cut_frozen") {
    frozen_ = true;
  } else if (name == "cut_prepared" || name == "cut_done" || name == "cut_failed" || name == "cut_aborted") {
    if (!cuts_.empty() && cuts_.back().checkpoint == json_string_or(event, "checkpoint", "")) {
      Cut& cut = cuts_.back();
      if (const JsonObject* timings = json_find_object(event, "timings")) {
        for (const auto& timing : *timings) cut.timings[timing.key()] = timing.value();
      }
      if (const JsonObject* error = json_find_object(event, "error"); error != nullptr && !cut.error) {
        cut.error = error_from_json(*error);
      }
      cut.timings["shim"] = name;  // the word that begin_cut and thaw wait for; never shown
    }
  } else if (name == "tainted") {
    state_ = State::kTainted;
    if (const JsonObject* error = json_find_object(event, "error")) error_ = error_from_json(*error);
    if (!cuts_.empty()) cuts_.back().timings["shim"] = "tainted";
  } else if (name == "exited") {
    if (const JsonObject* exit = json_find_object(event, "exit")) exit_ = pod::PodExit::from_json(*exit);
    state_ = State::kExited;
  } else if (name == "lost") {
    if (!cuts_.empty()) cuts_.back().timings["shim"] = "lost";
  }
  changed_.notify_all();
  const bool running = state_ == State::kRunning;
  lock.unlock();
  if (name == "tainted") push_event("pod.tainted");
  if (name == "exited") {
    push_event("pod.exited", {{"exit", exit_ ? exit_->to_json() : JsonObject{}}, {"log_base", log_base()}});
  }
  if (name == "lost" && running) enqueue([this] { recover(); });
}

void NodePod::recover() {
  const Status status = take_over();
  if (!status) {
    fail(status.error());
    return;
  }
}

Status NodePod::take_over() {
  if (destroyed()) return {};
  if (const auto failed = read_text_file(layout_.dir / "failed.json", 65536)) {
    load_log_base(false);
    const auto object = parse_json_object(*failed, "failed.json");
    const std::lock_guard lock(mutex_);
    state_ = State::kFailed;
    if (object) error_ = error_from_json(*object);
    return {};
  }
  if (const auto retired = read_text_file(retired_file(), 4096)) {
    CACS_ASSIGN(const JsonObject exit, parse_json_object(*retired, "retired.json"));
    load_log_base(true);
    {
      const std::lock_guard lock(mutex_);
      state_ = State::kExited;
      exit_ = pod::PodExit::from_json(exit);
      changed_.notify_all();
    }
    CACS_TRY(keep_only_files());  // the agent before us may have died on the way
    push_event("pod.exited", {{"exit", exit}});
    return {};
  }
  if (::access(layout_.init_state().c_str(), F_OK) != 0) {
    // Its making was interrupted. It was promised: make it anew.
    enqueue([this] { make(); });
    return {};
  }
  {
    std::shared_ptr<ShimClient> old;
    const std::lock_guard lock(mutex_);
    old.swap(shim_);
    // The client is not destroyed under the lock: its thread may be waiting for it in on_shim_event.
    jobs_.emplace_back([old = std::move(old)]() mutable { old.reset(); });
  }
  Status status = reach_shim();
  if (!status) status = start_shim(true);
  CACS_TRY(status);
  CACS_ASSIGN(const JsonObject answer, call({{"op", "status"}}));
  if (json_string_or(answer, "cut", "").empty()) discard_forgotten_cuts();
  const std::string phase = json_string_or(answer, "phase", "");
  if (phase == "running" && base() == nullptr && !spec_.self_saving) {
    const std::string init = std::to_string(json_int_or(answer, "init", 0));
    if (const auto watched = watch_base("/proc/" + init + "/root", {}); !watched) {
      spdlog::warn("pod {}: {}", spec_.uid(), watched.error().to_string());
    }
    look_at_base();
  }
  if (phase == "running" || phase == "exited") load_log_base(true);
  const std::lock_guard lock(mutex_);
  if (const JsonObject* exit = json_find_object(answer, "exit")) exit_ = pod::PodExit::from_json(*exit);
  if (phase == "running") {
    state_ = json_bool_or(answer, "tainted", false) ? State::kTainted : State::kRunning;
  } else if (phase == "exited") {
    state_ = State::kExited;
  } else {
    state_ = State::kCreating;
    jobs_.emplace_back([this] { make(); });
  }
  changed_.notify_all();
  const bool exited = state_ == State::kExited;
  const JsonObject exit = exit_ ? exit_->to_json() : JsonObject{};
  if (json_bool_or(answer, "tainted", false)) push_event("pod.tainted");
  // Whoever waited for its end hears of it, even if it came while there was no shim.
  if (exited) push_event("pod.exited", {{"exit", exit}, {"log_base", log_base()}});
  return {};
}

Result<pid_t> NodePod::init_pid() {
  CACS_ASSIGN(const JsonObject answer, call({{"op", "status"}}));
  if (json_string_or(answer, "phase", "") != "running") {
    return make_error(ErrorCode::kConflict, spec_.pod + " does not run now");
  }
  CACS_ASSIGN(const std::int64_t pid, json_int(answer, "init"));
  return static_cast<pid_t>(pid);
}

/// Whether a process, which its parent has not waited for yet, has begun to end (PF_EXITING, proc(5)).
static bool is_exiting(pid_t pid) {
  constexpr unsigned long kExiting = 0x4;
  constexpr std::size_t kFlags = 6;  // of the fields behind the name
  const auto text = read_text_file("/proc/" + std::to_string(pid) + "/stat", 4096);
  if (!text) return true;
  const std::size_t name_end = text->rfind(") ");
  if (name_end == std::string::npos) return true;
  const auto fields = split(std::string_view(*text).substr(name_end + 2), ' ');
  return fields.size() <= kFlags || (std::strtoul(std::string(fields[kFlags]).c_str(), nullptr, 10) & kExiting) != 0;
}

JsonObject NodePod::view() {
  JsonObject status;
  bool ask = false;
  {
    const std::lock_guard lock(mutex_);
    ask = shim_ != nullptr && state_ == State::kRunning;
  }
  if (ask) {
    if (auto answer = call({{"op", "status"}}, std::chrono::seconds(5)); answer) status = *std::move(answer);
  }
  const std::lock_guard lock(mutex_);
  JsonObject object{{"uid", spec_.uid()},
                    {"application", spec_.application},
                    {"pod", spec_.pod},
                    {"incarnation", spec_.incarnation},
                    {"state", state_name(state_)},
                    {"started_at", started_at_},
                    {"restored_from", spec_.restore_checkpoint},
                    {"log_base", log_base()}};
  object["exit"] = exit_ && state_ == State::kExited ? Json(exit_->to_json()) : Json(nullptr);
  object["error"] = error_ ? Json(error_to_json(*error_)) : Json(nullptr);
  // Its shim hears of its end when the last of its processes is gone, its peers before that.
  if (ask && !status.empty()) {
    object["ending"] = json_string_or(status, "phase", "") != "running" ||
                       is_exiting(static_cast<pid_t>(json_int_or(status, "init", 0)));
  }
  for (const char* name : {"limits", "memory_bytes", "egress"}) {
    if (const Json* value = status.if_contains(name)) object[name] = *value;
  }
  return object;
}

}  // namespace cacs::agent
