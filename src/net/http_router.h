#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/http_message.h"

namespace cacs::net {

class ResponseStream;

/// Answers one request. Must not throw: an exception is a bug and becomes a 500.
using Handler = std::function<Response(const Request&)>;
/// Answers one request piece by piece; the answer ends when it returns.
using StreamHandler = std::function<void(const Request&, ResponseStream&)>;

/// Where a handler runs.
enum class RouteKind {
  kInline,    ///< on the connection's io thread: answers from memory and never waits for anything
  kBlocking,  ///< on the bounded pool of workers: may wait for a disk's or a node's time
  kLong,      ///< on the bounded pool of long answers (long polls, streams): may wait for minutes
};

/// One route: a method, a pattern like "/v1/pods/{uid}" ("{name}" takes exactly one segment, literals win over
/// parameters), and exactly one of the two handlers. Stream handlers run as kLong whatever `kind` says.
struct Route {
  std::string method;
  std::string pattern;
  RouteKind kind = RouteKind::kBlocking;
  Handler handler;
  StreamHandler stream;
};

/// Finds the route of a request. Immutable after its making: any thread.
class Router {
 public:
  explicit Router(std::vector<Route> routes);

  struct Match {
    const Route* route = nullptr;                             ///< null: see `allow`
    std::vector<std::pair<std::string, std::string>> params;  ///< values of the pattern's parameters
    std::string allow;  ///< where no route has the method: the methods the path has ("GET, HEAD"), empty: no such path
  };

  /// HEAD finds the GET route where there is no HEAD route of its own.
  [[nodiscard]] Match match(std::string_view method, const std::vector<std::string>& segments) const;
  [[nodiscard]] const std::vector<Route>& routes() const { return routes_; }

 private:
  struct Entry {
    std::vector<std::string> segments;  ///< "{name}" for a parameter
    std::size_t route;
    std::size_t parameters;
  };
  std::vector<Route> routes_;
  std::vector<Entry> entries_;  ///< those with fewer parameters first
};

}  // namespace cacs::net
