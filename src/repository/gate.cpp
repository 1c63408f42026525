#include "repository/gate.h"

#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "base/io.h"
#include "repository/backend/clock.h"

namespace cacs::repository {

namespace {

Error in_the_way(const std::string& where) {
  return make_error(ErrorCode::kUnavailable, where + ": a writer or a collection is at work",
                    "try again when it has ended");
}

class FilePass final : public GatePass {
 public:
  explicit FilePass(UniqueFd fd) : fd_(std::move(fd)) {}

 private:
  UniqueFd fd_;  ///< closing it gives the lock back
};

/// The length of each turn.
class Turns {
 public:
  explicit Turns(const GateTurns& turns) : next_(turns.first), longest_(turns.longest) {}
  std::chrono::milliseconds next() { return std::exchange(next_, std::min(next_ * 2, longest_)); }

 private:
  std::chrono::milliseconds next_;
  std::chrono::milliseconds longest_;
};

Error ended(const std::string& doing) { return make_error(ErrorCode::kAborted, doing + ": ended before it was free"); }

enum class Locked { kYes, kNo, kStopped };

class FileGate final : public Gate {
 public:
  FileGate(const std::filesystem::path& directory, GateTurns turns)
      : path_(directory / "lock"), turn_path_(directory / "turn"), turns_(turns) {}

  Result<std::unique_ptr<GatePass>> enter(GateMode mode, GateWait wait, const std::stop_token& stop) override {
    CACS_ASSIGN(UniqueFd lock, open_file(path_, O_RDWR | O_CREAT, 0600));
    if (mode == GateMode::kExclusive && wait == GateWait::kFail) {
      CACS_TRY(take(lock, path_, LOCK_EX | LOCK_NB));
    } else {
      CACS_ASSIGN(UniqueFd turn, open_file(turn_path_, O_RDWR | O_CREAT, 0600));
      if (mode == GateMode::kExclusive) {
        CACS_TRY(wait_alone(lock, turn, stop));
      } else {
        const int nowait = wait == GateWait::kFail ? LOCK_NB : 0;
        CACS_TRY(take(turn, turn_path_, LOCK_SH | nowait));
        CACS_TRY(take(lock, path_, LOCK_SH | nowait));
      }
    }
    return std::unique_ptr<GatePass>(std::make_unique<FilePass>(std::move(lock)));
  }

 private:
  using Time = std::chrono::steady_clock::time_point;

  static Status take(const UniqueFd& fd, const std::filesystem::path& path, int operation) {
    while (::flock(fd.get(), operation) != 0) {
      if (errno == EINTR) continue;
      if (errno == EWOULDBLOCK) return in_the_way("lock " + path.string());
      return errno_error(errno, "lock " + path.string());
    }
    return {};
  }

  /// flock(2) knows no time limit, so this looks again every 10 ms.
  Result<Locked> look_until(Time end, const UniqueFd& fd, const std::filesystem::path& path,
                            const std::stop_token& stop) {
    constexpr std::chrono::milliseconds kLook{10};
    while (true) {
      const auto taken = take(fd, path, LOCK_EX | LOCK_NB);
      if (taken) return Locked::kYes;
      if (taken.error().code != ErrorCode::kUnavailable) return taken.error();
      const auto left = end - std::chrono::steady_clock::now();
      if (left.count() <= 0) return Locked::kNo;
      if (!clock_->sleep_for(std::min<std::chrono::nanoseconds>(left, kLook), stop)) return Locked::kStopped;
    }
  }

  Status wait_alone(const UniqueFd& lock, const UniqueFd& turn, const std::stop_token& stop) {
    const auto now = [] { return std::chrono::steady_clock::now(); };
    const std::string doing = "lock " + path_.string();
    Turns turns(turns_);
    while (true) {
      // Writers that wait for a collection to end are before us here; they go in with its end.
      CACS_ASSIGN(Locked got, look_until(Time::max(), turn, turn_path_, stop));
      if (got == Locked::kStopped) return ended(doing);
      const auto length = turns.next();
      CACS_ASSIGN(got, look_until(now() + length, lock, path_, stop));
      if (got == Locked::kNo) {
        if (::flock(turn.get(), LOCK_UN) != 0) return errno_error(errno, "unlock " + turn_path_.string());
        CACS_ASSIGN(got, look_until(now() + length, lock, path_, stop));
      }
      if (got == Locked::kStopped) return ended(doing);
      if (got == Locked::kYes) return {};
    }
  }

