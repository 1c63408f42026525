#include "agent/level_lane.h"

#include <algorithm>

#include "base/log.h"
#include "base/text.h"

namespace cacs::agent {

LevelLane::LevelLane(repository::Levels& levels, LevelLaneOptions options)
    : levels_(levels), options_(std::move(options)), thread_([this](const std::stop_token& stop) { run(stop); }) {}

LevelLane::~LevelLane() {
  thread_.request_stop();
  thread_.join();
}

void LevelLane::copy(const std::string& checkpoint) {
  const std::lock_guard lock(mutex_);
  add({.work = Work::kCopy, .checkpoint = checkpoint, .due = Clock::now()});
}

void LevelLane::remove(const std::string& checkpoint) {
  const std::lock_guard lock(mutex_);
  std::erase_if(jobs_, [&](const Job& job) { return job.checkpoint == checkpoint; });
  add({.work = Work::kRemove, .checkpoint = checkpoint, .due = Clock::now()});
}

/// Under the mutex. Who commits while the outstanding ones are being found may be found, too.
void LevelLane::add(Job job) {
  const bool there = std::ranges::any_of(jobs_, [&](const Job& other) {
    return other.checkpoint == job.checkpoint && (other.work == job.work || other.work == Work::kRemove);
  });
  if (there) return;
  jobs_.push_back(std::move(job));
  changed_.notify_all();
}

JsonObject LevelLane::view() {
  const std::lock_guard lock(mutex_);
  return {{"outstanding", jobs_.size() + (working_ ? 1 : 0)},
          {"bytes_total", progress_.bytes_total},
          {"bytes_done", progress_.bytes_done},
          {"problem", problem_.empty() ? Json(nullptr) : Json(problem_)}};
}

std::chrono::milliseconds LevelLane::wait_after(unsigned failures) const {
  auto wait = options_.first_wait;
  for (unsigned i = 1; i < failures && wait < options_.longest_wait; ++i) wait *= 2;
  return std::min(wait, options_.longest_wait);
}

/// False: told to stop.
bool LevelLane::find_outstanding(const std::stop_token& stop) {
  for (unsigned failures = 1;; ++failures) {
    auto work = levels_.outstanding(options_.wanted);
    std::unique_lock lock(mutex_);
    if (work) {
      for (auto& id : work->removals) add({.work = Work::kRemove, .checkpoint = std::move(id), .due = Clock::now()});
      for (auto& id : work->copies) add({.work = Work::kCopy, .checkpoint = std::move(id), .due = Clock::now()});
      lock.unlock();
      for (const auto& id : work->reached) options_.changed(id);
      return true;
    }
    spdlog::error("look for checkpoints that are to go to the remote level: {}", work.error().to_string());
    problem_ = work.error().to_string();
    changed_.wait_for(lock, stop, wait_after(failures), [] { return false; });
    if (stop.stop_requested()) return false;
  }
}

void LevelLane::run(const std::stop_token& stop) {
  if (!find_outstanding(stop)) return;
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    const auto next = std::ranges::min_element(jobs_, {}, &Job::due);
    if (next == jobs_.end()) {
      if (std::exchange(collect_wanted_, false)) {
        lock.unlock();
        collect();
        lock.lock();
        continue;
      }
      changed_.wait(lock, stop, [&] { return !jobs_.empty(); });
    } else if (const auto due = next->due; due > Clock::now()) {
      const std::size_t count = jobs_.size();
      changed_.wait_until(lock, stop, due, [&] { return jobs_.size() != count; });
    } else {
      Job job = std::move(*next);
      jobs_.erase(next);
      working_ = true;
      progress_ = {};
      lock.unlock();
      work_on(std::move(job), stop);
      lock.lock();
      working_ = false;
    }
  }
}

Status LevelLane::perform(const Job& job, const std::stop_token& stop) {
  if (job.work == Work::kRemove) return levels_.finish_removal(job.checkpoint);
  const auto copied =
      levels_.copy(job.checkpoint, {.stop = stop, .progress = [this](const repository::CopyProgress& progress) {
                                      const std::lock_guard lock(mutex_);
                                      progress_ = progress;
                                    }});
  if (!copied) return copied.error();
  spdlog::info("checkpoint {} has reached the remote level: {} of {} packs, {} sent", job.checkpoint,
               copied->packs_copied, copied->packs, format_size(copied->bytes_copied));
  return {};
}

void LevelLane::work_on(Job job, const std::stop_token& stop) {
  const Status status = perform(job, stop);
  if (status && job.work == Work::kCopy) options_.changed(job.checkpoint);
  const std::lock_guard lock(mutex_);
  if (status) {
    problem_.clear();
    if (job.work == Work::kRemove) collect_wanted_ = true;
    return;
  }
  // Deleted meanwhile: there is nothing to bring any more.
  if (job.work == Work::kCopy && status.error().code == ErrorCode::kNotFound) return;
  if (stop.stop_requested()) return;
  // The same complaint is made once, not at every try.
  std::string said = status.error().to_string();
  if (said != problem_) spdlog::warn("remote level: {}", said);
  problem_ = std::move(said);
  job.due = Clock::now() + wait_after(++job.failures);
  add(std::move(job));
}

void LevelLane::collect() {
  const auto collected = levels_.collect_remote();
  if (collected) {
    spdlog::info("collection of the remote level: {} packs removed, {} freed", collected->packs_removed,
                 format_size(collected->bytes_freed));
  } else {
    spdlog::warn("collection of the remote level: {}", collected.error().to_string());
  }
}

}  // namespace cacs::agent
