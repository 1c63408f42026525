#include "repository/session/session_gate.h"

#include <fmt/format.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/log.h"
#include "base/process.h"
#include "repository/backend/object_name.h"
#include "repository/session/random_instance.h"
#include "repository/session/writer_instance.h"

namespace cacs::repository {

InstanceId random_instance() {
  InstanceId id;
  // Of under 256 bytes this cannot fail once the kernel's pool is ready; two instances with one id would lose data.
  if (::getrandom(&id, sizeof(id), 0) != static_cast<ssize_t>(sizeof(id))) std::abort();
  return id;
}

WriterHost this_writer_host() {
  const auto self = identify_process(::getpid());
  struct stat name_space {};
  if (!self || ::stat("/proc/self/ns/pid", &name_space) != 0) return {};
  return {fmt::format("{}/{}", self->boot_id, name_space.st_ino), static_cast<std::uint64_t>(self->pid),
          self->start_time};
}

bool is_known_gone(const WriterHost& host, const WriterHost& self) {
  if (host.boot.empty() || host.boot != self.boot) return false;
  const auto found = identify_process(static_cast<pid_t>(host.pid));
  if (!found) return found.error().code == ErrorCode::kNotFound;
  return found->start_time != host.started;
}

// --- Session

Session::Session(std::shared_ptr<WriterInstance> instance, std::uint64_t handle)
    : instance_(std::move(instance)), handle_(handle) {
  auto notice = instance_->began(handle);
  origin_ = notice.origin;
  state_ = std::move(notice.state);
  condemned_ = CondemnedSlots(*state_);
}

Session::~Session() {
  if (!instance_) return;
  if (stage_ == Stage::kAsked) {
    doubt();
  } else if (const auto ended = end(); !ended) {
    spdlog::warn("{}", ended.error().to_string());
  }
}

Status Session::confirm() {
  if (stage_ == Stage::kCommitted) return {};
  if (stage_ == Stage::kOver) return make_error(ErrorCode::kInternal, "confirm a session that has ended");
  const bool again = std::exchange(stage_, Stage::kAsked) == Stage::kAsked;
  auto confirmed = instance_->confirm(handle_, again);
  if (confirmed) stage_ = Stage::kCommitted;
  if (!confirmed && confirmed.error().code == ErrorCode::kAborted) stage_ = Stage::kOver;
  return confirmed;
}

void Session::doubt() {
  if (stage_ == Stage::kOver || stage_ == Stage::kCommitted) return;
  stage_ = Stage::kOver;
  instance_->doubt(handle_);
}

Status Session::end() {
  if (stage_ == Stage::kOver) return {};
  if (stage_ == Stage::kAsked) {
    return make_error(ErrorCode::kInternal, "end a session whose confirm() has not answered: doubt() it");
  }
  stage_ = Stage::kOver;
  return instance_->end(handle_);
}

// --- WriterRegistry

WriterRegistry::WriterRegistry(Backend& backend, DocumentSealer& sealer, WriterRegistryOptions options)
    : store_(backend, sealer),
      options_(std::move(options)),
      clock_(options_.patience.clock ? options_.patience.clock : make_steady_clock()),
      host_(this_writer_host()),
      beats_([this](const std::stop_token& stop) { beats(stop); }) {}

WriterRegistry::~WriterRegistry() {
  if (const auto closed = close(); !closed) spdlog::warn("{}", closed.error().to_string());
}

Result<std::shared_ptr<WriterInstance>> WriterRegistry::instance() {
  const std::lock_guard lock(mutex_);
  if (current_ && !current_->closing()) return current_;
  WriterOptions options;
  options.instance = random_instance();
  options.name = options_.name;
  options.host = host_;
  options.exclusive_create = store_.backend().traits().exclusive_create;
  options.max_committed = options_.max_committed;
  auto next = std::make_shared<WriterInstance>(store_, std::move(options), options_.patience, clock_);
  CACS_TRY(next->start());
  std::erase_if(all_, [](const auto& entry) { return entry.expired(); });
  all_.push_back(next);
  current_ = std::move(next);
  return current_;
}

void WriterRegistry::retire(const std::shared_ptr<WriterInstance>& instance) {
  const std::lock_guard lock(mutex_);
  if (current_ == instance) current_.reset();
}

Result<Session> WriterRegistry::begin(const std::vector<std::string>& roots) {
  const std::string doing = "begin a session in " + store_.backend().describe();
  if (roots.size() > kMaxSessionRoots) {
    return make_error(ErrorCode::kTooLarge, fmt::format("{}: it may write {} roots, at most {} are allowed", doing,
                                                        roots.size(), kMaxSessionRoots));
  }
  for (const auto& root : roots) CACS_TRY(check_object_name(root).context(doing));
  // An instance refuses when it was fenced or has a full register. That a new one is refused, too, is rare.
  constexpr int kInstances = 4;
  for (int i = 0; i < kInstances; ++i) {
    const auto current = instance();
    if (!current) return current.error().with_context(doing);
    const auto handle = (*current)->begin(roots);
    if (handle) return Session(*current, *handle);
    if (handle.error().code != ErrorCode::kStale) return handle.error().with_context(doing);
    static_cast<void>((*current)->resign().ok());
    retire(*current);
  }
  return make_error(ErrorCode::kUnavailable, doing + ": collections refuse one instance of this writer after another",
                    "see whether the collector takes living writers for dead");
}

Status WriterRegistry::close() {
  std::vector<std::shared_ptr<WriterInstance>> instances;
  {
    const std::lock_guard lock(mutex_);
    // First taken hold of: without sessions, current_ is all that keeps the last one.
    for (const auto& entry : all_) {
      if (auto instance = entry.lock()) instances.push_back(std::move(instance));
    }
    current_.reset();
    all_.clear();
  }
  Status result;
  for (const auto& instance : instances) {
    if (const auto resigned = instance->resign(); !resigned) {
      result = resigned.error().with_context("resign in " + store_.backend().describe());
    }
  }
  return result;
}

void WriterRegistry::beats(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    wake_.wait_for(lock, stop, options_.beat, [] { return false; });
    if (stop.stop_requested()) return;
    const auto instances = all_;
    lock.unlock();
    for (const auto& entry : instances) {
      if (const auto instance = entry.lock()) instance->beat(stop);
    }
    lock.lock();
  }
}

}  // namespace cacs::repository