  std::filesystem::path path_;
  std::filesystem::path turn_path_;
  GateTurns turns_;
  std::shared_ptr<Clock> clock_ = make_steady_clock();
};

/// How many are inside. Shared by gate and passes, for a pass may outlive the gate.
struct Inside {
  std::mutex mutex;
  std::condition_variable_any changed;
  int writers = 0;
  bool collector = false;
  bool turn = false;  ///< a collector waits, and keeps writers out
};

class ProcessPass final : public GatePass {
 public:
  ProcessPass(std::shared_ptr<Inside> inside, GateMode mode) : inside_(std::move(inside)), mode_(mode) {}
  ProcessPass(const ProcessPass&) = delete;
  ProcessPass& operator=(const ProcessPass&) = delete;
  ~ProcessPass() override {
    const std::lock_guard lock(inside_->mutex);
    if (mode_ == GateMode::kShared) --inside_->writers;
    if (mode_ == GateMode::kExclusive) inside_->collector = false;
    inside_->changed.notify_all();
  }

 private:
  std::shared_ptr<Inside> inside_;
  GateMode mode_;
};

class ProcessGate final : public Gate {
 public:
  explicit ProcessGate(GateTurns turns) : turns_(turns) {}

  Result<std::unique_ptr<GatePass>> enter(GateMode mode, GateWait wait, const std::stop_token& stop) override {
    std::unique_lock lock(inside_->mutex);
    const auto nobody = [&] { return !inside_->collector && inside_->writers == 0; };
    if (mode == GateMode::kShared) {
      const auto free = [&] { return !inside_->collector && !inside_->turn; };
      if (!free() && wait == GateWait::kFail) return in_the_way("enter the repository");
      inside_->changed.wait(lock, free);
      ++inside_->writers;
    } else {
      if (!nobody() && wait == GateWait::kFail) return in_the_way("enter the repository");
      Turns turns(turns_);
      while (!nobody()) {
        if (!inside_->changed.wait(lock, stop, [&] { return !inside_->turn; })) return ended("enter the repository");
        const auto length = turns.next();
        inside_->turn = true;
        inside_->changed.wait_for(lock, stop, length, nobody);
        inside_->turn = false;
        inside_->changed.notify_all();
        if (!nobody()) inside_->changed.wait_for(lock, stop, length, nobody);
        if (stop.stop_requested()) return ended("enter the repository");
      }
      inside_->collector = true;
    }
    return std::unique_ptr<GatePass>(std::make_unique<ProcessPass>(inside_, mode));
  }

 private:
  GateTurns turns_;
  std::shared_ptr<Inside> inside_ = std::make_shared<Inside>();
};

class OpenGate final : public Gate {
 public:
  Result<std::unique_ptr<GatePass>> enter(GateMode mode, GateWait /*wait*/, const std::stop_token& /*stop*/) override {
    if (mode == GateMode::kExclusive) {
      return make_error(ErrorCode::kUnsupported, "this store has no lock, so others may be writing to it unseen",
                        "end all that write or copy to it, then say so with --alone");
    }
    return std::make_unique<GatePass>();
  }
};

}  // namespace

std::unique_ptr<Gate> make_file_gate(const std::filesystem::path& directory, GateTurns turns) {
  return std::make_unique<FileGate>(directory, turns);
}
std::unique_ptr<Gate> make_process_gate(GateTurns turns) { return std::make_unique<ProcessGate>(turns); }
std::unique_ptr<Gate> make_open_gate() { return std::make_unique<OpenGate>(); }

}  // namespace cacs::repository
