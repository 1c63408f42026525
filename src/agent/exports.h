#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "base/result.h"
#include "repository/repository.h"

namespace cacs::agent {

/// What this node's repository has of a pod, for another node that is to restore it: only to whoever has a ticket for
/// just that, which the server asks for and hands on. Tickets are of this process alone, and end after an hour. Any
/// thread.
class Exports {
 public:
  explicit Exports(repository::Repository& repository) : repository_(repository) {}

  /// kNotFound where there is nothing of the pod here; kUnavailable: too many are out.
  Result<std::string> permit(const std::string& checkpoint, const std::string& pod);

  struct Permitted {
    std::string checkpoint;
    std::string pod;
  };
  /// kNotFound for what is no ticket, or none any more.
  Result<Permitted> look_up(std::string_view ticket);

  /// Sends it in frames (transfer/framing.h), at their end what went wrong, if anything did. The error of `send` alone
  /// is returned.
  Status send(const Permitted& permitted, const std::function<Status(std::string_view)>& send);

 private:
  using Clock = std::chrono::steady_clock;
  struct Ticket {
    Permitted permitted;
    Clock::time_point end;
  };
  void forget_old();  ///< under mutex_

  repository::Repository& repository_;
  std::mutex mutex_;
  std::map<std::string, Ticket, std::less<>> tickets_;
};

}  // namespace cacs::agent
