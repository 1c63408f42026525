#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <ctime>
#include <iterator>

#include "net/http_session.h"

namespace cacs::net {
namespace {

/// IMF-fixdate of this second; made once a second and thread, for thousands of answers may carry it.
std::string_view http_date() {
  thread_local std::time_t made_at = 0;
  thread_local std::string text;
  const std::time_t now = std::time(nullptr);
  if (now != made_at || text.empty()) {
    std::tm parts{};
    ::gmtime_r(&now, &parts);
    static constexpr std::array<std::string_view, 7> kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                                 "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    text = fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", kDays.at(static_cast<std::size_t>(parts.tm_wday)),
                       parts.tm_mday, kMonths.at(static_cast<std::size_t>(parts.tm_mon)), parts.tm_year + 1900,
                       parts.tm_hour, parts.tm_min, parts.tm_sec);
    made_at = now;
  }
  return text;
}

/// A header value must not end its line: what could is dropped, so that no answer can be split by what it echoes.
void append_value(std::string& out, std::string_view value) {
  for (const char c : value) {
    if (c != '\r' && c != '\n' && c != '\0') out.push_back(c);
  }
}

}  // namespace

std::string format_head(const Response& response, std::optional<std::size_t> length, bool keep_alive) {
  std::string out;
  out.reserve(256);
  out += "HTTP/1.1 ";
  out += std::to_string(response.status);
  out += ' ';
  out += status_phrase(response.status);
  out += "\r\nDate: ";
  out += http_date();
  for (const auto& [name, value] : response.headers.fields()) {
    out += "\r\n";
    append_value(out, name);
    out += ": ";
    append_value(out, value);
  }
  if (length && response.status != 204 && response.status != 304) {
    out += "\r\nContent-Length: ";
    out += std::to_string(*length);
  }
  if (!keep_alive) out += "\r\nConnection: close";
  out += "\r\n\r\n";
  return out;
}

Status SocketStream::lost(std::string_view why) {
  gone_ = true;
  return make_error(ErrorCode::kAborted, fmt::format("send an answer: {}", why));
}

bool SocketStream::gone() {
  if (gone_) return true;
  if (stopping_.load(std::memory_order_relaxed) || (options_.head_only && status_ != 0)) return true;
  pollfd entry{.fd = options_.fd, .events = POLLRDHUP, .revents = 0};
  if (::poll(&entry, 1, 0) > 0 && (entry.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0) gone_ = true;
  return gone_;
}

Status SocketStream::send_all(std::string_view data) {
  if (gone_) return lost("the client has gone");
  while (!data.empty()) {
    const ssize_t sent = ::send(options_.fd, data.data(), data.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) {
      data.remove_prefix(static_cast<std::size_t>(sent));
      continue;
    }
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK) return lost("the client has gone");
    pollfd entry{.fd = options_.fd, .events = POLLOUT | POLLRDHUP, .revents = 0};
    const int ready = ::poll(&entry, 1, static_cast<int>(options_.write_timeout.count()));
    if (ready == 0) return lost("the client has taken nothing for the write timeout");
    if (ready > 0 && (entry.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0) return lost("the client has gone");
  }
  return ok_status();
}

Status SocketStream::start(const Response& head) {
  if (status_ != 0) return make_error(ErrorCode::kInternal, "an answer was started twice");
  status_ = head.status;
  chunked_ = !options_.http_1_0;
  Response started = head;
  if (chunked_) started.headers.add("Transfer-Encoding", "chunked");
  CACS_TRY(send_all(format_head(started, std::nullopt, options_.keep_alive && chunked_)));
  return head.content().empty() || options_.head_only ? ok_status() : write(head.content());
}

Status SocketStream::write(std::string_view data) {
  if (status_ == 0 || complete_) return make_error(ErrorCode::kInternal, "a piece of an answer that was not started");
  if (options_.head_only) return make_error(ErrorCode::kAborted, "send an answer: HEAD wants no body");
  if (gone()) return lost("the client has gone");
  if (data.empty()) return ok_status();
  if (!chunked_) return send_all(data);
  std::string chunk;
  chunk.reserve(data.size() + 20);
  fmt::format_to(std::back_inserter(chunk), "{:x}\r\n", data.size());
  chunk += data;
  chunk += "\r\n";
  return send_all(chunk);
}

Status SocketStream::respond(Response response) {
  if (status_ != 0) return make_error(ErrorCode::kInternal, "an answer was started twice");
  status_ = response.status;
  complete_ = true;
  const std::string_view content = response.content();
  CACS_TRY(send_all(format_head(response, content.size(), options_.keep_alive)));
  return options_.head_only ? ok_status() : send_all(content);
}

bool SocketStream::finish() {
  if (status_ == 0 || gone_) return false;
  if (complete_) return options_.keep_alive;
  if (!chunked_) return false;
  if (!options_.head_only && !send_all("0\r\n\r\n").ok()) return false;
  return options_.keep_alive;
}

}  // namespace cacs::net
