#include "repository/gate.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>
#include <condition_variable>
#include <mutex>

#include "base/io.h"

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

class FileGate final : public Gate {
 public:
  explicit FileGate(const std::filesystem::path& directory) : path_(directory / "lock") {}

  Result<std::unique_ptr<GatePass>> enter(GateMode mode, GateWait wait) override {
    CACS_ASSIGN(UniqueFd fd, open_file(path_, O_RDWR | O_CREAT, 0600));
    const int operation = (mode == GateMode::kShared ? LOCK_SH : LOCK_EX) | (wait == GateWait::kFail ? LOCK_NB : 0);
    while (::flock(fd.get(), operation) != 0) {
      if (errno == EINTR) continue;
      if (errno == EWOULDBLOCK) return in_the_way("lock " + path_.string());
      return errno_error(errno, "lock " + path_.string());
    }
    return std::unique_ptr<GatePass>(std::make_unique<FilePass>(std::move(fd)));
  }

 private:
  std::filesystem::path path_;
};

/// How many are inside. Shared by gate and passes, for a pass may outlive the gate.
struct Inside {
  std::mutex mutex;
  std::condition_variable changed;
  int writers = 0;
  bool collector = false;
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
  Result<std::unique_ptr<GatePass>> enter(GateMode mode, GateWait wait) override {
    std::unique_lock lock(inside_->mutex);
    const auto free = [&] { return !inside_->collector && (mode == GateMode::kShared || inside_->writers == 0); };
    if (!free() && wait == GateWait::kFail) return in_the_way("enter the repository");
    inside_->changed.wait(lock, free);
    if (mode == GateMode::kShared) ++inside_->writers;
    if (mode == GateMode::kExclusive) inside_->collector = true;
    return std::unique_ptr<GatePass>(std::make_unique<ProcessPass>(inside_, mode));
  }

 private:
  std::shared_ptr<Inside> inside_ = std::make_shared<Inside>();
};

class OpenGate final : public Gate {
 public:
  Result<std::unique_ptr<GatePass>> enter(GateMode mode, GateWait /*wait*/) override {
    if (mode == GateMode::kExclusive) {
      return make_error(ErrorCode::kUnsupported, "this store has no lock, so others may be writing to it unseen",
                        "end all that write or copy to it, then say so with --alone");
    }
    return std::make_unique<GatePass>();
  }
};

}  // namespace

std::unique_ptr<Gate> make_file_gate(const std::filesystem::path& directory) {
  return std::make_unique<FileGate>(directory);
}
std::unique_ptr<Gate> make_process_gate() { return std::make_unique<ProcessGate>(); }
std::unique_ptr<Gate> make_open_gate() { return std::make_unique<OpenGate>(); }

}  // namespace cacs::repository
