#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace cacs::net {

/// One server-sent event (the WHATWG HTML standard, section 9.2).
struct SseEvent {
  std::string id;
  std::string event;  ///< empty: "message"
  std::string data;

  friend bool operator==(const SseEvent&, const SseEvent&) = default;
};

/// An event as bytes of a text/event-stream. Line ends in `id` and `event` are dropped, in `data` kept.
std::string format_sse(const SseEvent& event);

/// Takes a text/event-stream apart as it comes. One thread at a time.
class SseParser {
 public:
  explicit SseParser(std::function<void(const SseEvent&)> on_event) : on_event_(std::move(on_event)) {}

  /// False once an event is larger than 16 MiB: the stream is not worth reading on.
  [[nodiscard]] bool feed(std::string_view bytes);

 private:
  void take_line(std::string_view line);
  std::function<void(const SseEvent&)> on_event_;
  std::string line_;
  SseEvent event_;
  bool has_data_ = false;
  bool after_cr_ = false;
};

}  // namespace cacs::net
