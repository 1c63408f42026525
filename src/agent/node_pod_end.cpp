// How a pod goes: altogether, or all of it but its files.

#include <unistd.h>

#include <cerrno>

#include "agent/node_pod.h"
#include "base/io.h"

namespace cacs::agent {

using pod::ShimClient;

Status NodePod::destroy() {
  std::optional<Status> result;
  enqueue([this, &result] {
    Status status = remove_everything();
    if (status) status = remove_tree(layout_.delta);
    if (status) status = remove_tree(layout_.dir);
    const std::lock_guard lock(mutex_);
    for (const Cut& cut : cuts_) drop_piece(cut);
    destroyed_ = status.ok();
    result = status;
    changed_.notify_all();
  });
  Lock lock(mutex_);
  changed_.wait(lock, [&] { return result.has_value(); });
  return *result;
}

Result<bool> NodePod::retire() {
  std::optional<Result<bool>> result;
  enqueue([this, &result] {
    bool ended = false;
    JsonObject exit;
    {
      const std::lock_guard lock(mutex_);
      ended = state_ == State::kFailed || (state_ == State::kExited && exit_);
      if (ended && exit_) exit = exit_->to_json();
    }
    // What is written first is what holds after a crash: from here on nobody looks for a shim.
    Status status;
    if (ended && !exit.empty()) status = write_file_durably(retired_file(), boost::json::serialize(exit));
    if (ended && status) status = keep_only_files();
    const std::lock_guard lock(mutex_);
    result = status ? Result<bool>(ended) : Result<bool>(status.error());
    changed_.notify_all();
  });
  Lock lock(mutex_);
  changed_.wait(lock, [&] { return result.has_value(); });
  return *result;
}

Status NodePod::keep_only_files() {
  CACS_TRY(remove_everything());
  if (::unlink(layout_.shim_state().c_str()) == 0 || errno == ENOENT) return {};
  return errno_error(errno, "remove " + layout_.shim_state().string());
}

Status NodePod::remove_everything() {
  std::shared_ptr<ShimClient> shim;
  std::shared_ptr<basefs::Keeper> base;
  {
    const std::lock_guard lock(mutex_);
    shim = std::move(shim_);
    base = std::move(base_);
    switch_.reset();
  }
  base.reset();  // it holds on to the pod's root
  if (shim == nullptr && (::access(layout_.shim_state().c_str(), F_OK) == 0 || shim_lives())) {
    if (!reach_shim()) CACS_TRY(start_shim(true).context("take over the pod to remove it"));
    const std::lock_guard lock(mutex_);
    shim = std::move(shim_);
  }
  if (shim == nullptr) return {};
  auto answer = shim->call({{"op", "destroy"}}, std::chrono::minutes(2));
  if (answer) {
    // Its mounts and namespaces go with it.
    if (wait_shim_ends()) return {};
    return make_error(ErrorCode::kTimeout, "the pod's shim was told to end and does not");
  }
  if (answer.error().code != ErrorCode::kUnavailable) return answer.error();
  // The shim died under our hands: another one finishes the work.
  shim.reset();
  CACS_TRY(start_shim(true).context("take over the pod to remove it"));
  return remove_everything();
}

}  // namespace cacs::agent
