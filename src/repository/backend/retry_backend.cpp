#include "repository/backend/retry_backend.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <random>
#include <vector>

#include "repository/backend/replay_buffer.h"

namespace cacs::repository {

namespace {

bool is_passing(const Error& error) {
  return error.code == ErrorCode::kUnavailable || error.code == ErrorCode::kTimeout;
}

/// The attempts at one operation.
class Attempts {
 public:
  explicit Attempts(const RetryOptions& options) : options_(options), begin_(options.clock->now()) {}

  [[nodiscard]] bool first() const { return made_ == 0; }

  /// Success, after a wait, when it is to be tried again after `error`; else the error to return.
  Status again(const Error& error) {
    if (!is_passing(error)) return error;
    ++made_;
    const auto spent = options_.clock->now() - begin_;
    if (made_ >= options_.attempts || spent >= options_.give_up_after) return given_up(error, "gave up");
    const double bound =
        std::min(static_cast<double>(options_.longest_delay.count()),
                 std::ldexp(static_cast<double>(options_.first_delay.count()), static_cast<int>(made_) - 1));
    auto delay = std::chrono::nanoseconds(static_cast<std::int64_t>(options_.random() * bound));
    delay = std::min(delay, options_.give_up_after - spent);
    if (options_.on_retry) options_.on_retry(error, delay);
    if (!options_.clock->sleep_for(delay, options_.stop)) return given_up(error, "stopped");
    return {};
  }

 private:
  [[nodiscard]] Error given_up(const Error& error, std::string_view how) const {
    return error.with_context(std::string(how) + " after " + std::to_string(made_) + " attempts");
  }

  const RetryOptions& options_;
  std::chrono::nanoseconds begin_;
  unsigned made_ = 0;
};

/// Calls `operation` until it answers something that does not pass.
template <typename Operation>
auto repeat(const RetryOptions& options, const Operation& operation) -> decltype(operation(true)) {
  Attempts attempts(options);
  while (true) {
    auto result = operation(attempts.first());
    if (result.ok()) return result;
    CACS_TRY(attempts.again(result.error()));
  }
}

class RetryWriter final : public ObjectWriter {
 public:
  RetryWriter(Backend& inner, const RetryOptions& options, std::string name, Overwrite overwrite,
              std::unique_ptr<ObjectWriter> writer)
      : inner_(inner),
        options_(options),
        name_(std::move(name)),
        overwrite_(overwrite),
        writer_(std::move(writer)),
        copy_(options.memory_bytes, options.spool_directory, options.spool_bytes) {}

  Status append(std::span<const std::byte> data) override {
    if (!writer_) return over("append to");
    copy_.append(data);
    return guarded([&](bool first) { return first ? writer_->append(data) : begin_again(); });
  }

  Status commit() override {
    if (!writer_) return over("commit");
    auto status = guarded([&](bool first) -> Status {
      if (!first) CACS_TRY(begin_again());
      return commit_once();
    });
    writer_.reset();
    return status;
  }

 private:
  [[nodiscard]] Error over(std::string_view doing) const {
    return make_error(ErrorCode::kInternal, std::string(doing) + " " + name_ + ": its writer has ended or failed");
  }

  /// repeat(), as long as all that was appended is there to be written again.
  template <typename Operation>
  Status guarded(const Operation& operation) {
    Attempts attempts(options_);
    while (true) {
      auto tried = operation(attempts.first());
      if (tried) return tried;
      const Status next = copy_.whole() ? attempts.again(tried.error())
                                        : tried.error().with_context("not tried again, as it is too long to be kept");
      if (!next) {
        writer_.reset();
        return next.error().with_context("write " + name_);
      }
    }
  }

  /// A new writer with all that was appended so far.
  Status begin_again() {
    writer_.reset();  // first, so that the store does not hold two of them
    CACS_ASSIGN(auto writer, inner_.create(name_, overwrite_));
    CACS_TRY(copy_.replay([&](std::span<const std::byte> piece) { return writer->append(piece); }));
    writer_ = std::move(writer);
    return {};
  }

