#include "cli/signals.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace cacs::cli {

Result<SignalWatcher> SignalWatcher::watch(std::initializer_list<int> signals) {
  sigset_t set;
  sigset_t before;
  ::sigemptyset(&set);
  for (const int number : signals) ::sigaddset(&set, number);
  UniqueFd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.valid()) return errno_error(errno, "signalfd");
  if (const int problem = ::pthread_sigmask(SIG_BLOCK, &set, &before); problem != 0) {
    return errno_error(problem, "block signals");
  }
  return SignalWatcher(std::move(fd), before);
}

SignalWatcher::SignalWatcher(SignalWatcher&& other) noexcept : fd_(std::move(other.fd_)), before_(other.before_) {}

SignalWatcher::~SignalWatcher() {
  if (fd_.valid()) ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

Result<SignalWatcher::Event> SignalWatcher::wait(int other_fd, std::optional<std::chrono::milliseconds> limit) {
  const auto end = std::chrono::steady_clock::now() + limit.value_or(std::chrono::milliseconds(0));
  while (true) {
    int left = -1;
    if (limit) {
      const auto span = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
      left = static_cast<int>(std::max<std::int64_t>(0, span.count()));
    }
    std::array<pollfd, 2> waiting{pollfd{fd_.get(), POLLIN, 0}, pollfd{other_fd, POLLIN, 0}};
    const int ready = ::poll(waiting.data(), waiting.size(), left);
    if (ready < 0 && errno != EINTR) return errno_error(errno, "poll");
    if (ready < 0) continue;
    signalfd_siginfo info{};
    if (waiting[0].revents != 0 && ::read(fd_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
      return Event{.signal = static_cast<int>(info.ssi_signo), .readable = false};
    }
    if (ready == 0 || waiting[1].revents != 0) return Event{.signal = 0, .readable = waiting[1].revents != 0};
  }
}

}  // namespace cacs::cli
