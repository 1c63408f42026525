#include "repository/session/writer_instance.h"

#include <utility>

namespace cacs::repository {

WriterInstance::WriterInstance(SessionStore& store, WriterOptions options, const SessionPatience& patience,
                               std::shared_ptr<Clock> clock)
    : store_(store), patience_(patience), clock_(std::move(clock)), machine_(std::move(options)) {}

void WriterInstance::feed(const WriterEvent& event) {
  WriterStep step = machine_.step(event);
  for (auto& op : step.ops) todo_.push_back(std::move(op));
  for (auto& notice : step.notices) {
    const auto handle = notice.handle;
    notices_.insert_or_assign(handle, std::move(notice));
  }
  changed_.notify_all();
}

std::optional<Error> WriterInstance::perform_one(Lock& lock, SessionAttempts& attempts, const std::stop_token& stop) {
  const SessionOp op = std::move(todo_.front());
  todo_.pop_front();
  lock.unlock();
  auto performed = store_.perform(op);
  std::optional<Error> give_up;
  if (performed.error) {
    give_up = attempts.failed(*performed.error, stop);
  } else {
    attempts.succeeded();
  }
  lock.lock();
  feed({WriterEventKind::kAnswer, 0, {}, op.id, std::move(performed.answer)});
  return give_up;
}

Result<WriterNotice> WriterInstance::await(Lock& lock, std::uint64_t handle) {
  SessionAttempts attempts(patience_, *clock_);
  while (true) {
    if (!todo_.empty()) {
      if (const auto error = perform_one(lock, attempts, {})) return *error;
      continue;
    }
    if (auto node = notices_.extract(handle); !node.empty()) return std::move(node.mapped());
    changed_.wait(lock);  // another thread performs what we wait for; if it gives up, it wakes us to take over
  }
}

Status WriterInstance::drain(Lock& lock, const std::stop_token& stop) {
  SessionAttempts attempts(patience_, *clock_);
  while (!todo_.empty()) {
    if (const auto error = perform_one(lock, attempts, stop)) return *error;
  }
  return {};
}

Status WriterInstance::start() {
  Lock lock(mutex_);
  feed({WriterEventKind::kStart});
  CACS_TRY(await(lock, 0));
  return {};
}

Result<std::uint64_t> WriterInstance::begin(std::vector<std::string> roots) {
  Lock lock(mutex_);
  const std::uint64_t handle = next_handle_++;
  feed({WriterEventKind::kBegin, handle, std::move(roots)});
  auto notice = await(lock, handle);
  if (!notice) {
    // Nothing was written in its name: it is taken back, with the next write of the register that succeeds.
    feed({WriterEventKind::kEnd, handle});
    return notice.error();
  }
  if (notice->kind == WriterNoticeKind::kRefused) {
    return make_error(ErrorCode::kStale, "this instance of the writer takes no more sessions");
  }
  notices_.insert_or_assign(handle, std::move(*notice));
  return handle;
}

WriterNotice WriterInstance::began(std::uint64_t handle) {
  const Lock lock(mutex_);
  auto node = notices_.extract(handle);
  return std::move(node.mapped());
}

Status WriterInstance::confirm(std::uint64_t handle, bool again) {
  Lock lock(mutex_);
  if (!again) feed({WriterEventKind::kRootsWritten, handle});
  CACS_ASSIGN(const auto notice, await(lock, handle));
  if (notice.kind == WriterNoticeKind::kCommitted) return {};
  return make_error(ErrorCode::kAborted,
                    "commit: this process was taken for dead by a collection meanwhile, and what it wrote was refused",
                    "try again; if the process was suspended or the store out of reach for long, that is why");
}

void WriterInstance::doubt(std::uint64_t handle) {
  Lock lock(mutex_);
  feed({WriterEventKind::kRootsDoubtful, handle});
  notices_.erase(handle);
  static_cast<void>(drain(lock, {}).ok());  // resigns if it was the last: if not now, with the next call
}

Status WriterInstance::end(std::uint64_t handle) {
  Lock lock(mutex_);
  feed({WriterEventKind::kEnd, handle});
  const auto notice = await(lock, handle);
  if (!notice) return notice.error().with_context("end a session");
  return {};
}

Status WriterInstance::resign() {
  Lock lock(mutex_);
  feed({WriterEventKind::kResign});
  return drain(lock, {});
}

void WriterInstance::beat(const std::stop_token& stop) {
  Lock lock(mutex_);
  if (machine_.out() || machine_.sessions() == 0) return;
  feed({WriterEventKind::kBeat});
  static_cast<void>(drain(lock, stop).ok());  // an outage: the next beat tries again
}

bool WriterInstance::closing() const {
  const Lock lock(mutex_);
  return machine_.closing();
}

}  // namespace cacs::repository
