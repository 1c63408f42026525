#pragma once

#include <sys/types.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "net/http_target.h"

namespace cacs::net {

/// Header fields in the order they came. Names are compared without regard to case.
class Headers {
 public:
  void add(std::string name, std::string value);
  /// Value of the first field of this name, or null.
  [[nodiscard]] const std::string* find(std::string_view name) const;
  /// The same, or an empty text.
  [[nodiscard]] std::string_view get(std::string_view name) const;
  [[nodiscard]] std::size_t count(std::string_view name) const;
  [[nodiscard]] const std::vector<std::pair<std::string, std::string>>& fields() const { return fields_; }

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
};

/// Who is at the other end.
struct Peer {
  std::string address;       ///< numeric IP address, or "unix"
  bool local = false;        ///< a unix socket, or a loopback address
  std::optional<uid_t> uid;  ///< of the process at the other end of a unix socket, as the kernel tells it
  std::optional<pid_t> pid;
};

/// One request, whole. Handlers get it by const reference and may keep no pointer into it.
struct Request {
  std::string method;
  std::string target;  ///< as sent, undecoded
  std::string path;    ///< decoded
  Query query;
  Headers headers;
  std::string body;
  Peer peer;
  std::vector<std::pair<std::string, std::string>> params;  ///< of the route's pattern, decoded
  std::string_view route;                                   ///< the pattern, or empty where none matched

  /// Value of a path parameter of the route's pattern. Asking for one that the pattern lacks is a bug (empty).
  [[nodiscard]] const std::string& param(std::string_view name) const;
  /// Whether nobody waits for the answer any more: the server is stopping. For loops of long polls. Any thread.
  [[nodiscard]] bool stopping() const { return stop_flag != nullptr && stop_flag->load(std::memory_order_relaxed); }

  std::shared_ptr<const std::atomic<bool>> stop_flag;
};

/// One answer. `content-length`, `date` and `connection` are the server's.
struct Response {
  int status = 200;
  Headers headers;
  std::string body;
  std::shared_ptr<const std::string> shared_body;  ///< sent instead of `body` where set: an answer kept by a cache
  bool close = false;                              ///< close the connection after it

  [[nodiscard]] std::string_view content() const {
    return shared_body ? std::string_view(*shared_body) : std::string_view(body);
  }
};

Response json_response(int status, std::string body);
Response text_response(int status, std::string body);

/// "Not Found" of 404.
std::string_view status_phrase(int status);

/// HTTP status that an error is shown with.
int status_of(ErrorCode code);
/// The code for an HTTP status that came without our own error document.
ErrorCode code_of_status(int status);

/// An error as RFC 9457 problem details (application/problem+json): type urn:cacs:problem:SLUG (the error's type, or
/// the name of its code), title, status, detail, hint.
Response problem_response(int status, const Error& error);
inline Response problem_response(const Error& error) { return problem_response(status_of(error.code), error); }

bool equal_ignoring_case(std::string_view a, std::string_view b);

}  // namespace cacs::net
