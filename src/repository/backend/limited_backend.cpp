#include "repository/backend/limited_backend.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>

namespace cacs::repository {

namespace {

/// Any thread.
class TokenBucket {
 public:
  TokenBucket(std::uint64_t rate, const LimitOptions& options, Clock& clock)
      : rate_(static_cast<double>(rate)),
        burst_(static_cast<double>(options.burst)),
        tokens_(burst_),
        clock_(clock),
        stop_(options.stop),
        filled_(clock.now()) {}

  /// Takes `bytes`, then waits until the bucket would be even.
  Status pay_and_wait(std::size_t bytes) {
    pay(bytes);
    return wait();
  }

  void pay(std::size_t bytes) {
    const std::scoped_lock lock(mutex_);
    fill();
    tokens_ -= static_cast<double>(bytes);
  }

  Status wait() {
    if (rate_ == 0) return {};
    double missing = 0;
    {
      const std::scoped_lock lock(mutex_);
      fill();
      missing = -tokens_;
    }
    if (missing <= 0) return {};
    const auto time = std::chrono::duration<double>(missing / rate_);
    if (clock_.sleep_for(std::chrono::duration_cast<std::chrono::nanoseconds>(time), stop_)) return {};
    return make_error(ErrorCode::kAborted, "wait for the limit of the rate: told to stop");
  }

 private:
  void fill() {
    const auto now = clock_.now();
    tokens_ = std::min(burst_, tokens_ + rate_ * std::chrono::duration<double>(now - filled_).count());
    filled_ = now;
  }

  const double rate_;  ///< tokens (bytes) a second
  const double burst_;
  std::mutex mutex_;
  double tokens_;  ///< below zero: promised already
  Clock& clock_;
  const std::stop_token stop_;
  std::chrono::nanoseconds filled_;
};

/// A counting semaphore whose bound is known at run time. Any thread.
class Slots {
 public:
  explicit Slots(unsigned count) : free_(count), limited_(count > 0) {}
  void take() {
    if (!limited_) return;
    std::unique_lock lock(mutex_);
    freed_.wait(lock, [this] { return free_ > 0; });
    --free_;
  }
  void give() {
    if (!limited_) return;
    {
      const std::scoped_lock lock(mutex_);
      ++free_;
    }
    freed_.notify_one();
  }

 private:
  std::mutex mutex_;
  std::condition_variable freed_;
  unsigned free_;
  const bool limited_;
};

class Slot {
 public:
  explicit Slot(Slots& slots) : slots_(slots) { slots_.take(); }
  ~Slot() { slots_.give(); }
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;

 private:
  Slots& slots_;
};

class LimitedWriter final : public ObjectWriter {
 public:
  LimitedWriter(std::unique_ptr<ObjectWriter> inner, TokenBucket& bucket, Slots& slots)
      : inner_(std::move(inner)), bucket_(bucket), slots_(slots) {}

  Status append(std::span<const std::byte> data) override {
    // In pieces, so that much at a time does not go as one burst after one long wait.
    constexpr std::size_t kPiece = std::size_t{1} << 20U;
    do {
      const auto piece = data.first(std::min(data.size(), kPiece));
      data = data.subspan(piece.size());
      CACS_TRY(bucket_.pay_and_wait(piece.size()));
      const Slot slot(slots_);
      CACS_TRY(inner_->append(piece));
    } while (!data.empty());
    return {};
  }

  Status commit() override {
    const Slot slot(slots_);
    return inner_->commit();
  }

 private:
  std::unique_ptr<ObjectWriter> inner_;
  TokenBucket& bucket_;
  Slots& slots_;
};

class LimitedBackend final : public Backend {
 public:
  LimitedBackend(std::unique_ptr<Backend> inner, const LimitOptions& options)
      : inner_(std::move(inner)),
        clock_(options.clock ? options.clock : make_steady_clock()),
        up_(options.upload_rate, options, *clock_),
        down_(options.download_rate, options, *clock_),
        slots_(options.requests) {}

  Result<std::unique_ptr<ObjectWriter>> create(const std::string& name, Overwrite overwrite) override {
    const Slot slot(slots_);
    CACS_ASSIGN(auto writer, inner_->create(name, overwrite));
    return std::unique_ptr<ObjectWriter>(std::make_unique<LimitedWriter>(std::move(writer), up_, slots_));
  }

  Result<std::size_t> read(const std::string& name, std::uint64_t offset, std::span<std::byte> out) override {
    CACS_TRY(down_.wait());
    const Slot slot(slots_);
    auto got = inner_->read(name, offset, out);
    if (got) down_.pay(*got);
    return got;
  }

  Result<std::uint64_t> size(const std::string& name) override {
    const Slot slot(slots_);
    return inner_->size(name);
  }

  Status list(const std::string& prefix, const std::function<Status(const ObjectInfo&)>& visitor) override {
    const Slot slot(slots_);
    return inner_->list(prefix, [&](const ObjectInfo& info) -> Status {
      slots_.give();
      auto status = visitor(info);
      slots_.take();
      return status;
    });
  }

  Status remove(const std::string& name) override {
    const Slot slot(slots_);
    return inner_->remove(name);
  }

  [[nodiscard]] const BackendTraits& traits() const override { return inner_->traits(); }
  [[nodiscard]] std::string describe() const override { return inner_->describe(); }

 private:
  std::unique_ptr<Backend> inner_;
  std::shared_ptr<Clock> clock_;
  TokenBucket up_;
  TokenBucket down_;
  Slots slots_;
};

}  // namespace

std::unique_ptr<Backend> make_limited_backend(std::unique_ptr<Backend> inner, const LimitOptions& options) {
  return std::make_unique<LimitedBackend>(std::move(inner), options);
}

}  // namespace cacs::repository
