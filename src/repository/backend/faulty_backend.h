#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "repository/backend/backend.h"
#include "repository/backend/clock.h"

namespace cacs::repository {

/// What goes wrong, each with a probability between 0 and 1 for every operation that it can happen to.
struct Faults {
  double error = 0;  ///< nothing happens, and `code` is the answer; of create, append, commit, read, size, list, remove
  double lost_answer = 0;  ///< commit and remove take place, and yet kTimeout is the answer
  double broken_list = 0;  ///< a listing ends with `code` after some of the names
  double slow = 0;         ///< it takes `delay` on `clock`
  ErrorCode code = ErrorCode::kUnavailable;
  std::chrono::nanoseconds delay = std::chrono::seconds(1);
  /// Overwrite::kNo replaces what is there, as stores do that do not know the condition.
  bool ignore_conditions = false;
  /// A listing does not show what this backend changed in the last so many of its operations.
  std::uint64_t late_listing = 0;
};

/// For tests: a backend on which things go wrong, the same for the same seed and calls. Any thread; with several
/// threads, what happens to which depends on their order.
class FaultyBackend final : public Backend {
 public:
  FaultyBackend(std::unique_ptr<Backend> inner, std::uint64_t seed, Faults faults = {},
                std::shared_ptr<Clock> clock = nullptr);

  /// From the next operation on.
  void set_faults(const Faults& faults);
  /// The n-th operation from now (1: the next) fails with `code`; with `lost` after it took effect. Besides the faults.
  void fail_at(std::uint64_t n, ErrorCode code, bool lost = false);
  [[nodiscard]] std::uint64_t operations() const;

  Result<std::unique_ptr<ObjectWriter>> create(const std::string& name, Overwrite overwrite) override;
  Result<std::size_t> read(const std::string& name, std::uint64_t offset, std::span<std::byte> out) override;
  Result<std::uint64_t> size(const std::string& name) override;
  Status list(const std::string& prefix, const std::function<Status(const ObjectInfo&)>& visitor) override;
  Status remove(const std::string& name) override;
  /// Those of the backend below, without what the faults take away.
  [[nodiscard]] const BackendTraits& traits() const override { return traits_; }
  [[nodiscard]] std::string describe() const override { return "faulty " + inner_->describe(); }

 private:
  friend class FaultyWriter;
  /// What befalls one operation.
  struct Fate {
    std::optional<Error> before;  ///< instead of it
    std::optional<Error> after;   ///< in place of its answer
    bool broken_list = false;
  };
  using Listed = std::optional<std::uint64_t>;  ///< an object's size, or none
  /// What listings show of a name: each state from an operation's number on.
  using History = std::map<std::uint64_t, Listed>;

  Fate next(const std::string& doing);
  Listed state_of(const std::string& name);
  void changed(const std::string& name, Listed before);
  void set_traits();

  std::unique_ptr<Backend> inner_;
  std::shared_ptr<Clock> clock_;
  mutable std::mutex mutex_;
  std::mt19937_64 random_;
  Faults faults_;
  BackendTraits traits_;
  std::uint64_t operations_ = 0;
  std::uint64_t fail_at_ = 0;
  ErrorCode fail_code_ = ErrorCode::kUnavailable;
  bool fail_lost_ = false;
  std::map<std::string, History> histories_;
};

}  // namespace cacs::repository
