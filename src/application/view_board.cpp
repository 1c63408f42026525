#include "application/view_board.h"

#include <algorithm>
#include <utility>

namespace cacs::application {

void ViewBoard::post(const std::string& application, Posted posted) {
  const std::unique_lock lock(mutex_);
  applications_[application] = std::move(posted);
}

void ViewBoard::remove(const std::string& application) {
  const std::unique_lock lock(mutex_);
  applications_.erase(application);
}

Posted ViewBoard::find(std::string_view application) const {
  const std::shared_lock lock(mutex_);
  const auto it = applications_.find(application);
  return it == applications_.end() ? Posted{} : it->second;
}

std::vector<Posted> ViewBoard::all() const {
  const std::shared_lock lock(mutex_);
  std::vector<Posted> out;
  out.reserve(applications_.size());
  for (const auto& [id, posted] : applications_) out.push_back(posted);
  return out;
}

void ViewBoard::post_operation(const OperationView& operation) {
  const std::unique_lock lock(mutex_);
  operations_[operation.id] = operation;
}

bool ViewBoard::find_operation(std::string_view id, OperationView& out) const {
  const std::shared_lock lock(mutex_);
  const auto it = operations_.find(id);
  if (it == operations_.end()) return false;
  out = it->second;
  return true;
}

void ViewBoard::remove_operations(WallTime before) {
  const std::unique_lock lock(mutex_);
  std::erase_if(operations_,
                [&](const auto& each) { return each.second.state != "RUNNING" && each.second.updated_at < before; });
}

void ViewBoard::progress(std::string_view operation, std::uint64_t done, std::uint64_t total, std::int64_t running_ms) {
  const std::unique_lock lock(mutex_);
  const auto it = operations_.find(operation);
  if (it == operations_.end() || it->second.state != "RUNNING") return;
  it->second.bytes_done = done;
  it->second.bytes_total = total;
  it->second.eta_ms.reset();
  if (done > 0 && total >= done) {
    const double left = static_cast<double>(total - done) / static_cast<double>(done);
    it->second.eta_ms = static_cast<std::int64_t>(left * static_cast<double>(running_ms));
  }
}

void ViewBoard::announce(std::uint64_t last_event) {
  {
    const std::lock_guard lock(wait_mutex_);
    ++announcements_;
    last_event_ = std::max(last_event_, last_event);
  }
  changed_.notify_all();
}

std::uint64_t ViewBoard::last_event() const {
  const std::lock_guard lock(wait_mutex_);
  return last_event_;
}

std::uint64_t ViewBoard::announcements() const {
  const std::lock_guard lock(wait_mutex_);
  return announcements_;
}

std::uint64_t ViewBoard::wait(std::uint64_t seen, std::chrono::milliseconds limit) {
  std::unique_lock lock(wait_mutex_);
  changed_.wait_for(lock, limit, [&] { return closed_ || announcements_ != seen; });
  return announcements_;
}

void ViewBoard::close() {
  {
    const std::lock_guard lock(wait_mutex_);
    closed_ = true;
  }
  changed_.notify_all();
}

bool ViewBoard::closed() const {
  const std::lock_guard lock(wait_mutex_);
  return closed_;
}

}  // namespace cacs::application
