// The output of a pod: two files of its delta, which go back with it at a restore.

#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>

#include "agent/node_pod.h"
#include "base/io.h"
#include "base/log.h"

namespace cacs::agent {

namespace {

/// Waits until one of the files is no longer as long as its reader's offset, the pod ends, or the time is over. Writes
/// through the pod's overlay are seen on the overlay's own inodes only, so they are watched through the pod's root.
void wait_for_output(const std::vector<WantedStream>& wanted, pid_t init, std::chrono::milliseconds wait) {
  const UniqueFd watch(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!watch.valid()) return;
  for (const WantedStream& each : wanted) {
    const std::string inside = "/proc/" + std::to_string(init) + "/root" + output_path(each.name);
    if (::inotify_add_watch(watch.get(), inside.c_str(), IN_MODIFY) < 0) return;
    struct stat info {};
    // Between the caller's look and the watch it may have changed already.
    if (::stat(inside.c_str(), &info) != 0 || static_cast<std::uint64_t>(info.st_size) != each.offset) return;
  }
  auto identity = identify_process(init);
  if (!identity) return;
  const auto process = open_process(*identity);
  if (!process) return;
  std::array<pollfd, 2> waiting{pollfd{watch.get(), POLLIN, 0}, pollfd{process->get(), POLLIN, 0}};
  ::poll(waiting.data(), waiting.size(), static_cast<int>(std::min<std::int64_t>(wait.count(), 60'000)));
}

bool has_news(const JsonObject& answer) {
  if (answer.at("eof").as_bool()) return true;
  for (const Json& item : answer.at("streams").as_array()) {
    const JsonObject& stream = item.as_object();
    if (!stream.at("data").as_string().empty()) return true;
    if (json_int_or(stream, "size", 0) < json_int_or(stream, "offset", 0)) return true;
  }
  return false;
}

}  // namespace

Status NodePod::note_log_base() {
  JsonObject base;
  for (const char* stream : {"stdout", "stderr"}) {
    struct stat info {};
    const bool there = ::lstat((layout_.upper().string() + output_path(stream)).c_str(), &info) == 0;
    base[stream] = there ? static_cast<std::int64_t>(info.st_size) : 0;
  }
  // Before the engine runs: what is written from now on is this incarnation's.
  CACS_TRY(write_file_durably(layout_.log_base(), boost::json::serialize(base)));
  const std::lock_guard lock(log_mutex_);
  log_base_ = std::move(base);
  return {};
}

void NodePod::load_log_base(bool ran) {
  {
    const std::lock_guard lock(log_mutex_);
    if (log_base_) return;
  }
  std::optional<JsonObject> base;
  if (const auto text = read_text_file(layout_.log_base(), 4096)) {
    if (auto object = parse_json_object(*text, "log_base.json")) base = *std::move(object);
  }
  // Of a pod that an older version made nobody knows: nothing of what was read before is taken to be in it.
  if (!base && ran) base = JsonObject{{"stdout", 0}, {"stderr", 0}};
  const std::lock_guard lock(log_mutex_);
  log_base_ = std::move(base);
}

void NodePod::forget_log_base() {
  const std::lock_guard lock(log_mutex_);
  log_base_.reset();
  ::unlink(layout_.log_base().c_str());
}

Json NodePod::log_base() {
  const std::lock_guard lock(log_mutex_);
  return log_base_ ? Json(*log_base_) : Json(nullptr);
}

/// Not while the files are being made, nor once they are gone and the next incarnation's may be at their place.
bool NodePod::output_is_whole() {
  const std::lock_guard lock(mutex_);
  return state_ != State::kCreating && !destroyed_ && !log_base().is_null();
}

Result<JsonObject> NodePod::look_at_logs(const LogWish& wish) {
  CACS_ASSIGN(const auto wanted, wanted_streams(wish));
  bool ended = false;
  {
    const std::lock_guard lock(mutex_);
    ended = state_ == State::kExited || state_ == State::kFailed;
  }
  JsonObject answer = output_answer(spec_.incarnation, ended);
  if (!output_is_whole()) return answer;
  JsonArray found;
  for (const WantedStream& each : wanted) {
    struct stat info {};
    auto fd = open_file(layout_.upper().string() + output_path(each.name), O_RDONLY | O_NOFOLLOW);
    if (!fd || ::fstat(fd->get(), &info) != 0) return answer;  // being removed
    std::string data(std::min(wish.limit, kMaxOutputSlice), '\0');
    CACS_ASSIGN(const std::size_t got, pread_full(fd->get(), std::as_writable_bytes(std::span(data)), each.offset));
    data.resize(got);
    // It may have grown since it was looked at.
    const auto size = std::max(static_cast<std::uint64_t>(info.st_size), got == 0 ? 0 : each.offset + got);
    found.push_back(output_slice(each, data, size));
  }
  // Asked again: what was read is this incarnation's only if its files were still there after it had been read.
  if (!output_is_whole()) return answer;
  answer["ready"] = true;
  answer["streams"] = std::move(found);
  return answer;
}

Result<JsonObject> NodePod::read_logs(const LogWish& wish) {
  CACS_ASSIGN(const auto wanted, wanted_streams(wish));
  CACS_ASSIGN(JsonObject answer, look_at_logs(wish));
  if (has_news(answer) || wish.wait.count() <= 0) return answer;
  if (auto init = init_pid(); init && answer.at("ready").as_bool()) {
    wait_for_output(wanted, *init, wish.wait);
  } else {
    // Not running yet, or between two states: wait for the state to change.
    Lock lock(mutex_);
    const State before = state_;
    changed_.wait_for(lock, std::min(wish.wait, std::chrono::milliseconds(5000)), [&] { return state_ != before; });
  }
  return look_at_logs(wish);
}

}  // namespace cacs::agent