  Status commit_once() {
    auto status = writer_->commit();
    if (status) return status;
    if (status.error().code == ErrorCode::kConflict && in_doubt_ && overwrite_ == Overwrite::kNo) {
      CACS_ASSIGN(const bool ours, is_stored());
      return ours ? ok_status() : status;
    }
    if (is_passing(status.error())) in_doubt_ = true;
    return status;
  }

  /// Whether what stands under the name is what was appended.
  Result<bool> is_stored() {
    const auto size = repeat(options_, [&](bool) { return inner_.size(name_); });
    if (!size && size.error().code == ErrorCode::kNotFound) return false;
    if (!size) return size.error();
    if (*size != copy_.size()) return false;
    std::uint64_t offset = 0;
    bool same = true;
    std::vector<std::byte> there;
    CACS_TRY(copy_.replay([&](std::span<const std::byte> piece) -> Status {
      if (!same) return {};
      there.resize(piece.size());
      CACS_ASSIGN(const std::size_t got, repeat(options_, [&](bool) { return inner_.read(name_, offset, there); }));
      same = got == piece.size() && std::ranges::equal(there, piece);
      offset += got;
      return {};
    }));
    return same;
  }

  Backend& inner_;
  const RetryOptions& options_;
  std::string name_;
  Overwrite overwrite_;
  std::unique_ptr<ObjectWriter> writer_;  ///< null after it ended or failed
  ReplayBuffer copy_;
  bool in_doubt_ = false;  ///< a commit failed that may have taken place
};

class RetryBackend final : public Backend {
 public:
  RetryBackend(std::unique_ptr<Backend> inner, RetryOptions options)
      : inner_(std::move(inner)), options_(std::move(options)) {
    if (!options_.clock) options_.clock = make_steady_clock();
    if (!options_.random) options_.random = [this] { return draw(); };
  }

  Result<std::unique_ptr<ObjectWriter>> create(const std::string& name, Overwrite overwrite) override {
    CACS_ASSIGN(auto writer, repeat(options_, [&](bool) { return inner_->create(name, overwrite); }));
    return std::unique_ptr<ObjectWriter>(
        std::make_unique<RetryWriter>(*inner_, options_, name, overwrite, std::move(writer)));
  }

  Result<std::size_t> read(const std::string& name, std::uint64_t offset, std::span<std::byte> out) override {
    return repeat(options_, [&](bool) { return inner_->read(name, offset, out); });
  }

  Result<std::uint64_t> size(const std::string& name) override {
    return repeat(options_, [&](bool) { return inner_->size(name); });
  }

  Status list(const std::string& prefix, const std::function<Status(const ObjectInfo&)>& visitor) override {
    std::vector<ObjectInfo> objects;
    CACS_TRY(repeat(options_, [&](bool) {
      objects.clear();
      return inner_->list(prefix, [&](const ObjectInfo& info) -> Status {
        objects.push_back(info);
        return {};
      });
    }));
    for (const auto& object : objects) CACS_TRY(visitor(object));
    return {};
  }

  Status remove(const std::string& name) override {
    return repeat(options_, [&](bool first) -> Status {
      auto status = inner_->remove(name);
      if (!first && !status && status.error().code == ErrorCode::kNotFound) return {};
      return status;
    });
  }

  [[nodiscard]] const BackendTraits& traits() const override { return inner_->traits(); }
  [[nodiscard]] std::string describe() const override { return inner_->describe(); }

 private:
  double draw() {
    const std::scoped_lock lock(mutex_);
    return std::uniform_real_distribution<double>()(engine_);
  }

  std::unique_ptr<Backend> inner_;
  RetryOptions options_;
  std::mutex mutex_;
  std::mt19937_64 engine_{std::random_device{}()};
};

}  // namespace

std::unique_ptr<Backend> make_retry_backend(std::unique_ptr<Backend> inner, RetryOptions options) {
  return std::make_unique<RetryBackend>(std::move(inner), std::move(options));
}

}  // namespace cacs::repository
