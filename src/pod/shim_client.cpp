#include "pod/shim_client.h"

#include <sys/socket.h>

#include "base/log.h"
#include "pod/seqpacket.h"

namespace cacs::pod {

Result<std::unique_ptr<ShimClient>> ShimClient::connect(const PodLayout& layout, EventHandler on_event) {
  CACS_ASSIGN(UniqueFd fd, connect_seqpacket(layout.shim_socket()));
  return std::unique_ptr<ShimClient>(new ShimClient(std::move(fd), std::move(on_event)));
}

ShimClient::ShimClient(UniqueFd fd, EventHandler on_event) : fd_(std::move(fd)), on_event_(std::move(on_event)) {
  reader_ = std::thread([this] { read_loop(); });
}

ShimClient::~ShimClient() {
  ::shutdown(fd_.get(), SHUT_RDWR);
  reader_.join();
}

Result<JsonObject> ShimClient::call(JsonObject message, std::chrono::milliseconds limit) {
  std::unique_lock lock(mutex_);
  const auto gone = [] { return make_error(ErrorCode::kUnavailable, "the pod's shim has gone away"); };
  if (lost_) return gone();
  const std::int64_t seq = next_seq_++;
  message["seq"] = seq;
  waiting_[seq] = std::nullopt;
  if (const auto sent = send_message(fd_.get(), message); !sent) {
    waiting_.erase(seq);
    return gone().with_context(sent.error().message);
  }
  const bool done = answered_.wait_for(lock, limit, [&] { return lost_ || waiting_[seq].has_value(); });
  std::optional<JsonObject> answer = std::move(waiting_[seq]);
  waiting_.erase(seq);
  if (!answer) {
    return done ? gone() : make_error(ErrorCode::kTimeout, "the pod's shim did not answer in time");
  }
  if (const JsonObject* error = json_find_object(*answer, "error")) return error_from_json(*error);
  return *std::move(answer);
}

void ShimClient::read_loop() {
  while (true) {
    auto message = receive_message(fd_.get());
    if (!message || !message->has_value()) break;
    JsonObject& object = **message;
    if (object.if_contains("event") != nullptr) {
      on_event_(object);
      continue;
    }
    const std::lock_guard lock(mutex_);
    const auto waiting = waiting_.find(json_int_or(object, "reply", 0));
    if (waiting == waiting_.end()) continue;  // the caller has given up waiting
    waiting->second = std::move(object);
    answered_.notify_all();
  }
  {
    const std::lock_guard lock(mutex_);
    lost_ = true;
    answered_.notify_all();
  }
  on_event_({{"event", "lost"}});
}

}  // namespace cacs::pod
